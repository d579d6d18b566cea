"""What a page says of itself: its meta tags, title, headings, linked data and paragraphs, out of text of any size.

A page is looked through once, by a scanner that is linear in its length, for the few elements that can name it;
comments, scripts, styles and drawings are stepped over. Only those elements, some kilobytes of a megabyte page, are
handed to BeautifulSoup (lxml), which knows what broken markup means. Nothing is ever executed or followed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from bs4 import BeautifulSoup, Tag
from bs4.filter import SoupStrainer

from enrich.normalise import collapse_space
from enrich.web.linked_data import LinkedData, linked_data

MAX_PAGE_CHARACTERS = 2_000_000  # looked through; what names a page comes before that
ENOUGH_CHARACTERS = 100_000  # looked through behind a heading where a title and a description stand before it
MAX_ELEMENTS = 400  # of one page; a page with more says nothing new in the rest
MAX_MARKUP_CHARACTERS = 100_000  # of those elements together
MAX_HEADINGS = 20  # of each level
MAX_ELEMENT_CHARACTERS = 10_000  # of one meta tag or script tag
MAX_ATTRIBUTES_CHARACTERS = 500  # before and behind an itemprop in its tag
MAX_INNER_CHARACTERS = 5_000  # of one title, heading or paragraph, markup included
MAX_PARSED_CHARACTERS = 20_000  # of all paragraphs, all headings of level 2 or all items looked at, markup included
MAX_TEXT_CHARACTERS = 5_000  # of one title or description

_OPENER = re.compile(r"<(?:!--|(?:script|style|svg|noscript|template|textarea|title|h1|meta)(?=[\s/>]))", re.I)
_SKIPPED_TO = {  # the element that is stepped over -> what ends it
    name: re.compile(f"</{name}(?=[\\s/>])", re.I)
    for name in ("script", "style", "svg", "noscript", "template", "textarea")
} | {name: re.compile(f"</?{name}(?=[\\s/>])", re.I) for name in ("title", "h1")}  # which do not nest
_COMMENT_END = re.compile("--!?>")  # looked for from the comment's own --, as <!--> is a whole one
_TAG_END = re.compile(r"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_TELLING_META = re.compile(
    r"title|desc|site|app|section|headline|abstract|og:url|bot", re.I
)  # of the names that we ask for
_LINKED_DATA_TYPE = re.compile(r"application/ld\+json", re.I)
_PARAGRAPH = re.compile(r"<p(?=[\s>])[^<>]{0,2000}+>", re.I)
_SUBHEADING = re.compile(r"<h2(?=[\s>])[^<>]{0,2000}+>", re.I)
_SUBHEADING_END = re.compile(r"</?h[1-6](?=[\s>])", re.I)
_PARAGRAPH_END = re.compile(
    r"</?(?:p|div|section|article|table|ul|ol|h[1-6]|script|style|form|blockquote)(?=[\s>])", re.I
)
_ITEM = re.compile(r"\bitemprop\s*=\s*[\"']?(headline|name|description)(?=[\"'\s>])", re.I)
_TAG_START = re.compile(r"<(\w{1,10})\s[^<>]*$")
_INLINE_TAG = re.compile(r"</?(?:a|b|br|em|font|i|mark|small|span|strong|sub|sup|u|wbr)(?:\s[^<>]{0,200})?/?>", re.I)
_AFTER_TITLE = re.compile(r"</?(?:head|body|html|meta|link|script|style|h1)(?=[\s/>])", re.I)  # it was not closed
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,20});", re.I)
# Soft hyphens, zero-width spaces and joiners of words, marks of direction: how a text is set, not what it says.
_UNSEEN = dict.fromkeys((0xAD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
_UNSAID = ["script", "style", "rt", "rp", "noscript", "svg", "template"]  # inside a heading, but not read out with it
_UNSAID_OR_LINK = [*_UNSAID, "a"]


class Meta(NamedTuple):
    name: str  # of property, name or itemprop, lower case
    content: str


class Page(NamedTuple):
    """The elements of one page that can name it, each cleaned: entities resolved, white space collapsed, in order."""

    metas: tuple[Meta, ...]
    title: str | None
    headings: tuple[str, ...]  # of level 1
    linked: LinkedData
    text: str  # the page without scripts and the like, for what is looked at only where all else is silent

    def meta(self, *names: str) -> str | None:
        """The first content said under the first of `names` that says anything."""
        return next((meta.content for name in names for meta in self.metas if meta.name == name), None)

    def subheadings(self) -> tuple[str, ...]:
        """The headings of level 2."""
        told = _few(islice(_inner(self.text, _SUBHEADING, _SUBHEADING_END), MAX_HEADINGS))
        soup = BeautifulSoup("".join(f"<h2>{inner}</h2>" for inner in told), "lxml")
        return tuple(said for tag in soup.find_all("h2") if (said := _said(tag)))

    def paragraphs(self) -> Iterator[str]:
        """The page's paragraphs as text, lazily."""
        for inner in _few(_inner(self.text, _PARAGRAPH, _PARAGRAPH_END)):
            yield _said(_parsed(inner))

    def items(self, prop: str) -> Iterator[str]:
        """The text of elements whose microdata property is `prop`, lazily."""
        found = islice(_ITEM.finditer(self.text), MAX_ELEMENTS)
        asked = (_item(self.text, said.start()) for said in found if said[1].lower() == prop)
        for inner in _few(filter(None, asked)):
            yield _said(_parsed(inner))


