"""The fetcher on a loopback web of 200 hosts with faults, against bare clients that check nothing; and its memory.

    python -m benchmarks.links_fetch [--json] [--urls 20000] [--memory-urls 200000]

1. fetching alone, ours and the bare clients' (`rivals/links_bare.py`), with the same delays, connections and timeouts;
2. fetching and reading together: pages whose texts were read, a second, the farm on the same machine;
3. the whole job, `enrich.links.run_links`, over many small pages: memory, open files.

Every URL of the farm has one reason that must come of it; one that has another fails the benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from benchmarks._links_farm import FarmURL, farm, farm_urls
from benchmarks._report import Mark, Report, finish, resident_mb
from benchmarks.rivals.links_bare import Manners, bare_httpcore, bare_httpx
from enrich import parts
from enrich.fetch import FetchSession, FetchSettings, Outcome, Request
from enrich.links import LinkSettings, linked_pins, run_links
from enrich.tables import PINS
from enrich.web.visiting import visit_of
from enrich.workspace import Catalogue, Workspace

MIN_RATIO = 0.8
MIN_PAGES_PER_SECOND = 200.0
MAX_MEGABYTES = 600.0
MAX_GROWTH_MEGABYTES = 60.0  # after the first third of the pages
MANNERS = Manners()
Bare = Callable[[Sequence[str], str, Manners], Awaitable[None]]


def polite(address: str) -> FetchSettings:
    """Our settings with the rivals' manners; so many silences do not matter, since every host has some."""
    return FetchSettings(
        connect_to=address,
        host_connections=MANNERS.connections,
        host_delay=MANNERS.delay,
        connect_timeout=MANNERS.read,
        read_timeout=MANNERS.read,
        total_timeout=MANNERS.total,
        concurrency=512,
        max_silences=1_000,
    )


def fetched(urls: Sequence[FarmURL], take: Callable[[Outcome], None]) -> float:
    """Seconds for all of `urls` on a farm of their own."""
    with farm() as address, FetchSession(polite(address)) as session:
        started = time.perf_counter()
        session.visit([Request(one.url) for one in urls], take)
        return time.perf_counter() - started


def bare(client: Bare, urls: Sequence[FarmURL]) -> float:
    """Seconds for all of `urls` by a bare client."""
    with farm() as address:
        started = time.perf_counter()
        asyncio.run(client([one.url for one in urls], address, MANNERS))  # type: ignore[arg-type]  # a coroutine
        return time.perf_counter() - started


def read_too(urls: Sequence[FarmURL]) -> tuple[float, int]:
    """Pages whose texts were read a second, and how many URLs came to another reason than theirs."""
    expected = dict(urls)
    settings = polite("127.0.0.1:1")
    made, wrong = 0, 0

    def take(outcome: Outcome) -> None:
        nonlocal made, wrong
        wrong += outcome.reason != expected[outcome.url]
        made += visit_of(outcome, settings).reason is None

    taken = fetched(urls, take)
    return made / taken, wrong


def open_files() -> int:
    """Files and sockets open now (Linux)."""
    return len(list(Path("/proc/self/fd").iterdir()))


def memory(count: int) -> tuple[float, float, int]:
    """Peak megabytes of the whole job over `count` pages; growth after its first third; files left open."""
    urls = [f"http://host{n % 200}.example/page/{n}" for n in range(count)]
    with tempfile.TemporaryDirectory() as folder, farm(latency=0.0, small=True) as address:
        workspace = Workspace.at(folder)
        workspace.create(Catalogue("native", "benchmark"))
        columns = {"pin_id": list(map(str, range(count))), "link_url": urls}
        created = [datetime(2025, 1, 1, tzinfo=UTC)] * count
        table = pa.table({**columns, "created_at": pa.array(created, pa.timestamp("us", "UTC"))})
        filled = {
            f.name: table[f.name] if f.name in table.column_names else pa.nulls(count, f.type) for f in PINS.schema
        }
        parts.append(workspace.folder(PINS), PINS, pa.table(filled))
        linked_pins(workspace)  # so that what Polars opens once, and keeps, is open
        opened, samples, done = open_files(), [resident_mb()], threading.Event()

        def sample() -> None:
            while not done.wait(0.2):
                samples.append(resident_mb())

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        made = run_links(workspace, LinkSettings(connect_to=address)).made
        done.set()
        thread.join()
        assert made == count, f"expected {count} rows, made {made}"
        left = open_files() - opened
    return max(samples), max(samples) - max(samples[: len(samples) // 3 + 1]), left


def main() -> int:
    parser = argparse.ArgumentParser(description="The fetcher against bare clients, and its memory.")
    parser.add_argument("--urls", type=int, default=20_000, help="of the farm with faults")
    parser.add_argument("--memory-urls", type=int, default=200_000, help="of small pages")
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    arguments = parser.parse_args()
    urls = farm_urls(arguments.urls)
    ours = len(urls) / fetched(urls, lambda outcome: None)
    rivals = {client.__name__: len(urls) / bare(client, urls) for client in (bare_httpcore, bare_httpx)}
    rival = max(rivals.values())
    pages_per_second, wrong = read_too(urls)
    peak, growth, left = memory(arguments.memory_urls)
    report = Report("links_fetch", "URLs/s", ("httpcore", "httpx", "h11", "anyio"))
    report.compare(ours, rival)
    report.marks = [
        Mark("URLs/s, ours ÷ the faster bare client", ours / rival, f">= {MIN_RATIO}"),
        Mark("pages/s fetched and read, farm included", pages_per_second, f">= {MIN_PAGES_PER_SECOND}"),
        Mark("URLs that came to another reason than theirs", wrong, "<= 0"),
        Mark(f"peak MB over {arguments.memory_urls} pages", peak, f"<= {MAX_MEGABYTES}"),
        Mark("MB grown after the first third", growth, f"<= {MAX_GROWTH_MEGABYTES}"),
        Mark("files and sockets left open", left, "<= 0"),
    ]
    report.figures |= {f"{client}, URLs/s": speed for client, speed in rivals.items()}
    return finish(report, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
