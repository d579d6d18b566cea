"""What a page says of itself: its meta tags, title, headings, linked data and paragraphs, out of text of any size.

A page is looked through once, by a scanner that is linear in its length, for the few elements that can name it;
comments, scripts, styles and drawings are stepped over. Only those elements, some kilobytes of a megabyte page, are
handed to BeautifulSoup (lxml), which knows what broken markup means. Nothing is ever executed or followed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

from bs4 import BeautifulSoup, Tag
from bs4.filter import SoupStrainer

from enrich.normalise import collapse_space
from enrich.web.linked_data import LinkedData, linked_data

MAX_PAGE_CHARACTERS = 2_000_000  # looked through; what names a page comes before that
ENOUGH_CHARACTERS = 100_000  # looked through behind a heading where a title and a description stand before it
MAX_ELEMENTS = 400  # of one page; a page with more says nothing new in the rest
MAX_HEADINGS = 20
MAX_ELEMENT_CHARACTERS = 10_000  # of one meta tag or script tag
MAX_INNER_CHARACTERS = 5_000  # of one title, heading or paragraph, markup included
MAX_TEXT_CHARACTERS = 5_000  # of one title or description

_OPENER = re.compile(r"<(?:!--|(?:script|style|svg|noscript|template|textarea|title|h1|meta)(?=[\s/>]))", re.I)
_SKIPPED_TO = {  # the element that is stepped over -> what ends it
    name: re.compile(f"</{name}(?=[\\s/>])", re.I)
    for name in ("script", "style", "svg", "noscript", "template", "textarea")
} | {name: re.compile(f"</?{name}(?=[\\s/>])", re.I) for name in ("title", "h1")}  # which do not nest
_TAG_END = re.compile(r"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_TELLING_META = re.compile(
    r"title|desc|site|app|section|headline|abstract|og:url|bot", re.I
)  # of the names that we ask for
_LINKED_DATA_TYPE = re.compile(r"application/ld\+json", re.I)
_PARAGRAPH = re.compile(r"<p(?=[\s>])[^>]{0,2000}>", re.I)
_PARAGRAPH_END = re.compile(
    r"</?(?:p|div|section|article|table|ul|ol|h[1-6]|script|style|form|blockquote)(?=[\s>])", re.I
)
_ITEM = re.compile(
    r"<(\w{1,10})\s[^<>]{0,500}?\bitemprop\s*=\s*[\"']?(headline|name|description)(?=[\"'\s>])[^<>]{0,500}>", re.I
)
_INLINE_TAG = re.compile(r"</?(?:a|b|br|em|font|i|mark|small|span|strong|sub|sup|u|wbr)(?:\s[^<>]{0,200})?/?>", re.I)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,20});", re.I)
_UNSAID = ["script", "style", "rt", "rp", "noscript", "svg", "template"]  # inside a heading, but not read out with it


class Meta(NamedTuple):
    name: str  # of property, name or itemprop, lower case
    content: str


class Page(NamedTuple):
    """The elements of one page that can name it, each cleaned: entities resolved, white space collapsed, in order."""

    metas: tuple[Meta, ...]
    title: str | None
    headings: tuple[str, ...]  # the level-1 headings
    linked: LinkedData
    text: str  # the page without scripts and the like, for what is looked at only where all else is silent

    def meta(self, *names: str) -> str | None:
        """The first content said under the first of `names` that says anything."""
        return next((meta.content for name in names for meta in self.metas if meta.name == name), None)

    def paragraphs(self) -> Iterator[str]:
        """The page's paragraphs as text, lazily."""
        for opening in _limited(_PARAGRAPH.finditer(self.text)):
            end = _PARAGRAPH_END.search(self.text, opening.end(), opening.end() + MAX_INNER_CHARACTERS)
            inner = self.text[opening.end() : end.start() if end else opening.end() + MAX_INNER_CHARACTERS]
            yield _said(BeautifulSoup(inner, "lxml"))

    def items(self, prop: str) -> Iterator[str]:
        """The text of elements whose microdata property is `prop`, lazily."""
        for opening in _limited(_ITEM.finditer(self.text)):
            if opening[2].lower() == prop and opening[1].lower() != "meta":
                end = self.text.find(f"</{opening[1]}", opening.end(), opening.end() + MAX_INNER_CHARACTERS)
                if end > 0:
                    yield _said(BeautifulSoup(self.text[opening.end() : end], "lxml"))


