"""robots.txt: the cases of Google's and Protego's own tests, and what a hostile file costs."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import httpcore
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.web.addresses import WebURL
from enrich.web.exchange import Want, take_answer
from enrich.web.fetch_reasons import FetchFailed
from enrich.web.robots import MAX_KEPT_BYTES, MAX_ROBOTS_BYTES, RobotsCache, Rules, robots_allows

URL = "http://example.com/private/page"


def test_nearly_every_case_of_the_collection_is_right(shared_data: Path) -> None:
    cases = [json.loads(line) for line in (shared_data / "link_pages" / "robots.jsonl").read_text().splitlines()]
    wrong = [c for c in cases if robots_allows(c["robots"].encode(), c["agent"], c["url"]) != c["allowed"]]
    assert wrong == []


@pytest.mark.parametrize(
    ("robots", "allowed"),
    [
        (b"", True),
        (b"User-agent: *\nDisallow: /private", False),
        (b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /private\r\n", False),
        (b"User-agent: CorkboardBot/1.0\nDisallow: /private", False),
        (b"User-agent: corkboardbot and friends\nDisallow: /private", False),
        (b"User-agent: * # all\nDisallow: /private", False),
        (b"User-agent: OtherBot\nDisallow: /", True),
        (b"User-agent: *\nDisallow: /\n\nUser-agent: CorkboardBot\nDisallow:\n", True),
        (b"User-agent: *\nDisallow: /private\nAllow: /private/page", True),
        (b"User-agent: Corkboard\nAllow: /\n\nUser-agent: *\nDisallow: /", False),
        (b"User-agent: Corkboard\nDisallow: /", True),
        (b"User-agent: CorkboardBot\nContent-Signal: search=yes\nUser-agent: *\nDisallow: /private", False),
        (b"User-agent: CorkboardBot\nSitemap: /s.xml\n\nUser-agent: OtherBot\nDisallow: /private", False),
        (b"<html>not found</html>", True),
        (b"\xff\xfe\x00\x01", True),
    ],
)
def test_what_a_file_says_to_us(robots: bytes, allowed: bool) -> None:
    assert robots_allows(robots, "CorkboardBot", URL) is allowed


def test_the_crawl_delay_is_that_of_the_agents_group() -> None:
    robots = b"User-agent: *\nCrawl-delay: 9\n\nUser-agent: CorkboardBot\nCrawl-delay: 2.5\n"
    assert Rules(robots, "CorkboardBot").crawl_delay == 2.5
    assert Rules(robots, "OtherBot").crawl_delay == 9
    assert Rules(b"", "CorkboardBot").crawl_delay is None


def rules_within(encoding: str, sent: bytes) -> bytes:
    """What is taken of a robots.txt that comes so."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sent), 65_536):
            yield sent[start : start + 65_536]

    response = httpcore.Response(200, headers=[("Content-Encoding", encoding)], content=pieces())
    want = Want((), MAX_ROBOTS_BYTES, MAX_ROBOTS_BYTES, cut=True)
    return asyncio.run(take_answer(response, want, conditional=False)).body


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", partial(pa.compress, codec="brotli", asbytes=True)),
        ("zstd", partial(pa.compress, codec="zstd", asbytes=True)),
    ],
)
def test_of_a_long_file_the_first_half_megabyte_counts(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    long = b"User-agent: *\n" + b"".join(b"Disallow: /private/%d\n" % n for n in range(40_000))
    assert rules_within(encoding, encode(long)) == long[:MAX_ROBOTS_BYTES]
    fits = long[:MAX_ROBOTS_BYTES]
    assert rules_within(encoding, encode(fits)) == fits


def test_half_a_megabyte_of_agents_and_rules_costs_no_more_than_seconds() -> None:
    """Protego alone copies each of the 20,000 rules to each of the 15,000 agents."""
    hostile = b"".join(b"User-agent: bot%d\n" % n for n in range(15_000)) + b"Disallow: /private\n" * 20_000
    assert robots_allows(hostile, "CorkboardBot", URL)
    hidden = "\x0b".join(f"User-agent: bot{n}" for n in range(15_000)) + "\n" + "Disallow: /a\n" * 18_000
    assert robots_allows(hidden.encode(), "CorkboardBot", URL)  # Protego ends a line there, too


@given(st.binary(max_size=400), st.text(max_size=30), st.text(max_size=60))
def test_any_bytes_are_a_robots_file(robots: bytes, agent: str, path: str) -> None:
    assert robots_allows(robots, agent, "http://example.com/" + path) in (True, False)


def url(host: str) -> WebURL:
    return WebURL("http", host, 80, "/")


def test_a_sites_rules_are_asked_for_once_and_again_when_they_are_old_a_failure_sooner() -> None:
    asked: list[str] = []

    async def ask(site: WebURL) -> Rules:
        asked.append(site.host)
        await asyncio.sleep(0)
        if site.host == "broken":
            raise FetchFailed("robots-unreachable")
        return Rules(b"", "CorkboardBot")

    async def work() -> None:
        cache, loop = RobotsCache(ask, keep=1_000.0), asyncio.get_running_loop()
        for now in (0.0, 299.0, 301.0, 999.0, 1_001.0):
            loop.time = lambda now=now: now  # type: ignore[method-assign,misc]
            wanted = (cache.rules(url(host)) for host in ("good", "good", "broken"))
            await asyncio.gather(*wanted, return_exceptions=True)
        await cache.close()

    asyncio.run(work())
    assert (asked.count("good"), asked.count("broken")) == (2, 3), "at 0 and 1,001; at 0, 301 and 999"


def test_large_files_push_each_other_out_and_small_ones_stay() -> None:
    asked: list[str] = []

    async def ask(site: WebURL) -> Rules:
        asked.append(site.host)
        return Rules(b"#" * (MAX_KEPT_BYTES // 8 if site.host.startswith("large") else 10), "CorkboardBot")

    async def work() -> None:
        cache = RobotsCache(ask, keep=1_000.0)
        for n in range(20):
            await cache.rules(url(f"large{n}"))
            await cache.rules(url("small"))
        await cache.rules(url("large0"))

    asyncio.run(work())
    assert (asked.count("small"), asked.count("large0")) == (1, 2)
