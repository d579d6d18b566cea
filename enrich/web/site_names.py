"""What a site calls itself, and a title without it.

A page names its site in og:site_name, application-name, its linked data and its host; and where <title> has a segment
more than og:title has, that segment is the site's too, or, where the page has it for a heading, og:title is. So is a
heading that repeats the end of <title>, where neither the URL nor a known name speaks against it: a masthead. A title's
first or last segment that repeats such a name is not part of the title. No site is known by name here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from enrich.web.page import Page, clean

_SEPARATOR = re.compile(r"(\s+[|\-–—−:·•∙»«›‹/~⋆*+<>]+\s+|\s*[|｜»«]\s*|\s+::+\s*|(?<=\w)- )")
_EDGE = re.compile(r"^[\s|\-–—:·•»«›/~,_]+(?=\S)|[\s|\-–—·•»«›/~,_:]+$")
_WEAK = r"\s*[|\-–—−:·•»«›‹/~_,｜]\s*"  # separates only what is exactly a name
_LAST_WEAK = re.compile(rf"(.+?){_WEAK}([^|\-–—−:·•»«›‹/~_,｜]+)")
_FIRST_WEAK = re.compile(r"([^|:»]+)\s*[|:»]\s*(.+)")
_EAST_ASIAN = "\u3040-\u30ff\u4e00-\u9fff"  # kana and Han
_EAST_ASIAN_TAIL = re.compile(rf"(?:_[{_EAST_ASIAN}]{{2,8}})*[-_—–]+[{_EAST_ASIAN}]{{2,8}}$")
_DOMAIN = re.compile(r"(?:www\.)?[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|info|[a-z]{2})", re.IGNORECASE)
_EMBEDDED_URL = re.compile(r"/(https?:/{1,2}.+)")
_PAGE_NUMBER = re.compile(
    r"\W*(?:page|seite|página|pagina|strona|sida|side|стр(?:аница|\.)?) ?\d+"
    r"(?: ?(?:of|von|de|di|sur|van|z|av|af|из|/) ?\d+)?\W*",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_GENERIC_LABELS = frozenset(
    ("www", "web", "mobile", "amp", "blog", "blogs", "news", "shop", "store", "com", "org", "net", "gov", "edu", "info")
)
_MIN_LABEL = 3  # characters; shorter host labels name nothing
_MIN_LOOSE = 5  # characters of a name that may be a part of a longer segment
_MAX_LOOSE_WORDS = 6  # of such a segment; a longer one is a title
_MAX_SECTION_WORDS = 2  # a folder with a longer name may be the page's own
_MAX_NAME = 60  # characters; what is longer is a name with a slogan


class Site(NamedTuple):
    name: str | None  # as the site writes it
    keys: frozenset[str]  # of all its names
    labels: frozenset[str]  # keys of its host's telling labels
    sections: frozenset[str]  # keys of the URL's folders and of the sections that the page names
    slug: frozenset[str]  # words of the URL's last part
    headings: frozenset[str]  # keys of the page's, of level 1
    home: bool  # whether the URL is of the site's front page, or not known

    def named_by(self, text: str) -> bool:
        """Whether `text` is a name of the site."""
        return not self.keys.isdisjoint(spellings(text)) or _DOMAIN.fullmatch(text.strip()) is not None

    def resembled_by(self, text: str) -> bool:
        """Whether a short text holds a name of the site, or is the beginning of one."""
        words = {key(word) for word in _WORD.findall(text)}
        if len(words) > _MAX_LOOSE_WORDS:
            return False
        if len(words) <= 4 and words & self.labels and key(text) not in self.headings:
            return True
        return any(
            one.startswith(name) or one.endswith(name) or (len(one) >= _MIN_LOOSE and name.startswith(one))
            for name in self.keys
            if len(name) >= _MIN_LOOSE
            for one in spellings(text)
        )

    def has_section(self, text: str) -> bool:
        """Whether a short text is the name of a folder or section that the page is in."""
        return key(text) in self.sections and len(_WORD.findall(text)) <= _MAX_SECTION_WORDS

    def in_slug(self, text: str) -> float:
        """The share of the URL's own words that `text` holds; 0 where the URL has less than two."""
        if len(self.slug) < 2:
            return 0.0
        words = {one for word in _WORD.findall(text) for one in spellings(word)}
        return len(self.slug & words) / len(self.slug)


