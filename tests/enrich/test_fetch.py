"""The fetcher on a loopback server that misbehaves: every fault has its reason, in bounded time, at its own cost."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_server import PAGE, FaultyServer, faulty_server

from enrich.errors import BadInput
from enrich.fetch import Fetcher, FetchSession, FetchSettings, Outcome, Reason, Request
from enrich.web.body_room import BodyRoom

QUICK = FetchSettings(
    host_delay=0.0,
    host_connections=8,
    connect_timeout=60.0,  # a busy machine is no fault
    read_timeout=60.0,
    total_timeout=120.0,
    max_wire_bytes=300_000,
    max_bytes=1_000_000,
    max_redirects=3,
    attempts=1,
    backoff=0.01,
)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with faulty_server() as server:
        yield server


def settings(server: FaultyServer, **changes: object) -> FetchSettings:
    return replace(QUICK, connect_to=server.address, **changes)  # type: ignore[arg-type]


def fetch(settings: FetchSettings, *urls: str, resolve: object = None) -> list[Outcome]:
    with FetchSession(Fetcher(settings, resolve=resolve)) as session:  # type: ignore[arg-type]
        return session.fetch_all(urls, lambda outcome: outcome)


FAULTS = {
    "reset": "connection",
    "not-http": "protocol",
    "short": "protocol",
    "loop": "too-many-redirects",
    "to-metadata": "unsafe-url",
    "to-file": "not-a-web-url",
    "to-closed": "refused-robots",
    "nowhere": "bad-redirect",
    "huge": "too-large",
    "endless": "too-large",
    "announcements": "too-large",
    "crumbs": "too-large",
    "bomb": "too-large",
    "nested-bomb": "too-large",
    "not-gzip": "bad-encoding",
    "bomb-br": "too-large",
    "bomb-zstd": "too-large",
    "not-brotli": "bad-encoding",
    "unasked-encoding": "bad-encoding",
    "picture": "not-html",
    "untyped": "not-html",
    "pdf-as-html": "not-html",
    "missing": "status-404",
    "unavailable": "status-503",
    "patience": "status-429",
    "unchanged": "status-304",
    "unlisted": "refused-noindex",
}


def test_every_fault_lands_in_its_reason(server: FaultyServer) -> None:
    urls = {f"http://{fault}.example/{fault}": reason for fault, reason in FAULTS.items()}
    outcomes = fetch(settings(server), *urls, "http://good.example/page")
    assert {outcome.url: outcome.reason for outcome in outcomes[:-1]} == urls
    assert outcomes[-1].body == PAGE


def test_a_host_that_hangs_or_drips_runs_out_of_time_and_holds_up_no_other(server: FaultyServer) -> None:
    """While the one hangs, another is asked for 20 pages in a row; whatever the clock says, those are there first."""
    hang, drip, pages = "http://slow.example/hang", "http://slow.example/drip", "http://good.example/"
    requests = [Request(hang), *(Request(f"{pages}{n}") for n in range(20))]
    taken: list[Outcome] = []
    hasty = settings(server, obey_robots=False)

    def take(outcome: Outcome) -> None:
        taken.append(outcome)
        if len(taken) == 20:
            server.hung.set()

    with FetchSession(Fetcher(hasty)) as session:
        session.visit(requests, take)
    assert [outcome.reason for outcome in taken] == [None] * 20 + ["protocol"], "it hung until all others were done"
    server.hung.clear()
    assert fetch(replace(hasty, read_timeout=0.3), hang)[0].reason == "timeout-read"
    assert fetch(replace(hasty, total_timeout=0.3), drip)[0].reason == "timeout-total"


def test_a_large_body_waits_for_room_and_small_ones_do_not(server: FaultyServer) -> None:
    room, unread = BodyRoom(1_000_000, small=len(PAGE)), Future[None]()
    room.hold(900_000, until=unread)
    pages = [f"http://good.example/{number}" for number in range(20)]
    taken: list[Outcome] = []

    def take(outcome: Outcome) -> None:
        taken.append(outcome)
        if len(taken) == len(pages):
            unread.set_result(None)

    with FetchSession(Fetcher(settings(server, max_wire_bytes=500_000), types=(), room=room)) as session:
        session.visit([Request("http://large.example/long-picture"), *map(Request, pages)], take)
    assert [len(outcome.body) for outcome in taken] == [len(PAGE)] * len(pages) + [400_000]


@pytest.mark.parametrize("path", ["good", "gzip", "raw-deflate", "br", "zstd", "hop"])
def test_a_page_is_read_however_it_is_sent(server: FaultyServer, path: str) -> None:
    (outcome,) = fetch(settings(server), f"http://bakery.example/{path}#part")
    assert (outcome.reason, outcome.body, outcome.content_type) == (None, PAGE, "text/html; charset=utf-8")
    assert outcome.final_url == f"http://bakery.example/{'good' if path == 'hop' else path}"


@pytest.mark.parametrize("path", ["untyped-marked", "typed-twice"])
def test_a_page_is_known_for_one_by_its_first_bytes_or_the_first_of_its_types(server: FaultyServer, path: str) -> None:
    (outcome,) = fetch(settings(server), f"http://bakery.example/{path}")
    assert outcome.reason is None
    assert outcome.body.endswith(PAGE)


def test_what_heals_is_tried_again_and_what_does_not_is_not(server: FaultyServer) -> None:
    flaky, missing, patience = (f"http://{path}-retry.example/{path}" for path in ("flaky", "missing", "patience"))
    outcomes = fetch(settings(server, attempts=3), flaky, missing, patience)
    assert [o.reason for o in outcomes] == [None, "status-404", "status-429"]
    asked = [request.split("/")[1] for request in server.pages_asked() if "-retry.example" in request]
    assert sorted(asked) == ["flaky", "flaky", "missing", "patience"]


def test_a_host_that_asks_to_wait_is_not_asked_meanwhile(server: FaultyServer) -> None:
    one_by_one = settings(server, host_connections=1, obey_robots=False)
    outcomes = fetch(one_by_one, "http://wait.example/patience", "http://wait.example/1", "http://wait.example/2")
    assert [o.reason for o in outcomes] == ["status-429", "asked-to-wait", "asked-to-wait"]
    starts: list[float] = []
    server.before = lambda request: starts.append(time.monotonic())
    (healed,) = fetch(settings(server, attempts=2, obey_robots=False), "http://soon.example/second-thoughts")
    server.before = lambda request: None
    assert healed.reason is None
    assert starts[1] - starts[0] > 0.9, "as long as its Retry-After said, whatever the jitter"


def test_an_answer_that_is_not_wanted_leaves_its_connection_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enrich.web.exchange._DRAINED_SECONDS", 60)  # a busy machine is no fault
    paths = ["missing", "unlisted", "picture", "hop", "versioned", "good"]
    with faulty_server() as server:
        fetch(settings(server, host_connections=1), *(f"http://a.example/{path}" for path in paths))
        assert (len(server.requests), server.connections) == (8, 1)


@pytest.mark.parametrize(("path", "reason"), [("missing-and-silent", "status-404"), ("long-picture", "not-html")])
def test_an_answer_that_is_not_wanted_is_not_waited_for(path: str, reason: str) -> None:
    with faulty_server() as server:
        bad, good = fetch(settings(server, host_connections=1), f"http://a.example/{path}", "http://a.example/good")
        assert (bad.reason, good.reason, server.connections) == (reason, None, 2)
    assert bad.seconds < 50.0, "and the server is silent for 60"


def test_an_unchanged_page_costs_a_304(server: FaultyServer) -> None:
    with FetchSession(Fetcher(settings(server))) as session:

        def one(request: Request) -> Outcome:
            taken: list[Outcome] = []
            session.visit([request], taken.append)
            return taken[0]

        url = "http://news.example/to-versioned"
        first = one(Request(url))
        assert (first.body, first.validators.last_modified) == (PAGE, "Mon, 06 Jan 2025 00:00:00 GMT")
        second = one(Request(url, first.validators, first.final_url))
        assert (second.reason, second.unchanged, second.body) == (None, True, b"")
        assert server.conditions[-1] == first.validators, "sent to where they came from, not to the redirect"
        server.pages["/versioned"] = b"<title>News</title>"
        third = one(Request(url, first.validators, first.final_url))
        assert (third.unchanged, third.body) == (False, b"<title>News</title>")


def test_x_robots_tag_can_forbid_the_description(server: FaultyServer) -> None:
    quoted, unquoted = fetch(settings(server), "http://quoted.example/good", "http://unquoted.example/no-snippet")
    assert (quoted.snippet, unquoted.snippet, unquoted.reason) == (True, False, None)
    (disobeyed,) = fetch(settings(server, obey_robots=False), "http://unlisted.example/unlisted")
    assert disobeyed.reason is None


def test_a_redirect_to_anothers_host_is_handed_over(server: FaultyServer) -> None:
    """As the workers of a cluster do, each of which asks only its own hosts."""
    taken: list[Outcome] = []
    with FetchSession(Fetcher(settings(server), hosts=lambda host: host == "mine.example")) as session:
        session.visit([Request("http://mine.example/to-closed"), Request("http://mine.example/hop")], taken.append)
        ours = {outcome.url: outcome for outcome in taken}
        given = ours["http://mine.example/to-closed"]
        assert (given.reason, given.final_url) == ("elsewhere", "http://closed.example/private/page")
        assert given.redirects == 1
        assert ours["http://mine.example/hop"].final_url == "http://mine.example/good"
    with FetchSession(Fetcher(settings(server, max_redirects=0))) as session:
        session.visit([Request(given.url, start="http://theirs.example/good", redirects=1)], taken.append)
    assert taken[-1].reason == "too-many-redirects", "those that others followed are counted"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://closed.example/private/page", "refused-robots"),
        ("http://closed.example/public/page", None),
        ("http://broken-robots.example/page", "robots-unreachable"),
        ("http://busy-robots.example/page", "robots-unreachable"),
        ("http://garbled-robots.example/page", "robots-unreachable"),
        ("http://mislabelled-robots.example/page", "robots-unreachable"),
        ("http://reset-robots.example/page", "connection"),
        ("http://no-robots.example/page", None),
        ("http://hidden-robots.example/page", None),
        ("http://empty-robots.example/page", None),
        ("http://moved-robots.example/page", None),
        ("http://lost-robots.example/page", None),
        ("http://away-robots.example/page", None),
    ],
)
def test_robots_txt_is_honoured(server: FaultyServer, url: str, reason: str | None) -> None:
    assert fetch(settings(server), url)[0].reason == reason


def test_robots_txt_is_asked_for_once_a_site(server: FaultyServer) -> None:
    server.requests.clear()
    fetch(settings(server), *(f"http://once.example/{n}" for n in range(20)))
    assert server.requests.count("once.example/robots.txt") == 1
    assert len(server.pages_asked()) == 20


def test_a_crawl_delay_longer_than_a_run_waits_leaves_the_rest_for_the_next_run(server: FaultyServer) -> None:
    outcomes = fetch(settings(server), *(f"http://patient.example/{n}" for n in range(4)))
    assert sorted(str(o.reason) for o in outcomes) == ["None"] + ["asked-to-wait"] * 3


@pytest.mark.parametrize("path", ["to-umlaut", "to-latin-umlaut"])
def test_a_redirect_in_raw_letters_leads_where_they_say(server: FaultyServer, path: str) -> None:
    (outcome,) = fetch(settings(server), f"http://umlaut.example/{path}")
    assert (outcome.reason, outcome.final_url) == (None, "http://umlaut.example/s%C3%BC%C3%9F")


def test_a_silent_host_is_left_after_a_few_tries(server: FaultyServer) -> None:
    few = settings(server, host_connections=1, max_silences=2, obey_robots=False, read_timeout=0.1)
    outcomes = fetch(few, *(f"http://silent.example/hang/{n}" for n in range(6)))
    assert [o.reason for o in outcomes] == ["timeout-read"] * 2 + ["host-silent"] * 4


def resolving(**names: list[str]) -> object:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return names[host.split(".")[0]]

    return resolve


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["fd00::1"],
        ["93.184.216.34", "127.0.0.1"],
        ["fe80::1%2"],
    ],
)
def test_a_name_that_resolves_to_what_is_not_public_is_refused(server: FaultyServer, addresses: list[str]) -> None:
    port = server.address.split(":")[1]
    (outcome,) = fetch(QUICK, f"http://innocent.example:{port}/page", resolve=resolving(innocent=addresses))
    assert outcome.reason == "unsafe-url"


def test_names_of_the_collection_are_refused_once_they_resolve(shared_data: Path) -> None:
    """The 11 that only a resolver betrays, with what they resolve to: loopback or a cloud's metadata."""
    cases = [json.loads(line) for line in (shared_data / "link_pages" / "unsafe_urls.jsonl").read_text().splitlines()]
    named = {case["url"] for case in cases if case["needs_dns"]}

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"] if "local" in host else ["93.184.216.34", "169.254.169.254"]

    outcomes = fetch(replace(QUICK, obey_robots=False), *named, resolve=resolve)
    assert {outcome.reason for outcome in outcomes} == {"unsafe-url"}


