"""pin_link over real HTTP on loopback: a page once, a reason for each row, and the same table after any kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pytest
from faulty_server import FaultyServer, faulty_server
from table_rows import day, write_rows

from enrich import job, parts
from enrich.errors import BadInput
from enrich.fetch import FetchSettings
from enrich.job import JobSettings
from enrich.links import PRODUCER, LinkSettings, linked_pins, run_links
from enrich.tables import DELETIONS, PIN_LINK, PINS
from enrich.workspace import Workspace

QUICK = FetchSettings(read_timeout=2.0, total_timeout=5.0, attempts=1, max_redirects=3)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server() as server:
        yield server


def pins(workspace: Workspace, **links: str | None) -> None:
    rows = [{"pin_id": pin, "link_url": link, "created_at": day(1)} for pin, link in links.items()]
    write_rows(workspace, PINS, *rows)


def settings(server: FaultyServer, retry: str | None = None, batch_size: int = 256) -> LinkSettings:
    retried = frozenset({retry} if retry else ())
    return LinkSettings(server.address, QUICK, JobSettings(batch_size=batch_size, retry=retried))


def links(workspace: Workspace) -> dict[str, tuple[str | None, str | None]]:
    """pin -> title and reason of its newest row."""
    newest = parts.latest(workspace.folder(PIN_LINK), PIN_LINK)
    return {pin: (title, reason) for pin, title, reason in newest.select("pin_id", "link_title", "reason").iter_rows()}


def test_a_row_holds_what_the_page_says_dated_by_the_pins_content(workspace: Workspace, server: FaultyServer) -> None:
    old = {"pin_id": "old", "link_url": "http://bakery.example/cake", "created_at": day(1)}
    write_rows(workspace, PINS, old, {**old, "pin_id": "edited", "updated_at": day(5)})
    report = run_links(workspace, settings(server))
    assert (report.table, report.fresh, report.made, dict(report.failed)) == ("pin_link", 0, 2, {})
    row = parts.latest(workspace.folder(PIN_LINK), PIN_LINK).sort("event_timestamp").row(0, named=True)
    assert row["link_title"] == "Lemon cake"
    assert row["link_description"] == "Sour and sweet"
    assert (row["title_rule"], row["description_rule"]) == ("title", "meta description")
    assert (row["event_timestamp"], row["created_timestamp"], row["backfilled"]) == (day(1), day(1), True)
    assert (row["producer"], row["reason"]) == (PRODUCER, None)
    dates = parts.scan(workspace.folder(PIN_LINK)).sort("event_timestamp").collect()["event_timestamp"].to_list()
    assert dates == [day(1), day(5)]


def test_pins_that_share_a_page_fetch_it_once(workspace: Workspace, server: FaultyServer) -> None:
    page = "http://bakery.example/cake"
    pins(workspace, a=page, b="HTTP://Bakery.example:80/cake#top", c=page, d=page, none=None, blank="  ")
    run_links(workspace, settings(server, batch_size=2))  # the page's pins lie in two batches
    assert server.pages_asked() == ["bakery.example/cake"]
    assert links(workspace) == dict.fromkeys("abcd", ("Lemon cake", None))
    pins(workspace, late=page)
    assert run_links(workspace, settings(server)).made == 1
    assert server.pages_asked() == ["bakery.example/cake"]


def test_every_row_that_could_not_be_made_has_its_reason(workspace: Workspace, server: FaultyServer) -> None:
    server.pages = {"/empty": b"<html></html>", "/challenge": b"<title>Just a moment...</title>"}
    pins(
        workspace,
        good="http://a.example/cake",
        missing="http://a.example/missing",
        picture="http://a.example/picture",
        empty="http://a.example/empty",
        challenge="http://a.example/challenge",
        closed="http://closed.example/private/page",
        metadata="http://169.254.169.254/latest/meta-data/",
        nonsense="see my blog",
    )
    report = run_links(workspace, settings(server))
    reasons = {pin: reason for pin, (_, reason) in links(workspace).items()}
    assert reasons == {
        "good": None,
        "missing": "status-404",
        "picture": "not-html",
        "empty": "no-text",
        "challenge": "boilerplate",
        "closed": "refused-robots",
        "metadata": "unsafe-url",
        "nonsense": "unsafe-url",
    }
    assert (report.made, report.failed.total(), report.failed["unsafe-url"]) == (1, 7, 2)


def test_what_may_pass_is_tried_again_by_itself_the_rest_when_asked(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, flaky="http://a.example/flaky", missing="http://a.example/missing", good="http://a.example/cake")
    assert dict(run_links(workspace, settings(server)).failed) == {"status-503": 1, "status-404": 1}
    server.requests.clear()
    second = run_links(workspace, settings(server))
    assert (second.fresh, second.made, dict(second.failed)) == (2, 0, {"status-503": 1}), "it is the first time again"
    assert server.pages_asked() == ["a.example/flaky"]
    third = run_links(workspace, settings(server))
    assert (third.made, links(workspace)["flaky"]) == (1, ("Lemon cake", None))
    server.requests.clear()
    run_links(workspace, settings(server, retry="status-404"))
    assert server.pages_asked() == ["a.example/missing"]


def test_a_page_that_is_gone_keeps_what_it_said(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, gone="http://a.example/missing")
    known = {"pin_id": "gone", "link_title": "Lemon cake", "site_name": "Bakery", "producer": "older rules"}
    page = linked_pins(workspace)["input_hash"][0]
    write_rows(workspace, PIN_LINK, {**known, "input_hash": page, "event_timestamp": day(1)})
    assert dict(run_links(workspace, settings(server)).failed) == {"status-404": 1}
    assert links(workspace) == {"gone": ("Lemon cake", "status-404")}
    assert parts.count(workspace.folder(PIN_LINK)) == 2


def test_a_deleted_pin_is_not_fetched(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, kept="http://a.example/1", gone="http://a.example/2")
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "gone", "deleted_at": day(2)})
    run_links(workspace, settings(server))
    assert server.pages_asked() == ["a.example/1"]


def test_a_workspace_without_links_does_nothing(workspace: Workspace, server: FaultyServer) -> None:
    assert run_links(workspace, settings(server)).made == 0
    assert parts.count(workspace.folder(PIN_LINK)) == 0


KILLED = """
import sys
from enrich.fetch import FetchSettings
from enrich.job import JobSettings
from enrich.links import LinkSettings, run_links
from enrich.workspace import Workspace
run_links(Workspace.at(sys.argv[1]), LinkSettings(sys.argv[2], FetchSettings(), JobSettings(batch_size=4)))
"""


def test_a_run_killed_in_the_middle_ends_in_the_same_table(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, **{f"pin{n}": f"http://site{n % 3}.example/page/{n}" for n in range(20)})
    command = [sys.executable, "-c", KILLED, str(workspace.root), server.address]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:

        def kill_at_the_tenth_page(request: str) -> None:
            if len(server.pages_asked()) == 10:
                os.kill(child.pid, signal.SIGKILL)

        server.before = kill_at_the_tenth_page
        assert child.wait() == -signal.SIGKILL
    server.before = lambda request: None
    kept = parts.count(workspace.folder(PIN_LINK))
    assert kept in (4, 8), "whole batches, and not all"
    report = run_links(workspace, settings(server))
    assert (report.fresh, report.made) == (kept, 20 - kept)
    assert links(workspace) == {f"pin{n}": ("Lemon cake", None) for n in range(20)}
    assert parts.count(workspace.folder(PIN_LINK)) == 20
    again = run_links(workspace, settings(server))
    assert (again.fresh, again.made) == (20, 0)


def test_settings_that_reach_past_this_machine_are_refused() -> None:
    with pytest.raises(BadInput, match="a loopback address and port"):
        LinkSettings(connect_to="example.com:80")
    assert LinkSettings().fetching().host_delay == 1.0, "strangers are asked politely"
    assert replace(LinkSettings(), connect_to="127.0.0.1:8000").fetching().host_delay == 0.0


def test_pages_stand_together_so_that_batches_share_them(workspace: Workspace) -> None:
    pins(workspace, **{f"pin{n}": f"http://site.example/{n % 4}" for n in range(12)})
    hashes = linked_pins(workspace)["input_hash"].to_list()
    assert hashes == sorted(hashes)
    assert hashes.count(job.input_hash("http://site.example/0")) == 3
    assert linked_pins(workspace).schema["event_timestamp"] == pl.Datetime("us", "UTC")
