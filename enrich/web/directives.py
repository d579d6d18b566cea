"""What a page's operator allows to be made of it, beyond robots.txt: X-Robots-Tag headers and <meta name="robots">.

Both speak one language (Google's "Robots meta tag specifications"): comma-separated directives, in a header perhaps
behind the name of the agent that is meant. Three concern us: noindex (and none, and a passed unavailable_after): the
page must not be found by what it says; nosnippet (and max-snippet:0): its description must not be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from enrich.web.dates import read_date

_UNAVAILABLE_AFTER = re.compile(r"unavailable_after\s*:\s*((?:[a-z]{3,9},\s*)?[^,]+)", re.IGNORECASE)
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
MAX_CHARACTERS = 4_000  # of one header or tag


class Allowed(NamedTuple):
    """Whether the page may be found by its texts, and whether its description may be used."""

    indexing: bool = True
    snippet: bool = True


def allowed_by(values: Iterable[str], agent: str) -> Allowed:
    """What headers (or tags, which name no agent) allow to `agent`, a product token as in robots.txt."""
    said = {directive for value in values for directive in _directives(value[:MAX_CHARACTERS], agent.lower())}
    return Allowed(said.isdisjoint(("noindex", "none")), said.isdisjoint(("nosnippet", "max-snippet:0")))


def name_last_day(values: Iterable[str]) -> bool:
    """Whether headers or tags name a date from which the page must not be found by its texts, to whomever."""
    return any(_UNAVAILABLE_AFTER.search(value[:MAX_CHARACTERS]) for value in values)


def _directives(value: str, agent: str) -> Iterable[str]:
    until = _UNAVAILABLE_AFTER.search(value)
    if until is not None:
        value = value[: until.start()] + ("noindex" if _has_passed(until[1]) else "") + value[until.end() :]
    meant = True
    for piece in value.lower().split(","):
        name, colon, rest = (part.strip() for part in piece.partition(":"))
        if colon and name not in _VALUED:  # an agent's name: what follows is for it alone
            meant, name, colon, rest = name == agent, rest, "", ""
        if meant:
            yield name + colon + rest


def _has_passed(date: str) -> bool:
    """Whether a date is over. One that cannot be read binds nobody."""
    moment = read_date(date)
    return moment is not None and moment < datetime.now(UTC)
