"""Pages visited by several workers at once: hosts stay together, nothing is lost, and no worker outlives its parent."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import psutil
import pytest
from faulty_server import FaultyServer, faulty_server
from table_rows import day, write_rows

from enrich import parts
from enrich.fetch import FetchSettings, Request
from enrich.links import LinkSettings, run_links
from enrich.tables import PIN_LINK, PINS
from enrich.web import visits
from enrich.web.exchange import Validators
from enrich.web.visiting import Found, Run, Share, Visit, share_of, split_by_host, visit_shares
from enrich.web.visiting_processes import WorkerLost, run_processes, visit_here
from enrich.web.visiting_ray import stream_share
from enrich.workspace import Workspace

MANY = 240  # pages, of 8 hosts: enough for processes
PATIENT = FetchSettings(connect_timeout=60.0, read_timeout=60.0, total_timeout=120.0)  # a busy machine is no fault


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server() as server:
        yield server


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)


def settings(server: FaultyServer) -> FetchSettings:
    return replace(PATIENT, connect_to=server.address, host_delay=0.0)


def by_hand(shares: Sequence[Share], settings: FetchSettings) -> Iterator[Found]:
    """One worker after another, each as Ray would run it."""
    for share in shares:
        yield from stream_share(share, settings)


@pytest.mark.parametrize("run", [by_hand, run_processes])
def test_shares_keep_hosts_together_and_hand_over_what_leads_elsewhere(run: Run, server: FaultyServer) -> None:
    urls = [f"http://host{n % 5}.example/{n}" for n in range(30)] + ["http://host0.example/to-closed"]
    assert share_of("host0.example", 2) != share_of("closed.example", 2)
    done: list[Visit] = []
    rounds: list[list[int]] = []

    def counted(shares: Sequence[Share], settings: FetchSettings) -> Iterator[Found]:
        rounds.append([len(share.requests) for share in shares])
        yield from run(shares, settings)

    visit_shares([Request(url) for url in urls], settings(server), 2, counted, done.extend)
    assert Counter(visit.reason for visit in done) == {None: 30, "refused-robots": 1}
    assert {visit.url for visit in done} == set(urls)
    assert (sum(rounds[0]), rounds[1:]) == (31, [[1]])
    robots = Counter(request for request in server.requests if request.endswith("/robots.txt"))
    assert set(robots.values()) == {1}, "each host was asked by one worker"


def test_a_page_that_a_redirect_hands_to_another_share_is_asked_for_conditionally(server: FaultyServer) -> None:
    url, found = "http://host0.example/to-versioned-elsewhere", list[Visit]()
    visit_shares([Request(url)], settings(server), 2, by_hand, found.extend)
    (first,) = found
    known = Request(url, Validators(first.etag, first.last_modified), first.final_url)
    visit_shares([known], settings(server), 2, by_hand, found.extend)
    assert (found[-1].url, found[-1].unchanged, server.conditions[-1]) == (url, True, known.known)


def test_shares_divide_the_hosts_and_the_connections(server: FaultyServer) -> None:
    requests = [Request(f"http://host{n}.example/") for n in range(40)]
    split = split_by_host(requests, 3)
    assert sorted(request for share in split for request in share.requests) == sorted(requests)
    assert all(share_of(request.host, 3) == share.number for share in split for request in share.requests)
    given: list[FetchSettings] = []

    def note(shares: Sequence[Share], settings: FetchSettings) -> list[Found]:
        given.append(settings)
        return []

    visit_shares(requests, settings(server), 3, note, lambda visits: None)
    assert [one.concurrency for one in given] == [settings(server).concurrency // 3]


def many(workspace: Workspace) -> list[str]:
    urls = [f"http://host{n % 8}.example/page/{n}" for n in range(MANY)]
    write_rows(workspace, PINS, *({"pin_id": str(n), "link_url": u, "created_at": day(1)} for n, u in enumerate(urls)))
    return urls


def test_many_pages_are_visited_by_processes_and_few_here(server: FaultyServer) -> None:
    readers: set[int] = set()
    server.before = lambda request: readers.update(child.pid for child in psutil.Process().children())
    found: list[Visit] = []
    visit_here([Request(f"http://host{n % 8}.example/page/{n}") for n in range(MANY)], settings(server), found.extend)
    assert (len(readers), len({visit.url for visit in found}), {visit.reason for visit in found}) == (2, MANY, {None})
    readers.clear()
    visit_here([Request(f"http://host{n}.example/page") for n in range(20)], settings(server), found.extend)
    assert not readers


KILLED = """
import sys
from enrich.fetch import FetchSettings
from enrich.links import LinkSettings, run_links
from enrich.workspace import Workspace
patient = FetchSettings(connect_timeout=60.0, read_timeout=60.0, total_timeout=120.0)
run_links(Workspace.at(sys.argv[1]), LinkSettings(sys.argv[2], part_visits=1, fetch=patient))
"""


def test_workers_end_with_a_killed_parent_and_the_next_run_ends_in_the_same_table(
    workspace: Workspace, server: FaultyServer
) -> None:
    def kill(parent: subprocess.Popen[bytes], at: int, orphans: list[psutil.Process], request: str) -> None:
        if len(server.requests) >= at and not orphans:
            while at == 100 and not parts.count(visits.folder(workspace)):
                time.sleep(0.01)
            orphans.extend(psutil.Process(parent.pid).children(recursive=True))
            parent.kill()

    many(workspace)
    command = [sys.executable, "-c", KILLED, str(workspace.root), server.address]
    for kill_at in (12, 60, 100):
        server.requests.clear()
        orphans: list[psutil.Process] = []
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as parent:
            server.before = partial(kill, parent, kill_at, orphans)
            assert parent.wait() == -signal.SIGKILL
        assert orphans
        left = psutil.wait_procs(orphans, timeout=120)[1]
        assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
    server.before = lambda request: None
    kept = parts.count(visits.folder(workspace))
    assert run_links(workspace, LinkSettings(server.address, fetch=PATIENT)).made == MANY
    assert 0 < kept < MANY == visits.latest(workspace).height
    rows = parts.scan(workspace.folder(PIN_LINK)).select("pin_id", "link_title").collect()
    assert (rows.height, rows["link_title"].unique().to_list()) == (MANY, ["Lemon cake"])


def test_a_killed_worker_is_one_clear_line_and_what_was_visited_is_kept(
    workspace: Workspace, server: FaultyServer
) -> None:
    many(workspace)
    killed: list[psutil.Process] = []

    def kill(request: str) -> None:
        if len(server.requests) >= 60 and not killed:
            killed.append(psutil.Process().children()[0])
            killed[0].kill()

    server.before = kill
    with pytest.raises(WorkerLost, match=r"ended with status -9 .*run again") as raised:
        run_links(workspace, LinkSettings(server.address, fetch=PATIENT))
    assert "\n" not in str(raised.value)
    assert 0 < visits.latest(workspace).height < MANY
    assert psutil.Process().children() == []
    server.before = lambda request: None
    assert run_links(workspace, LinkSettings(server.address, fetch=PATIENT)).made == MANY


def test_what_take_raises_ends_the_workers(server: FaultyServer) -> None:
    def full(visits: Sequence[Visit]) -> None:
        raise OSError("the disk is full")

    requests = [Request(f"http://host{n % 8}.example/page/{n}") for n in range(MANY)]
    with pytest.raises(OSError, match="the disk is full"):
        visit_here(requests, settings(server), full)
    assert psutil.Process().children() == []
