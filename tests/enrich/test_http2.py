"""The fetcher over TLS and HTTP/2: the same checks, the same bounds, one connection for many requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from http2_server import NAME, PAGE, Http2Server, http2_server

from enrich.fetch import Fetcher, FetchSession, FetchSettings, Outcome

SETTINGS = FetchSettings(
    host_delay=0.0,
    attempts=1,
    connect_timeout=60.0,  # a busy machine is no fault
    read_timeout=60.0,
    total_timeout=120.0,
    max_wire_bytes=300_000,
    allow_loopback=True,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Http2Server]:
    with http2_server(tmp_path) as server:
        yield server


def fetch(server: Http2Server, settings: FetchSettings, *urls: str, addresses: Sequence[str]) -> list[Outcome]:
    """The outcomes, with a resolver that gives one of `addresses` at each look, the last one over and over."""
    looks = iter(addresses[:-1])

    async def resolve(host: str, port: int) -> Sequence[str]:
        return [next(looks, addresses[-1])]

    with FetchSession(Fetcher(settings, resolve=resolve, tls=server.trusting)) as session:
        return session.fetch_all(urls, lambda outcome: outcome)


def test_pages_come_over_one_connection_to_the_address_that_was_checked(server: Http2Server) -> None:
    """A rebinding resolver: there is one look for robots.txt and all pages, so nothing to rebind."""
    urls = [f"https://{NAME}:{server.port}/{n}" for n in range(12)]
    outcomes = fetch(server, SETTINGS, *urls, addresses=["127.0.0.1", "10.0.0.1"])
    assert [(o.reason, o.body) for o in outcomes] == [(None, PAGE)] * 12
    assert server.connections == 1
    assert sorted(server.requests) == sorted(f"{NAME}:{server.port}/{path}" for path in ("robots.txt", *range(12)))


def test_an_address_that_is_not_public_is_refused(server: Http2Server) -> None:
    strict = replace(SETTINGS, allow_loopback=False)
    (outcome,) = fetch(server, strict, f"https://{NAME}:{server.port}/", addresses=["127.0.0.1"])
    assert (outcome.reason, server.connections) == ("unsafe-url", 0)


def test_a_page_without_end_costs_its_own_stream(server: Http2Server) -> None:
    urls = [f"https://{NAME}:{server.port}/{path}" for path in ("huge", "page")]
    outcomes = fetch(server, SETTINGS, *urls, addresses=["127.0.0.1"])
    assert ([o.reason for o in outcomes], server.connections) == (["too-large", None], 1)


def test_a_stream_that_hangs_runs_out_of_time(server: Http2Server) -> None:
    hasty = replace(SETTINGS, read_timeout=0.3, obey_robots=False)
    (outcome,) = fetch(server, hasty, f"https://{NAME}:{server.port}/hang", addresses=["127.0.0.1"])
    assert outcome.reason == "timeout-read"


def test_another_name_than_the_certificates_is_tls(server: Http2Server) -> None:
    (outcome,) = fetch(server, SETTINGS, f"https://other.example:{server.port}/", addresses=["127.0.0.1"])
    assert outcome.reason == "tls"