def test_a_name_without_address_is_dns() -> None:
    async def nothing(host: str, port: int) -> Sequence[str]:
        return []

    assert fetch(QUICK, "http://nowhere.example/", resolve=nothing)[0].reason == "dns"


def test_a_name_that_nobody_answers_for_is_dns_in_bounded_time() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    assert fetch(replace(QUICK, connect_timeout=0.05), "http://mute.example/", resolve=never)[0].reason == "dns"


def test_a_name_is_resolved_once_a_connection_and_that_address_is_connected_to(server: FaultyServer) -> None:
    """A rebinding resolver: public to the check, private to a second look. There is no second look."""
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    port = server.address.split(":")[1]
    once = replace(QUICK, allow_loopback=True, obey_robots=False)
    (outcome,) = fetch(once, f"http://rebind.example:{port}/good", resolve=rebinding)
    assert (outcome.body, asked) == (PAGE, ["rebind.example"])


def test_loopback_is_refused_unless_a_setting_allows_it(server: FaultyServer) -> None:
    url = f"http://{server.address}/good"
    assert fetch(QUICK, url)[0].reason == "unsafe-url"
    assert fetch(replace(QUICK, allow_loopback=True), url)[0].body == PAGE


def test_bytes_of_any_type_come_through_the_same_door(server: FaultyServer) -> None:
    urls = ["http://pictures.example/picture", "http://127.0.0.1/picture"]
    with FetchSession(Fetcher(settings(server), types=())) as session:
        picture, refused = session.fetch_all(urls, lambda outcome: outcome)
    assert picture.body == b"\x89PNG"
    assert refused.reason == Reason.UNSAFE_URL


