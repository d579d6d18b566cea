"""Which of a page's candidates is its title: og:title, linked data, <title> or a heading.

Every rule has a reason that holds for pages nobody has seen:

- candidates are stripped of the site's names first (`site_names.py`), and boilerplate is no candidate;
- a level-1 heading that equals a candidate, or that begins it or makes up most of it, is how the author wrote it; but
  the first word of a longer candidate says less than that, and so does what a colon follows;
- a heading that names the folder that the page is in ("Recipes") is the section's, not the page's;
- a <title> that shares nothing with the URL gives way to what spells it, else to the product, recipe or the like that
  linked data names in other words;
- what a style sheet did to a heading, capitals or a line break for a colon, is undone where a candidate has it plain;
- what stands beside an error in <title> is the site, not the page; but what og:title and a heading call a page that
  has prose of its own is its name, though it be "500" or "Just a moment";
- a heading that says the same in other words was written for readers, the candidate for search engines;
- a heading that ends with the candidate has a kicker in front, and the candidate is the title;
- a page whose level-1 headings are none, or its site's name only, has its title at level 2;
- a title that is the site's name alone, on a page that is not its front, was never filled in: the heading is;
- of a <title> whose segments nothing else explains, the one that the URL spells is the page's;
- a title that says nothing ("Home") beside the site's name is that name at the front, and as written elsewhere, where
  nothing else tells more;
- of candidates that differ in typography alone, the one with real quotes and dashes is the author's.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import StrEnum
from typing import NamedTuple

from enrich.web.boilerplate import is_not_the_page, may_be_a_name, says_nothing
from enrich.web.descriptions import MIN_PARAGRAPH_CHARACTERS
from enrich.web.page import Page, clean
from enrich.web.site_names import Site, key, segments, strip_site

_WORD = re.compile(r"\w+")
_TYPOGRAPHIC = re.compile(r"[‘’“”„«»–—…]")
_OTHER_NAMES = ("citation_title", "title", "dc.title", "dcterms.title", "headline", "parsely-title", "sailthru.title")
MAX_TITLE_CHARACTERS = 1_000
_SPELT = 0.5  # share of the URL's words that a segment must hold to be the one that it spells
_SAME_MATTER = 0.6  # share of the candidate's words that a heading must hold to say the same
_MOST = 0.5  # share of the candidate's words that a heading inside it must make up
_TELLING_WORDS = 2  # of a heading that begins a candidate, and is taken whatever else follows but a colon


class TitleRule(StrEnum):
    """Which element gave the title."""

    OG = "og:title"
    TWITTER = "twitter:title"
    JSON_LD = "json-ld"
    TITLE = "title"
    H1 = "h1"
    H2 = "h2"
    META = "meta"
    MICRODATA = "microdata"
    BOILERPLATE = "boilerplate"  # none did: the page is an error, a challenge or a consent wall


class Chosen(NamedTuple):
    text: str
    rule: TitleRule


def choose_title(page: Page, site: Site) -> Chosen | None:
    """The page's title and the rule that gave it, None where nothing does; BOILERPLATE has no text."""
    candidates = _candidates(page, site)
    spelt = _spelt(page.title, site)
    headings = _headings(page, site, spelt)
    telling = bool(candidates) and not site.named_by(candidates[0].text)
    if not telling and any(is_not_the_page(heading.text) for heading in headings):
        best: Chosen | None = headings[0]._replace(rule=TitleRule.BOILERPLATE)
    elif not telling and candidates and not site.home and headings and headings[0].rule is TitleRule.H1:
        best = headings[0]
    elif candidates:
        said = None if _is_error(candidates[0].text, page) else _heard(candidates, headings, site)
        best = said or _spelt_elsewhere(candidates, headings, page, site)
        if best is None and spelt and candidates[0].rule is TitleRule.TITLE:
            best = Chosen(spelt, TitleRule.TITLE)
        best = best or _typographic(candidates[0], candidates)
    else:
        best = headings[0] if headings else _marked(page) or _as_written(page, site)
    if best is not None and (best.rule is TitleRule.BOILERPLATE or _is_boilerplate(best.text, page, site)):
        return Chosen("", TitleRule.BOILERPLATE)
    return best


