"""Asks for pages and reads them: outcomes of `enrich.fetch` become visits, of all pages or of one worker's share.

Where many work at once, each host belongs to one share of the work and each share to one worker, so that what a host is
spared (turns, delays, robots.txt) holds over all workers. A redirect to another share's host is not followed there but
handed back, and goes on from its target in that host's own share, in the next round.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from enrich.fetch import Fetcher, FetchSession, FetchSettings, Outcome, Reason, Request
from enrich.web.exchange import Validators
from enrich.web.link_text import read_link

PRODUCER = "link-rules/6"  # raised whenever the rules give other texts: then every page is read anew


class Visit(NamedTuple):
    """One page's outcome as it comes; of an unchanged or unreadable page, without texts."""

    url: str
    host: str
    visited_at: datetime
    seconds: float
    reason: str | None = None
    unchanged: bool = False
    link_title: str | None = None
    link_description: str | None = None
    site_name: str | None = None
    title_rule: str | None = None
    description_rule: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    final_url: str | None = None
    read_by: str | None = None
    snippet: bool = True  # of an unchanged page: whether its description may still be used


Take = Callable[[Sequence[Visit]], None]


class Found(NamedTuple):
    """What a worker has found: visits, and requests that go on at other shares' hosts."""

    visits: list[Visit]
    moved: list[Request]


class Share(NamedTuple):
    """One worker's part: requests to the hosts of share `number` of `of`."""

    requests: list[Request]
    number: int
    of: int


Run = Callable[[Sequence[Share], FetchSettings], Iterable[Found]]  # the shares' work, as it gets done


def visit_all(requests: Sequence[Request], settings: FetchSettings, take: Take) -> None:
    """Hand the visit of each request to `take` as it comes, asked for by this process."""
    with FetchSession(Fetcher(settings)) as session:
        session.visit(requests, lambda outcome: take([visit_of(outcome, settings)]))


def visit_shares(requests: Sequence[Request], settings: FetchSettings, shares: int, run: Run, take: Take) -> None:
    """Hand the visit of each request to `take`, by `run`, in as many rounds as redirects lead from share to share."""
    todo = list(requests)
    while todo:
        work = [share for share in split_by_host(todo, shares) if share.requests]
        each = replace(settings, concurrency=max(1, settings.concurrency // len(work)))
        todo = []
        for found in run(work, each):
            take(found.visits)
            todo += found.moved


def split_by_host(requests: Sequence[Request], shares: int) -> list[Share]:
    """The requests of each share; all of one host are in one."""
    split = [Share([], number, shares) for number in range(shares)]
    for request in requests:
        split[share_of(request.host, shares)].requests.append(request)
    return split


def share_of(host: str, shares: int) -> int:
    """Which share a host belongs to, the same in every process."""
    return zlib.crc32(host.encode()) % shares


def visit_share(share: Share, settings: FetchSettings, give: Callable[[Found], None]) -> None:
    """Hand what becomes of each request of a share to `give` as it comes."""
    asked = {request.url: request for request in share.requests}

    def take(outcome: Outcome) -> None:
        if outcome.reason == Reason.ELSEWHERE:
            moved = asked[outcome.url]._replace(start=outcome.final_url, redirects=outcome.redirects)
            give(Found([], [moved]))
        else:
            give(Found([visit_of(outcome, settings)], []))

    with FetchSession(Fetcher(settings, hosts=lambda host: share_of(host, share.of) == share.number)) as session:
        session.visit(share.requests, take)


def visit_of(outcome: Outcome, settings: FetchSettings) -> Visit:
    """What an outcome tells of its page."""
    visit = Visit(outcome.url, Request(outcome.url).host, datetime.now(UTC), outcome.seconds, outcome.reason)
    if outcome.reason is not None:
        return visit
    if outcome.unchanged:
        return visit._replace(unchanged=True, snippet=outcome.snippet)
    agent = settings.agent if settings.obey_robots else None
    reading = read_link(outcome.body, outcome.content_type, outcome.final_url, agent, outcome.snippet)
    if (text := reading.text) is None:
        return visit._replace(reason=reading.reason)
    validators = outcome.validators if reading.lasting else Validators()
    return Visit(
        *(visit.url, visit.host, visit.visited_at, visit.seconds, None, False),
        *(text.title, text.description, text.site_name, text.title_rule, text.description_rule),
        *(*validators, outcome.final_url, PRODUCER),
    )