def test_a_redirect_from_https_keeps_its_names(server: FaultyServer) -> None:
    (outcome,) = fetch(settings(server), "https://secure.example/hop")
    assert outcome.final_url == "https://secure.example/good"


@pytest.mark.parametrize("address", ["93.184.216.34:80", "10.0.0.1:80", "127.0.0.1", "127.0.0.1:0", "somewhere:80", ""])
def test_connect_to_is_loopback_or_refused(address: str) -> None:
    with pytest.raises(BadInput, match="expected a loopback address"):
        FetchSettings(connect_to=address)


def test_nothing_is_left_open(server: FaultyServer) -> None:
    async def run() -> set[str]:
        before = asyncio.all_tasks()
        fetcher = Fetcher(settings(server, read_timeout=0.3, total_timeout=0.6))
        urls = [f"http://{fault}.example/{fault}" for fault in ("hang", "drip", *FAULTS)]
        await fetcher.fetch_all(urls, lambda outcome: outcome)
        await fetcher.close()
        return {task.get_name() for task in asyncio.all_tasks() - before}

    assert asyncio.run(run()) == set()


def test_a_host_that_cannot_speak_tls_is_tls(server: FaultyServer) -> None:
    plain = replace(QUICK, allow_loopback=True, obey_robots=False)
    assert fetch(plain, f"https://{server.address}/good")[0].reason == "tls"


def test_a_port_where_nobody_listens_is_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening, so no one else gets the port
        port = taken.getsockname()[1]
        (outcome,) = fetch(replace(QUICK, allow_loopback=True), f"http://127.0.0.1:{port}/")
    assert outcome.reason == "connection"