def _is_boilerplate(text: str, page: Page, site: Site) -> bool:
    """Whether this is no page's title, or what stands beside one that is none: the site in "Log in • Site"."""
    if _is_error(text, page):
        return True
    beside = is_not_the_page(page.title or "") and key(text) in map(key, segments(page.title or ""))
    return beside and key(text) not in site.headings


def _is_error(text: str, page: Page) -> bool:
    """Whether this is the title of an error or a challenge, and no name that og:title, heading and prose bear out."""
    if not is_not_the_page(text):
        return False
    named = may_be_a_name(text) and _first(page.meta("og:title") or "") == _first(text)
    if not named or all(_first(heading) != _first(text) for heading in page.headings):
        return True
    prose = page.meta("og:description", "description") or ""
    return all(len(said) < MIN_PARAGRAPH_CHARACTERS for said in (prose, *page.paragraphs()))


def _first(title: str) -> str:
    """The key of a title's first segment."""
    return key(next(iter(segments(title)), ""))


def _headings(page: Page, site: Site, spelt: str | None) -> list[Chosen]:
    """What the page's headings say, of level 1, else of level 2; what is a banner or says nothing is left out."""
    for level in (TitleRule.H1, TitleRule.H2):
        said = page.headings if level is TitleRule.H1 else page.subheadings()
        telling = (one for one in said if key(one) and not says_nothing(one) and not _is_banner(one, page, site, spelt))
        if headings := [Chosen(one, level) for one in telling]:
            return headings
    return []


def _marked(page: Page) -> Chosen | None:
    """What microdata calls the page's headline or name."""
    items = (said for name in ("headline", "name") for said in page.items(name))
    said = next((said for said in items if not says_nothing(said)), None)
    return Chosen(said, TitleRule.MICRODATA) if said else None


def _as_written(page: Page, site: Site) -> Chosen | None:
    """What og:title or <title> says beside "Home" or "Products": the site's name at its front, else the whole of it."""
    offered = ((page.meta("og:title"), TitleRule.OG), (page.title, TitleRule.TITLE))
    for text, rule in offered:
        telling = [part for part in segments(text or "") if not says_nothing(part)]
        if text and telling:
            return Chosen(telling[0] if site.home else text[:MAX_TITLE_CHARACTERS], rule)
    return None


def _candidates(page: Page, site: Site) -> list[Chosen]:
    """What the page offers, best source first, stripped; what is only the site's name comes last."""
    offered = (
        (_whole(page.meta("og:title"), page.title), TitleRule.OG),
        (page.meta("twitter:title"), TitleRule.TWITTER),
        (next(iter(page.linked.headlines), None), TitleRule.JSON_LD),
        (page.title, TitleRule.TITLE),
        (next(iter(page.linked.names), None), TitleRule.JSON_LD),
        (page.meta(*_OTHER_NAMES), TitleRule.META),
    )
    said = [(clean(text)[:MAX_TITLE_CHARACTERS], rule) for text, rule in offered if text and not says_nothing(text)]
    found = [Chosen(strip_site(text, site), rule) for text, rule in said]
    found = [one for one in found if one.text and not says_nothing(one.text)]
    return sorted(found, key=lambda one: site.named_by(one.text))


def _whole(og: str | None, title: str | None) -> str | None:
    """og:title, unless it was cut (by an unescaped quote, or to length) where <title> goes on."""
    if og and title and len(title) > len(og):
        stem = og.rstrip("….")
        rest = title[len(stem) :]
        if title.startswith(stem) and (stem != og or re.match(r"\s*[\"“”„«\w]", rest)) and len(stem) > 10:
            return title
        if title.startswith(og) and re.match(r"['’]\w", rest):
            return title
    return og


def _spelt(title: str | None, site: Site) -> str | None:
    """The one segment of <title> that the URL spells, where its others are not in the URL at all."""
    parts = segments(title) if title else []
    shares = [site.in_slug(part) for part in parts]
    if len(parts) > 1 and max(shares) >= _SPELT and sorted(shares)[-2] <= max(shares) / 3:
        return parts[shares.index(max(shares))]
    return None