def read_page(text: str) -> Page:
    """Take a page apart. Any text is a page; never raises."""
    telling = _telling(text.replace("\0", ""))
    soup = BeautifulSoup(telling.markup, "lxml", parse_only=SoupStrainer(["meta", "title", "h1"]))
    metas = tuple(meta for tag in soup.find_all("meta") for meta in _metas(tag))
    title = soup.find("title")
    headings = tuple(said for tag in soup.find_all("h1", limit=MAX_HEADINGS) if (said := _said(tag)))
    said = clean(title.get_text()) if title else ""
    return Page(metas, said or None, headings, linked_data(telling.scripts), telling.rest)


def clean(text: str) -> str:
    """One line of plain text: no inline tags, double escapes, runs of white space, controls or unseen marks."""
    text = text[:MAX_TEXT_CHARACTERS]
    if _ENTITY.search(text):
        text = html.unescape(text)
    if "<" in text:
        text = _INLINE_TAG.sub(" ", text)
    return collapse_space(text.translate(_UNSEEN))


class _Telling(NamedTuple):
    markup: str  # of the elements that can name the page
    scripts: list[str]  # its JSON-LD
    rest: str  # all but comments, scripts and the like


@dataclass(slots=True)
class _Found:
    """The elements picked out of a page, no more of them than can say anything new."""

    pieces: list[str]
    characters: int = 0

    def add(self, markup: str) -> None:
        self.pieces.append(markup)
        self.characters += len(markup)

    @property
    def full(self) -> bool:
        return len(self.pieces) >= MAX_ELEMENTS or self.characters > MAX_MARKUP_CHARACTERS

    @property
    def says_it_all(self) -> bool:
        """Whether title and description are there, so that more could only confirm them."""
        markup = "".join(self.pieces[:100]).lower()
        return "title" in markup and "description" in markup


def _telling(text: str) -> _Telling:
    """Look through a page once, in time linear in its length."""
    found = _Found([])
    scripts: list[str] = []
    rest: list[str] = []
    position, limit = 0, MAX_PAGE_CHARACTERS
    while (opener := _OPENER.search(text, position, limit)) and not found.full:
        start, name = opener.start(), opener.group()[1:].lower()
        rest.append(text[position:start])
        if name == "!--":
            ended = _COMMENT_END.search(text, start + 2)
            position = ended.end() if ended else len(text)
            continue
        tag_end = _tag_end(text, opener.end())
        if name == "meta":
            if _TELLING_META.search(text, start, tag_end):
                found.add(text[start:tag_end])
            position = tag_end
            continue
        closing = _SKIPPED_TO[name].search(text, tag_end)
        end = closing.start() if closing else len(text)
        if name in ("title", "h1"):
            end = min(end, tag_end + MAX_INNER_CHARACTERS)
            if name == "title" and (unclosed := _AFTER_TITLE.search(text, tag_end, end)):
                end = unclosed.start()
            found.add(f"<{name}>{text[tag_end:end]}</{name}>")
            if name == "h1" and limit == MAX_PAGE_CHARACTERS and found.says_it_all:
                limit = min(limit, end + ENOUGH_CHARACTERS)
        elif name == "script" and _LINKED_DATA_TYPE.search(text, start, tag_end):
            scripts.append(text[tag_end:end])
        position = end
    rest.append(text[position:limit])
    return _Telling("".join(found.pieces), scripts, "".join(rest))


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


def _parsed(inner: str) -> Tag:
    """Markup as a tree; inside a tag of ours, since what looks like an address or like XML makes the parser warn."""
    return BeautifulSoup(f"<div>{inner}</div>", "lxml")


def _said(tag: Tag) -> str:
    for unsaid in tag.find_all(_UNSAID_OR_LINK):
        if unsaid.name != "a" or _is_mark(unsaid):
            unsaid.decompose()
    said = ""
    for piece in tag.strings:
        said += (" " if _set_apart(said, piece) else "") + piece
    return clean(said)


def _is_mark(link: Tag) -> bool:
    """Whether it is the ¶ or # by which documentation links to its own headings."""
    return "#" in str(link.get("href")) and not any(map(str.isalnum, link.get_text()))


def _set_apart(said: str, piece: str) -> bool:
    """Whether only a style sheet sets the piece apart from what is before it: "12 May" + "Title" in two spans."""
    if len(said) < 2 or not said[-1].isalnum() or not piece[:1].isupper():
        return False
    return not said[-1].isupper() or (said[-2].isupper() and piece[1:2].islower())


def _item(text: str, position: int) -> str | None:
    """What is inside the element in whose tag `position` is; None for a meta tag or no tag at all."""
    tag = _TAG_START.search(text[max(0, position - MAX_ATTRIBUTES_CHARACTERS) : position])
    opened = text.find(">", position, position + MAX_ATTRIBUTES_CHARACTERS)
    if tag is None or opened < 0 or tag[1].lower() == "meta":
        return None
    end = text.find(f"</{tag[1]}", opened, opened + MAX_INNER_CHARACTERS)
    return text[opened + 1 : end] if end > 0 else None


def _few(inners: Iterable[str]) -> Iterator[str]:
    """As many of them as make up MAX_PARSED_CHARACTERS: parsing empty tags takes 6 µs a character."""
    left = MAX_PARSED_CHARACTERS
    for inner in inners:
        left -= len(inner)
        if left < 0:
            return
        yield inner


def _inner(text: str, opening: re.Pattern[str], end: re.Pattern[str]) -> Iterator[str]:
    """The markup inside the elements that `opening` opens, up to `end` or so many characters."""
    for opened in islice(opening.finditer(text), MAX_ELEMENTS):
        start, limit = opened.end(), opened.end() + MAX_INNER_CHARACTERS
        closed = end.search(text, start, limit)
        yield text[start : closed.start() if closed else limit]
