"""Asks for pages and reads them, on this machine or on Ray's: outcomes of `enrich.fetch` become visits.

On Ray, each host belongs to one share of the work and each share to one worker, so that what a host is spared (turns,
delays, robots.txt) holds over all workers. A redirect to another share's host is not followed there but handed back,
and goes on from its target in that host's own share, in the next round.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from queue import Queue
from typing import NamedTuple

from enrich.errors import BadInput
from enrich.fetch import FetchSession, FetchSettings, Outcome, Reason, Request
from enrich.web.link_text import read_link
from enrich.web.visits import PRODUCER, Visit

_BATCH = 100  # most visits that a worker hands over at once


def visit_of(outcome: Outcome, settings: FetchSettings) -> Visit:
    """What an outcome tells of its page."""
    visit = Visit(outcome.url, Request(outcome.url).host, datetime.now(UTC), outcome.seconds, outcome.reason)
    if outcome.reason is not None:
        return visit
    if outcome.unchanged:
        return visit._replace(unchanged=True)
    agent = settings.agent if settings.obey_robots else None
    text, reason = read_link(outcome.body, outcome.content_type, outcome.final_url, agent, outcome.snippet)
    if text is None:
        return visit._replace(reason=reason)
    return Visit(
        *(visit.url, visit.host, visit.visited_at, visit.seconds, None, False),
        *(text.title, text.description, text.site_name, text.title_rule, text.description_rule),
        *(*outcome.validators, outcome.final_url, PRODUCER),
    )


def visit_here(requests: Sequence[Request], settings: FetchSettings, take: Callable[[Sequence[Visit]], None]) -> None:
    """Hand the visit of each request to `take` as it comes."""
    with FetchSession(settings) as session:
        session.visit(requests, lambda outcome: take([visit_of(outcome, settings)]))


class Found(NamedTuple):
    """What one worker has found in a while: visits, and requests that go on at other shares' hosts."""

    visits: list[Visit]
    moved: list[Request]


def visit_on_ray(requests: Sequence[Request], settings: FetchSettings, take: Callable[[Sequence[Visit]], None]) -> None:
    """As `visit_here`, on the Ray cluster of RAY_ADDRESS, else on one of this machine. Raises BadInput without Ray."""
    try:
        import ray
    except ImportError as error:
        raise BadInput("expected Ray for --engine ray, found none; pip install 'corkboard[ray]'") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    shares = max(1, int(ray.cluster_resources().get("CPU", 1)))
    worker = ray.remote(visit_share).options(num_returns="streaming", max_retries=0)
    todo = list(requests)
    while todo:
        running = [
            worker.remote(share, settings, number, shares)
            for number, share in enumerate(split_by_host(todo, shares))
            if share
        ]
        todo = []
        while running:
            ready, _ = ray.wait(running, num_returns=1, fetch_local=False)
            try:
                found: Found = ray.get(next(ready[0]))
            except StopIteration:
                running.remove(ready[0])
                continue
            take(found.visits)
            todo += found.moved


def split_by_host(requests: Sequence[Request], shares: int) -> list[list[Request]]:
    """The requests of each share; all of one host are in one."""
    split: list[list[Request]] = [[] for _ in range(shares)]
    for request in requests:
        split[share_of(request.host, shares)].append(request)
    return split


def share_of(host: str, shares: int) -> int:
    """Which share a host belongs to, the same in every process."""
    return zlib.crc32(host.encode()) % shares


def visit_share(requests: Sequence[Request], settings: FetchSettings, share: int, shares: int) -> Iterator[Found]:
    """One worker's part, in batches as they come: fetched in a thread, so that they can be handed over meanwhile."""
    outcomes: Queue[Outcome | None] = Queue()

    def fetch() -> None:
        try:
            with FetchSession(settings, hosts=lambda host: share_of(host, shares) == share) as session:
                session.visit(requests, outcomes.put)
        finally:
            outcomes.put(None)

    with ThreadPoolExecutor(1) as thread:
        fetched = thread.submit(fetch)
        for batch in _batches(outcomes):
            moved = [outcome for outcome in batch if outcome.reason == Reason.ELSEWHERE]
            visits = [visit_of(outcome, settings) for outcome in batch if outcome.reason != Reason.ELSEWHERE]
            yield Found(visits, [Request(o.url, start=o.final_url, redirects=o.redirects) for o in moved])
        fetched.result()  # raises what stopped it


def _batches(outcomes: Queue[Outcome | None]) -> Iterator[list[Outcome]]:
    """What the queue brings until its None: what is there already with the first that is waited for."""
    while (first := outcomes.get()) is not None:
        batch = [first]
        while len(batch) < _BATCH and not outcomes.empty():
            following = outcomes.get()
            if following is None:
                outcomes.put(None)
                break
            batch.append(following)
        yield batch
