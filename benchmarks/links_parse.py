"""Pages read a second on one core: `enrich.links.extract_link_text` against trafilatura's `extract_metadata`.

    python -m benchmarks.links_parse [--json] [--passes N]

Reads the farm's pages (254 real ones where ../shared/data is there). Both read the same bytes, in turns, measured in
processor seconds; the best pass of each counts. Needs `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from benchmarks._links_farm import REAL_PAGES, real_pages
from benchmarks._report import Mark, Report, finish
from enrich.links import extract_link_text

MIN_RATIO = 4.0
MAX_SECONDS = 1.0  # of any page
MIN_MEGABYTE_RATIO = 20.0  # on a page with a megabyte of paragraphs behind a head that says it all
Read = Callable[[bytes], object]


def seconds(read: Read, pages: list[bytes]) -> list[float]:
    """Processor seconds of each page."""
    taken = []
    for page in pages:
        started = time.process_time()
        read(page)
        taken.append(time.process_time() - started)
    return taken


def ours(page: bytes) -> object:
    return extract_link_text(page, "text/html")


def trafilatura() -> Read:
    """Its metadata extraction as its documentation shows. Exits with what to install where it is missing."""
    try:
        from trafilatura import extract_metadata
    except ImportError:
        sys.exit("expected trafilatura to compare with, found none; pip install -e '.[bench]'")
    return extract_metadata


def megabyte_ratio(rival: Read) -> float:
    """How much faster we are on a page whose head says it all, with a megabyte of text behind it."""
    page = b"<html><head><title>Lemon cake | Crumbs</title><meta property=og:title content='Lemon cake'>"
    page += b"<meta property=og:description content='Sour and sweet'></head><body><h1>Lemon cake</h1>"
    page += b"<p>Butter, <b>sugar</b> and <a href='/eggs'>eggs</a>.</p>\n" * 20_000
    return min(seconds(rival, [page] * 3)) / min(seconds(ours, [page] * 10))


def main() -> int:
    parser = argparse.ArgumentParser(description="Pages read a second, against trafilatura.")
    parser.add_argument("--passes", type=int, default=5, help="over all pages")
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    arguments = parser.parse_args()
    pages, rival = real_pages(), trafilatura()
    seconds(ours, pages[:20]), seconds(rival, pages[:20])  # what is loaded at first use is not measured
    slowest, best = 0.0, {ours: 0.0, rival: 0.0}
    for _ in range(arguments.passes):
        for read in best:
            taken = seconds(read, pages)
            best[read] = max(best[read], len(pages) / sum(taken))
            slowest = max(slowest, *taken) if read is ours else slowest
    report = Report("links_parse", "pages/s", ("trafilatura", "lxml", "beautifulsoup4", "charset-normalizer"))
    report.compare(best[ours], best[rival])
    report.marks = [
        Mark("pages/s, ours ÷ trafilatura", best[ours] / best[rival], f">= {MIN_RATIO}"),
        Mark("slowest page, seconds", slowest, f"<= {MAX_SECONDS}"),
        Mark("the same on a megabyte behind a telling head", megabyte_ratio(rival), f">= {MIN_MEGABYTE_RATIO}"),
    ]
    report.figures["pages"] = f"{len(pages)} {'real' if REAL_PAGES.is_file() else 'sample'}, {arguments.passes} passes"
    return finish(report, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
