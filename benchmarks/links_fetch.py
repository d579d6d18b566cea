"""The fetcher on a loopback web of 200 hosts with faults, against bare clients that check nothing; and its memory.

    python -m benchmarks.links_fetch [--json] [--urls 20000] [--memory-urls 200000]

1. fetching alone, ours and the bare clients' (`rivals/links_bare.py`), with the same delays, connections and timeouts;
2. fetching and reading together: pages whose texts were read, a second, the farm on the same machine;
3. the whole job, `enrich links`, over many small pages: memory of all its processes.

Every URL of the farm has one reason that must come of it; one that has another fails the benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pyarrow as pa

from benchmarks._links_farm import FarmURL, farm, farm_urls
from benchmarks._report import Mark, Report, finish
from benchmarks.rivals.links_bare import Manners, bare_httpcore, bare_httpx
from enrich import parts
from enrich.fetch import Fetcher, FetchSession, FetchSettings, Outcome, Request
from enrich.tables import PIN_LINK, PINS
from enrich.web.visiting import Visit
from enrich.web.visiting_processes import visit_here
from enrich.workspace import Catalogue, Workspace

MIN_RATIO = 0.8
MIN_PAGES_PER_SECOND = 200.0
MAX_MEGABYTES = 600.0
MAX_GROWTH_MEGABYTES = 60.0  # after the first third of the pages
MANNERS = Manners()
LINKS = (sys.executable, "-c", "from enrich.cli import main; main()", "links")
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
    with farm() as address, FetchSession(Fetcher(polite(address))) as session:
        started = time.perf_counter()
        session.visit([Request(one.url) for one in urls], take)
        return time.perf_counter() - started


def bare(client: Bare, urls: Sequence[FarmURL]) -> float:
    """Seconds for all of `urls` by a bare client."""
    with farm() as address:
        started = time.perf_counter()
        asyncio.run(client([one.url for one in urls], address, MANNERS))  # type: ignore[arg-type]  # a coroutine
        return time.perf_counter() - started


def read_too(urls: Sequence[FarmURL]) -> float:
    """Pages whose texts were read, a second."""
    made = 0

    def take(visits: Sequence[Visit]) -> None:
        nonlocal made
        made += sum(visit.reason is None for visit in visits)

    with farm() as address:
        started = time.perf_counter()
        visit_here([Request(one.url) for one in urls], polite(address), take)
        return made / (time.perf_counter() - started)


def memory(count: int) -> tuple[float, float]:
    """Peak megabytes of `enrich links` over `count` pages, all its processes; and growth after its first third."""
    with tempfile.TemporaryDirectory() as folder, farm(latency=0.0, small=True) as address:
        workspace = Workspace.at(folder)
        workspace.create(Catalogue("native", "benchmark"))
        write_pins(workspace, count)
        command = [*LINKS, "--connect-to", address, "--workspace", folder]
        with psutil.Popen(command) as job:
            samples = []
            while job.poll() is None:
                samples.append(tree_mb(job))
                time.sleep(0.2)
        assert job.returncode == 0, f"expected enrich links to end well, found status {job.returncode}"
        made = parts.count(workspace.folder(PIN_LINK))
        assert made == count, f"expected {count} rows, found {made}"
    return max(samples), max(samples) - max(samples[: len(samples) // 3 + 1])


def write_pins(workspace: Workspace, count: int) -> None:
    columns = {
        "pin_id": pa.array(map(str, range(count)), pa.string()),
        "link_url": pa.array((f"http://host{n % 200}.example/page/{n}" for n in range(count)), pa.string()),
        "created_at": pa.array([datetime(2025, 1, 1, tzinfo=UTC)] * count, pa.timestamp("us", "UTC")),
    }
    filled = {field.name: columns.get(field.name, pa.nulls(count, field.type)) for field in PINS.schema}
    parts.append(workspace.folder(PINS), PINS, pa.table(filled))


def tree_mb(process: psutil.Process) -> float:
    """Memory that a process and those it started hold now, MB; what they share counted once (Linux: PSS)."""
    try:
        return sum(_pss(one) for one in (process, *process.children(recursive=True))) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


def open_files() -> int:
    """Files and sockets that this process has open now (Linux)."""
    return len(list(Path("/proc/self/fd").iterdir()))


def main() -> int:
    parser = argparse.ArgumentParser(description="The fetcher against bare clients, and its memory.")
    parser.add_argument("--urls", type=int, default=20_000, help="of the farm with faults")
    parser.add_argument("--memory-urls", type=int, default=200_000, help="of small pages")
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    arguments = parser.parse_args()
    urls = farm_urls(arguments.urls)
    peak, growth = memory(arguments.memory_urls)
    expected, reasons, opened = dict(urls), dict[str, str | None](), open_files()
    ours = len(urls) / fetched(urls, lambda outcome: reasons.__setitem__(outcome.url, outcome.reason))
    wrong = sum(reasons[url] != reason for url, reason in expected.items())
    left = open_files() - opened
    rival = len(urls) / bare(bare_httpcore, urls)
    few = urls[: len(urls) // 4]  # of httpx, which takes several times as long
    pages_per_second = read_too(urls)
    report = Report("links_fetch", "URLs/s", ("httpcore", "httpx", "h11", "anyio"))
    report.compare(ours, rival)
    report.marks = [
        Mark("URLs/s, ours ÷ bare httpcore", ours / rival, f">= {MIN_RATIO}"),
        Mark("pages/s fetched and read, farm included", pages_per_second, f">= {MIN_PAGES_PER_SECOND}"),
        Mark("URLs that came to another reason than theirs", wrong, "<= 0"),
        Mark(f"peak MB over {arguments.memory_urls} pages", peak, f"<= {MAX_MEGABYTES}"),
        Mark("MB grown after the first third", growth, f"<= {MAX_GROWTH_MEGABYTES}"),
        Mark("files and sockets left open", left, "<= 0"),
    ]
    report.figures[f"bare httpx over {len(few)} of the URLs, URLs/s"] = len(few) / bare(bare_httpx, few)
    return finish(report, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