def key(text: str) -> str:
    """What two spellings of a text share: letters and digits, lower case, without accents."""
    if text.isascii():
        return "".join(filter(str.isalnum, text)).lower()
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text.casefold())))


def spellings(text: str) -> set[str]:
    """The key of a text, and the key that it has where umlauts and "&" are written out, as in host names."""
    if text.isascii() and "&" not in text:
        return {key(text)} - {""}
    written_out = text.casefold().replace("ä", "ae").replace("ö", "oe").replace("ü", "ue").replace("&", "and")
    return {key(text), key(written_out)} - {""}


def site_of(page: Page, url: str | None) -> Site:
    """Collect the site's names from the page and its URL."""
    host, path, slug = _address(url or page.meta("og:url") or "")
    said = (page.meta("og:site_name"), page.meta("application-name", "apple-mobile-web-app-title"))
    names = [clean(name) for name in (*said, *page.linked.site_names) if name and not name.startswith("http")]
    names = [short for name in names for short in (name, _without_slogan(name)) if short]
    handle = (page.meta("twitter:site") or "").lstrip("@")
    labels = {label for label in host.split(".")[:-1] if len(label) >= _MIN_LABEL and label not in _GENERIC_LABELS}
    known = {key(one) for one in (*names, *labels)}
    learned = _told_apart(page, slug, known) or _masthead(page, slug, known)
    keys = {one for name in (*names, handle, host, learned or "", *labels) for one in spellings(name)}
    sections = {
        key(text) for text in (*path[:-1], *map(clean, page.linked.sections), page.meta("article:section") or "")
    }
    shown = next((name for name in names if len(name) <= _MAX_NAME), None)
    named = (shown or learned, frozenset(keys), frozenset(map(key, labels)))
    return Site(*named, frozenset(sections - {""}), slug, frozenset(map(key, page.headings)), home=not path)


def _without_slogan(name: str) -> str:
    """A site's name without its slogan."""
    return _SEPARATOR.split(name)[0]