def read_page(text: str) -> Page:
    """Take a page apart. Any text is a page; never raises."""
    telling = _telling(text)
    soup = BeautifulSoup(telling.markup, "lxml", parse_only=SoupStrainer(["meta", "title", "h1"]))
    metas = tuple(meta for tag in soup.find_all("meta") for meta in _metas(tag))
    title = soup.find("title")
    headings = tuple(said for tag in soup.find_all("h1", limit=MAX_HEADINGS) if (said := _said(tag)))
    said = clean(title.get_text()) if title else ""
    return Page(metas, said or None, headings, linked_data(telling.scripts), telling.rest)


def clean(text: str) -> str:
    """One line of plain text: inline tags and doubly escaped entities resolved, white space and controls collapsed."""
    text = text[:MAX_TEXT_CHARACTERS]
    if _ENTITY.search(text):
        text = html.unescape(text)
    if "<" in text:
        text = _INLINE_TAG.sub(" ", text)
    return collapse_space(text.replace("\u00ad", "").replace("\u200b", ""))


class _Telling(NamedTuple):
    markup: str  # of the elements that can name the page
    scripts: list[str]  # its JSON-LD
    rest: str  # all but comments, scripts and the like


def _telling(text: str) -> _Telling:
    """Look through a page once, in time linear in its length."""
    found: list[str] = []
    scripts: list[str] = []
    rest: list[str] = []
    position, limit = 0, MAX_PAGE_CHARACTERS
    while (opener := _OPENER.search(text, position, limit)) and len(found) < MAX_ELEMENTS:
        start, name = opener.start(), opener.group()[1:].lower()
        rest.append(text[position:start])
        if name == "!--":
            end = text.find("-->", start + 4)
            position = end + 3 if end >= 0 else len(text)
            continue
        tag_end = _tag_end(text, opener.end())
        if name == "meta":
            if _TELLING_META.search(text, start, tag_end):
                found.append(text[start:tag_end])
            position = tag_end
            continue
        closing = _SKIPPED_TO[name].search(text, tag_end)
        end = closing.start() if closing else len(text)
        if name in ("title", "h1"):
            end = min(end, tag_end + MAX_INNER_CHARACTERS)
            found.append(f"<{name}>{text[tag_end:end]}</{name}>")
            if name == "h1" and limit == MAX_PAGE_CHARACTERS and _says_it_all(found):
                limit = min(limit, end + ENOUGH_CHARACTERS)
        elif name == "script" and _LINKED_DATA_TYPE.search(text, start, tag_end):
            scripts.append(text[tag_end:end])
        position = end
    rest.append(text[position:limit])
    return _Telling("".join(found), scripts, "".join(rest))


def _says_it_all(found: list[str]) -> bool:
    """Whether title and description have been found, so that more could only confirm them."""
    markup = "".join(found[:100]).lower()
    return "title" in markup and "description" in markup


def _tag_end(text: str, position: int) -> int:
    """Where the tag ends: at a > outside quotes, or, where a quote is never closed, at the first >."""
    quoted = _TAG_END.match(text, position, position + MAX_ELEMENT_CHARACTERS)
    if quoted:
        return quoted.end()
    plain = text.find(">", position, position + MAX_ELEMENT_CHARACTERS)
    return plain + 1 if plain >= 0 else min(position + MAX_ELEMENT_CHARACTERS, len(text))


def _metas(tag: Tag) -> Iterator[Meta]:
    content = tag.get("content") or tag.get("value")
    said = clean(str(content)) if content else ""
    if said:
        for attribute in ("property", "name", "itemprop"):
            for name in str(tag.get(attribute) or "").lower().split():
                yield Meta(name, said)


def _said(tag: Tag) -> str:
    for unsaid in tag.find_all(_UNSAID):
        unsaid.decompose()
    said = ""
    for piece in tag.strings:  # set apart what only a style sheet sets apart: "12 May" + "Title" in two spans
        apart = len(said) > 1 and said[-1].isalnum() and not said[-1].isupper() and piece[:1].isupper()
        said += (" " if apart else "") + piece
    return clean(said)


def _limited(matches: Iterator[re.Match[str]]) -> Iterator[re.Match[str]]:
    return (match for match, _ in zip(matches, range(MAX_ELEMENTS), strict=False))
