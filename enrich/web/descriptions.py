"""Which of a page's candidates is its description: what it wrote for others to show, else its first paragraph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from enrich.normalise import collapse_space
from enrich.web.boilerplate import is_not_the_page, says_nothing
from enrich.web.page import Page, clean
from enrich.web.site_names import Site, key

MIN_PARAGRAPH_CHARACTERS = 60  # a shorter paragraph is a date line, a caption or a button
_POINTS_ELSEWHERE = re.compile(
    r"(?:visit|see|read|click|tap|check out|find out|learn|continue)\b.{0,30}"
    r"\b(?:more|here|post|page|article|details|site)\W*",
    re.IGNORECASE,
)


_BLOCK_TAG = re.compile(r"</?(?:p|div|ul|ol|li|h[1-6]|table|tr|td)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)


class DescriptionRule(StrEnum):
    """Which element gave the description."""

    OG = "og:description"
    META = "meta description"
    TWITTER = "twitter:description"
    JSON_LD = "json-ld"
    DUBLIN_CORE = "dc.description"
    MICRODATA = "microdata"
    PARAGRAPH = "paragraph"


class Description(NamedTuple):
    text: str
    rule: DescriptionRule


def choose_description(page: Page, site: Site, title: str | None) -> Description | None:
    """The first candidate, best source first, that says more than the title or the site's name; None if none does."""
    return next((one for one in _offered(page) if _tells(one.text, site, title or "")), None)


def _offered(page: Page) -> Iterator[Description]:
    for rule, names in (
        (DescriptionRule.OG, ("og:description",)),
        (DescriptionRule.META, ("description",)),
        (DescriptionRule.TWITTER, ("twitter:description",)),
    ):
        text = page.meta(*names)
        if text:
            yield Description(_plain(text), rule)
    for text in page.linked.descriptions[:1]:
        yield Description(_plain(clean(text)), DescriptionRule.JSON_LD)
    text = page.meta("dc.description", "dcterms.description", "dcterms.abstract", "abstract")
    if text:
        yield Description(text, DescriptionRule.DUBLIN_CORE)
    for text in page.items("description"):
        yield Description(text, DescriptionRule.MICRODATA)
    for text in page.paragraphs():
        if len(text) >= MIN_PARAGRAPH_CHARACTERS:
            yield Description(text, DescriptionRule.PARAGRAPH)


def _plain(text: str) -> str:
    """A description that shops write as markup, as text; one that speaks of a tag keeps it."""
    return collapse_space(_BLOCK_TAG.sub(" ", text)) if text.startswith("<") else text


def _tells(text: str, site: Site, title: str) -> bool:
    said = key(text)
    empty = not said or said == key(title) or says_nothing(text) or _POINTS_ELSEWHERE.fullmatch(text)
    return not (empty or site.resembled_by(text) or is_not_the_page(text))