def _address(url: str) -> tuple[str, list[str], frozenset[str]]:
    """Host, the path's parts and the last one's words; an archive's URL holds the page's own, which counts."""
    embedded = _EMBEDDED_URL.search(url, 8)
    try:
        parts = urlsplit(embedded[1].replace(":/", "://", 1).replace(":///", "://") if embedded else url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return "", [], frozenset()
    path = [unquote(part) for part in parts.path.split("/") if part]
    slug = max(path[-2:], key=lambda part: len(_WORD.findall(part.replace("_", "-"))), default="")
    words = {key(word) for word in re.split(r"[\W_]+", slug) if len(word) > 2 and not word.isdigit()}
    return host, path, frozenset(words - {"html", "htm", "php", "aspx"})


def _told_apart(page: Page, slug: frozenset[str], known: set[str]) -> str | None:
    """Of the two ends of <title>, of which og:title is one, that which is not the page's."""
    title, og = page.title or "", page.meta("og:title")
    beyond = _beyond(title, og)
    if not beyond or not og or key(beyond) in known:
        return beyond
    theirs, ours = _spelt(slug, og), _spelt(slug, beyond)
    if ours > 1 and not theirs:
        return og
    headings = {key(heading) for heading in page.headings}
    swapped = title.startswith(beyond) and key(beyond) in headings and key(og) not in headings
    return og if swapped and (ours > theirs or (ours == theirs == 0 and len(og) <= len(beyond))) else beyond


def _masthead(page: Page, slug: frozenset[str], known: set[str]) -> str | None:
    """The last segment of <title>, where it is a heading that says less than the rest, or the rest a heading below."""
    *first, last = segments(page.title or "") or [""]
    rest = " ".join(first)
    if not rest or key(last) not in {key(heading) for heading in page.headings}:
        return None
    if not known.isdisjoint(map(key, first)) or _spelt(slug, last):
        return None
    return last if len(last) <= len(rest) or key(rest) in map(key, page.subheadings()) else None


def _spelt(slug: frozenset[str], text: str) -> int:
    """How many of the URL's words the text has."""
    return len(slug & {key(word) for word in _WORD.findall(text)})


def _beyond(title: str | None, shorter: str | None) -> str | None:
    """What <title> has, at one end and set apart, beyond `shorter`."""
    if not title or not shorter or len(title) <= len(shorter):
        return None
    pieces = _SEPARATOR.split(title)
    if len(pieces) >= 3 and key("".join(pieces[:-2])) == key(shorter):
        return pieces[-1].strip() or None
    if len(pieces) >= 3 and key("".join(pieces[2:])) == key(shorter):
        return pieces[0].strip() or None
    before = _FIRST_WEAK.fullmatch(title)
    return before[1].strip() if before and key(before[2]) == key(shorter) else None


def segments(text: str) -> list[str]:
    """The parts of a title that strong separators set apart."""
    return [part for part in (piece.strip() for piece in _SEPARATOR.split(text)[::2]) if part]


class Cut(NamedTuple):
    """A title without one of its ends."""

    rest: str
    end: str
    last: bool  # whether it was the last segment


def cuts(text: str) -> list[Cut]:
    """The title without its last segment, and without its first; nothing where strong separators set none apart."""
    pieces = _SEPARATOR.split(text)
    if len(pieces) < 3:
        return []
    both = Cut("".join(pieces[:-2]), pieces[-1], True), Cut("".join(pieces[2:]), pieces[0], False)
    return [cut._replace(rest=cut.rest.strip(), end=cut.end.strip()) for cut in both if key(cut.rest) and key(cut.end)]


def strip_site(text: str, site: Site) -> str:
    """`text` without the leading and trailing segments that name the site or a section of it; never empty."""
    pieces = _SEPARATOR.split(_trimmed(text))
    parts = pieces[::2]
    end = next((i for i in range(1, len(parts)) if _closes(parts[i], site)), len(parts))
    while end > 1 and (key(parts[end - 1]) in site.sections or _PAGE_NUMBER.fullmatch(parts[end - 1])):
        end -= 1
    start = 0
    while start < end - 1 and (site.named_by(parts[start]) or site.has_section(parts[start]) or not key(parts[start])):
        start += 1
    return _without_weak_ends(_trimmed("".join(pieces[2 * start : 2 * end - 1])), site)


def _trimmed(text: str) -> str:
    return _EDGE.sub("", text) or text


def _closes(segment: str, site: Site) -> bool:
    """Whether a later segment names the site, also loosely: what follows it then is slogan."""
    return not spellings(segment) or site.named_by(segment) or site.resembled_by(segment)


def _without_weak_ends(text: str, site: Site) -> str:
    """Drop an end that only a colon, a tight hyphen or the like sets apart, where it is exactly a name of the site."""
    last = _LAST_WEAK.fullmatch(text)
    if last and site.named_by(last[2]):
        text = last[1]
    first = _FIRST_WEAK.fullmatch(text)
    if first and site.named_by(first[1]):
        text = first[2]
    tail = _EAST_ASIAN_TAIL.search(text)  # "标题-站名": titles in scripts without spaces have hyphens nowhere else
    if tail and re.search(f"[{_EAST_ASIAN}]", text[: tail.start()]):
        text = text[: tail.start()]
    return text.strip()