def _is_banner(heading: str, page: Page, site: Site, spelt: str | None) -> bool:
    """Whether a heading is the site's name; or like it, or a segment of <title>, where the URL spells another."""
    if spelt is None or key(heading) in key(spelt):
        return site.named_by(heading) or site.has_section(heading)
    beside = site.in_slug(spelt) == 1.0 and key(heading) in map(key, segments(page.title or ""))
    return beside or site.named_by(heading) or site.has_section(heading) or site.resembled_by(heading)


def _heard(candidates: list[Chosen], headings: list[Chosen], site: Site) -> Chosen | None:
    """The heading, or the candidate that a heading confirms, to take instead of the first candidate."""
    first = candidates[0].text
    for heading in headings:
        if same := [one for one in candidates if key(one.text) == key(heading.text)]:
            return next((one for one in same if _written_out(one.text, heading.text)), heading)
    for heading in headings:
        if _is_part(heading.text, first, site) or _says_the_same(heading.text, first):
            return heading
    if not any(_ends(heading.text, first) for heading in headings):
        return next((one for one in candidates[1:] for heading in headings if _ends(heading.text, one.text)), None)
    return None


def _written_out(candidate: str, heading: str) -> bool:
    """Whether what is styled into the heading, capitals or a line break for a colon, is plain in the candidate."""
    shouted = heading.isupper() and not candidate.isupper() and len(_words(heading)) > 1
    return shouted or (":" in candidate and ":" not in heading)


def _spelt_elsewhere(candidates: list[Chosen], headings: list[Chosen], page: Page, site: Site) -> Chosen | None:
    """What spells the URL, else the thing of the linked data, where <title> has no word of it: it is the site's."""
    title, *others = candidates
    if site.home or title.rule is not TitleRule.TITLE or site.in_slug(title.text) > 0:
        return None
    spelt = next((one for one in (*headings, *others) if site.in_slug(one.text) >= _SPELT), None)
    things = (one for one in others if one.text in page.linked.things)
    return spelt or next((one for one in things if not _share(one.text, title.text)), None)


def _ends(heading: str, candidate: str) -> bool:
    """Whether the heading is the candidate with a kicker in front."""
    ours, theirs = _words(heading), _words(candidate)
    return len(theirs) > 2 and ours[-len(theirs) :] == theirs


def _is_part(heading: str, candidate: str, site: Site) -> bool:
    wanted, words = _words(heading), _words(candidate)
    at = _position(wanted, words)
    if at > 0:
        return len(wanted) >= _MOST * len(words) or site.in_slug(heading) == 1.0
    if at < 0:
        return False
    set_apart = key(segments(candidate)[0]) == key(heading)
    topic = candidate[: len(heading) + 2].rstrip().endswith(":")
    return set_apart or len(wanted) > _MOST * len(words) or (len(wanted) >= _TELLING_WORDS and not topic)


def _says_the_same(heading: str, candidate: str) -> bool:
    ours, theirs = _words(heading), _words(candidate)
    if _ends(heading, candidate):
        return False
    shared = (Counter(ours) & Counter(theirs)).total()
    return len(theirs) > 2 and shared >= _SAME_MATTER * len(theirs) and len(ours) <= 3 * len(theirs)


def _share(one: str, other: str) -> bool:
    """Whether two texts have a word in common, or one is in the other, as in scripts without spaces."""
    return not set(_words(one)).isdisjoint(_words(other)) or key(one) in key(other) or key(other) in key(one)


def _typographic(best: Chosen, candidates: list[Chosen]) -> Chosen:
    same = [one for one in candidates if key(one.text) == key(best.text)]
    return max(same, key=lambda one: len(_TYPOGRAPHIC.findall(one.text)))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _position(wanted: list[str], words: list[str]) -> int:
    """Where `wanted` occurs in `words` as a run; -1 where it does not."""
    if not wanted:
        return -1
    return next((i for i in range(len(words) - len(wanted) + 1) if words[i : i + len(wanted)] == wanted), -1)
