"""What a page's JSON-LD says of itself, valid or not: headlines, descriptions, the site's names, its sections."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_CHARACTERS = 400_000  # of one script; longer ones are data, not a description
MAX_NODES = 2_000  # looked at in one page
MAX_DEPTH = 12

# Types that describe something other than what the page is about.
_ABOUT_OTHERS = re.compile(
    r"organization|website|breadcrumb|listitem|itemlist|person|image|action|rating|review|offer|place|address|brand|"
    r"sitenavigation|wpheader|wpfooter|wpsidebar|searchresults|contactpoint|business|store|comment|question|answer|logo",
    re.IGNORECASE,
)
_SITES = re.compile(r"organization|website|publisher|brand|store|business", re.IGNORECASE)
_THINGS = re.compile(r"product|recipe|event|book|movie|course|howto|videoobject", re.IGNORECASE)
_WRAPPING = re.compile(
    r"^\s*(?:<!--|//\s*<!\[CDATA\[|<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/)|(?:-->|//\s*\]\]>|\]\]>|;)\s*$"
)
_TRAILING_COMMA = re.compile(r",\s*([}\]])")  # which JavaScript allows, and JSON does not
_LOOSE = re.compile(r'"(headline|description)"\s*:\s*"((?:[^"\\]|\\.){1,4000})"')
_NAME = 300  # characters; a longer name is none


class LinkedData(NamedTuple):
    """All as written, in the page's order."""

    headlines: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # of the thing that the page is about, where it has no headline
    things: tuple[str, ...] = ()  # those of the names that are of one thing, as a page has one, and no site
    descriptions: tuple[str, ...] = ()
    site_names: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()


class _Said(NamedTuple):
    kind: str
    text: str


def linked_data(scripts: Iterable[str]) -> LinkedData:
    """Read JSON-LD scripts. What does not parse is searched for a headline and a description; never raises."""
    said = [one for script in scripts if len(script) <= MAX_CHARACTERS for one in _read(script)]

    def of(kind: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.text for one in said if one.kind == kind and one.text.strip()))

    return LinkedData(of("headline"), of("name"), of("thing"), of("description"), of("site"), of("section"))


def _read(script: str) -> Iterator[_Said]:
    body = _WRAPPING.sub("", _WRAPPING.sub("", script.strip()))
    try:
        yield from _walk(json.loads(_TRAILING_COMMA.sub(r"\1", body), strict=False))
    except (ValueError, RecursionError):
        for match in _LOOSE.finditer(body):
            yield _Said(match[1], _unquoted(match[2]))


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text.replace("\\", "")


def _walk(root: object) -> Iterator[_Said]:
    pending: list[tuple[object, int]] = [(root, 0)]
    for _ in range(MAX_NODES):
        if not pending:
            return
        node, depth = pending.pop(0)
        if isinstance(node, list) and depth < MAX_DEPTH:
            pending.extend((child, depth + 1) for child in node[:MAX_NODES])
        elif isinstance(node, dict):
            yield from _node(node)
            if depth < MAX_DEPTH:
                below = (node.get(key) for key in ("@graph", "mainEntity", "mainEntityOfPage", "itemReviewed"))
                pending.extend((child, depth + 1) for child in below if isinstance(child, dict | list))


def _node(node: dict[str, object]) -> Iterator[_Said]:
    kind = " ".join(_strings(node.get("@type")))
    for key in ("publisher", "isPartOf", "sourceOrganization"):
        owner = node.get(key)
        if isinstance(owner, dict):
            yield from (_Said("site", text) for text in _strings(owner.get("name")))
    if _SITES.search(kind):
        names = [*_strings(node.get("name")), *_strings(node.get("alternateName"))]
        yield from (_Said("site", name) for name in names if len(name) <= _NAME)
    if kind and not _ABOUT_OTHERS.search(kind):
        yield from (_Said("headline", text) for text in _strings(node.get("headline")))
        names = _strings(node.get("name"))
        yield from (_Said("name", text) for text in names)
        yield from (_Said("thing", text) for text in names if _THINGS.search(kind))
        yield from (_Said("description", text) for text in _strings(node.get("description")))
        yield from (_Said("section", text) for text in _strings(node.get("articleSection")))


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
