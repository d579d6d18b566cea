"""pin_link over real HTTP on loopback: a page once, a reason for each row, and the same table after any kill."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from faulty_server import FaultyServer, faulty_server
from table_rows import day, write_rows

from enrich import job, parts
from enrich.errors import BadInput
from enrich.fetch import FetchSettings
from enrich.job import JobSettings
from enrich.links import PRODUCER, LinkSettings, linked_pins, run_links
from enrich.tables import DELETIONS, ENGAGEMENTS, PIN_LINK, PINS
from enrich.web import visits
from enrich.workspace import Workspace

QUICK = FetchSettings(connect_timeout=60.0, read_timeout=60.0, total_timeout=120.0, attempts=1, max_redirects=3)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server() as server:
        yield server


def pins(workspace: Workspace, **links: str | None) -> None:
    rows = [{"pin_id": pin, "link_url": link, "created_at": day(1)} for pin, link in links.items()]
    write_rows(workspace, PINS, *rows)


def replace_pins(workspace: Workspace, *rows: dict[str, object]) -> None:
    """The catalogue imported anew: `rows` are its only pins."""
    frame = pl.DataFrame(rows, schema=pl.DataFrame(PINS.schema.empty_table()).schema)
    parts.replace(workspace.folder(PINS), PINS, frame.to_arrow())


def settings(server: FaultyServer, retry: str | None = None, days: int = 30) -> LinkSettings:
    retried = frozenset({retry} if retry else ())
    return LinkSettings(server.address, timedelta(days=days), fetch=QUICK, job=JobSettings(retry=retried))


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
    run_links(workspace, replace(settings(server), job=JobSettings(batch_size=2)))
    assert server.pages_asked() == ["bakery.example/cake"]
    assert links(workspace) == dict.fromkeys("abcd", ("Lemon cake", None))
    pins(workspace, late=page)
    assert run_links(workspace, settings(server)).made == 1
    assert server.pages_asked() == ["bakery.example/cake"]


def test_a_limit_counts_pages_and_gets_on_behind_those_that_fail(workspace: Workspace, server: FaultyServer) -> None:
    flaky, cake = "http://a.example/reset", "http://a.example/cake"
    pins(workspace, flaky=flaky)
    run_links(workspace, settings(server))
    pins(workspace, a=cake, b=cake)
    one = replace(settings(server), job=JobSettings(limit=1))
    found = [run_links(workspace, one) for _ in range(2)]
    assert [(report.made, report.failed.total(), report.left) for report in found] == [(2, 1, 1), (0, 1, 0)]
    assert links(workspace)["b"] == ("Lemon cake", None)


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
        "nonsense": "not-a-web-url",
    }
    assert (report.made, report.failed.total(), report.failed["unsafe-url"]) == (1, 7, 1)


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


def test_what_a_hosts_titles_share_is_taken_off_once_enough_show_it(workspace: Workspace, server: FaultyServer) -> None:
    server.pages = {f"/stool/{n}": f"<title>Stool no {n} | Oak &amp; Co</title>".encode() for n in range(11)}
    server.pages["/contact"] = b"<title>Contact</title>"
    pins(workspace, **{f"pin{n}": f"http://x.example/stool/{n}" for n in range(8)}, contact="http://x.example/contact")
    pins(workspace, other="http://y.example/stool/9")
    run_links(workspace, settings(server))
    assert links(workspace)["pin0"] == ("Stool no 0 | Oak & Co", None), "eight may be a series"
    pins(workspace, late="http://x.example/stool/10")
    assert run_links(workspace, settings(server)).made == 1
    pins(workspace, latest="http://x.example/stool/9")
    assert run_links(workspace, settings(server)).made == 10, "and the rows before are made anew"
    found = links(workspace)
    assert found["pin0"] == ("Stool no 0", None) and found["contact"] == ("Contact", None)
    assert found["other"] == ("Stool no 9 | Oak & Co", None), "one of its host"
    names = parts.latest(workspace.folder(PIN_LINK), PIN_LINK).filter(pl.col("pin_id").is_in(["pin0", "contact"]))
    assert dict(names.select("pin_id", "site_name").iter_rows()) == {"pin0": "Oak & Co", "contact": None}
    assert set(names["event_timestamp"]) == {day(1)}, "it always was so: the pages say what they said"
    assert run_links(workspace, settings(server)).made == 0


def test_a_reason_that_is_none_is_not_retried(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, missing="http://a.example/missing")
    for word in ("bogus", "404", "status-404,status-410"):
        with pytest.raises(BadInput, match=rf"status-404 and the like, found '{word}'; give --retry once"):
            run_links(workspace, settings(server, retry=word))
    assert server.requests == []


def test_a_status_of_a_sites_own_making_is_retried_as_any_other(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, refused="http://a.example/refused")
    for retry in (None, "status-999"):
        assert dict(run_links(workspace, settings(server, retry=retry)).failed) == {"status-999": 1}
    assert server.pages_asked() == ["a.example/refused"] * 2


def test_a_page_is_asked_for_again_when_it_is_old_and_an_unchanged_one_costs_no_row(
    workspace: Workspace, server: FaultyServer
) -> None:
    before = datetime.now(UTC)
    pins(workspace, news="http://a.example/versioned", cake="http://a.example/cake")
    run_links(workspace, settings(server))
    server.requests.clear()
    assert run_links(workspace, settings(server)).fresh == 2
    assert server.requests == []
    assert run_links(workspace, settings(server, days=0)).fresh == 2
    assert sorted(server.pages_asked()) == ["a.example/cake", "a.example/versioned"]
    assert server.conditions[-1] != (None, None), "it was a 304; the other gave nothing to compare by"
    assert parts.count(workspace.folder(PIN_LINK)) == 2
    server.pages["/versioned"] = b"<title>News of cakes</title>"
    assert run_links(workspace, settings(server, days=0)).made == 1
    assert links(workspace) == {"news": ("News of cakes", None), "cake": ("Lemon cake", None)}
    news = parts.scan(workspace.folder(PIN_LINK)).filter(pl.col("pin_id") == "news").sort("created_timestamp").collect()
    first, revised = news["event_timestamp"]
    assert revised > before > first, "no moment before the change sees it"
    assert run_links(workspace, settings(server)).fresh == 2


def test_a_link_that_its_owner_removed_takes_its_texts_along_from_then_on(
    workspace: Workspace, server: FaultyServer
) -> None:
    pins(workspace, cake="http://bakery.example/cake", plain=None)
    run_links(workspace, settings(server))
    replace_pins(workspace, {"pin_id": "cake", "created_at": day(1), "updated_at": day(9)})
    assert dict(run_links(workspace, settings(server)).failed) == {"gone": 1}
    assert links(workspace) == {"cake": (None, "gone")}
    rows = parts.scan(workspace.folder(PIN_LINK)).sort("event_timestamp").select("event_timestamp", "link_title")
    assert rows.collect().rows() == [(day(1), "Lemon cake"), (day(9), None)]
    assert run_links(workspace, settings(server)).failed.total() == 0, "once"


@pytest.mark.parametrize(("link", "says"), [("http://a.example/lamp", ("Green lamp", None)), (None, (None, "gone"))])
def test_a_link_that_moved_before_its_old_page_was_revised_moves_all_the_same(
    workspace: Workspace, server: FaultyServer, link: str | None, says: tuple[str | None, str | None]
) -> None:
    server.pages = {"/vase": b"<title>Red vase</title>", "/lamp": b"<title>Green lamp</title>"}
    pins(workspace, pin="http://a.example/vase")
    run_links(workspace, settings(server))
    server.pages["/vase"] = b"<title>Red vase, sold out</title>"
    run_links(workspace, settings(server, days=0))
    earlier = datetime.now(UTC) - timedelta(hours=1)
    replace_pins(workspace, {"pin_id": "pin", "link_url": link, "created_at": day(1), "updated_at": earlier})
    run_links(workspace, settings(server))
    assert links(workspace) == {"pin": says}
    run_links(workspace, settings(server))
    assert parts.count(workspace.folder(PIN_LINK)) == 3, "once"


def test_what_a_page_says_decides_though_its_visits_were_removed(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, pin="http://a.example/vase")
    for days, title in ((30, "Red vase"), (0, "Blue vase"), (30, "Blue teapot"), (30, "Blue teapot")):
        server.pages["/vase"] = f"<title>{title}</title>".encode()
        if days:
            shutil.rmtree(visits.folder(workspace))
        run_links(workspace, settings(server, days=days))
        assert links(workspace) == {"pin": (title, None)}
    rows = parts.scan(workspace.folder(PIN_LINK)).sort("created_timestamp").collect()
    assert rows["link_title"].to_list() == ["Red vase", "Blue vase", "Blue teapot"], "the same costs no row"
    first, revised, last = rows["event_timestamp"]
    assert first == day(1) < revised < last, "no moment before the change sees it"
    shutil.rmtree(visits.folder(workspace))
    server.missing.add("/vase")
    run_links(workspace, settings(server))
    assert links(workspace) == {"pin": ("Blue teapot", "status-404")}, "it keeps what it said"


def test_what_a_page_says_decides_though_its_pin_was_away(workspace: Workspace, server: FaultyServer) -> None:
    pin = {"pin_id": "pin", "link_url": "http://a.example/vase", "created_at": day(1)}
    other = {**pin, "pin_id": "other", "link_url": "http://a.example/other"}
    for title, here in (("Red vase", (pin, other)), ("Red vase", (other,)), ("Blue teapot", (pin, other))):
        server.pages["/vase"] = f"<title>{title}</title>".encode()
        replace_pins(workspace, *here)
        run_links(workspace, settings(server))
        assert links(workspace)["pin"] == (title, None)


def test_a_lasting_failure_that_became_another_has_the_new_reason(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, pin="http://a.example/vase")
    server.missing.add("/vase")
    run_links(workspace, settings(server))
    server.missing.clear()
    server.pages["/vase"] = b"%PDF-1.7"
    run_links(workspace, settings(server, days=0))
    assert links(workspace) == {"pin": (None, "not-html")}


def test_rows_that_earlier_versions_hashed_otherwise_stand_while_they_say_the_same(
    workspace: Workspace, server: FaultyServer
) -> None:
    server.pages = {"/vase": b"<title>Red vase</title>"}
    pins(workspace, vase="http://a.example/vase", lamp="http://a.example/lamp", missing="http://a.example/missing")
    run_links(workspace, settings(server))
    rows = parts.scan(workspace.folder(PIN_LINK)).with_columns(input_hash=pl.lit(job.input_hash("of old")))
    parts.replace(workspace.folder(PIN_LINK), PIN_LINK, rows.collect().to_arrow())
    assert run_links(workspace, settings(server)).fresh == 3
    server.pages["/vase"] = b"<title>Red vase, sold out</title>"
    assert run_links(workspace, settings(server, days=0)).made == 1
    assert links(workspace)["vase"] == ("Red vase, sold out", None)


def test_a_page_that_is_gone_keeps_what_it_said_until_it_is_back(workspace: Workspace, server: FaultyServer) -> None:
    server.pages["/page"] = b"<title>Lemon cake</title>"
    pins(workspace, gone="http://a.example/page", never="http://a.example/missing")
    run_links(workspace, settings(server))
    server.missing.add("/page")
    assert dict(run_links(workspace, settings(server, days=0)).failed) == {"status-404": 1}
    assert links(workspace) == {"gone": ("Lemon cake", "status-404"), "never": (None, "status-404")}
    run_links(workspace, settings(server, retry="failed"))
    assert parts.count(workspace.folder(PIN_LINK)) == 3, "gone in the same way, so no further row"
    server.missing.clear()
    assert run_links(workspace, settings(server, retry="status-404")).made == 1
    assert links(workspace)["gone"] == ("Lemon cake", None), "the very text that its first row has"
    assert parts.count(workspace.folder(PIN_LINK)) == 4


def test_only_links_that_people_dwelt_on_are_fetched_where_that_is_set(
    workspace: Workspace, server: FaultyServer
) -> None:
    pins(workspace, read="http://a.example/1", seen="http://a.example/2", shared="http://a.example/1")
    shown = {"query": "cake", "event_timestamp": day(1)}
    write_rows(
        workspace,
        ENGAGEMENTS,
        {**shown, "pin_id": "read", "event": "long_click", "user_hash": "one"},
        {**shown, "pin_id": "read", "event": "long_click", "user_hash": None},
        {**shown, "pin_id": "seen", "event": "click", "user_hash": "one"},
        {**shown, "pin_id": "shared", "event": "long_click", "user_hash": "erased"},
    )
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "erased", "deleted_at": day(2)})
    run_links(workspace, replace(settings(server), min_long_clicks=2))
    assert (server.pages_asked(), list(links(workspace))) == (["a.example/1"], ["read"])
    run_links(workspace, settings(server))
    assert sorted(links(workspace)) == ["read", "seen", "shared"]


def test_what_a_page_forbids_is_left(workspace: Workspace, server: FaultyServer) -> None:
    tag = b"<title>Lemon cake</title><meta name=description content='Sour and sweet'><meta name=Robots content='%s'>"
    server.pages = {"/hidden": tag % b"noindex, follow", "/quiet": tag % b"nosnippet", "/open": tag % b"all"}
    pins(workspace, **{name: f"http://a.example/{name}" for name in ("hidden", "quiet", "open", "unlisted")})
    report = run_links(workspace, settings(server))
    assert dict(report.failed) == {"refused-noindex": 2}
    rows = parts.latest(workspace.folder(PIN_LINK), PIN_LINK).sort("pin_id")
    said = rows.filter(pl.col("reason").is_null()).select("pin_id", "link_description").rows()
    assert said == [("open", "Sour and sweet"), ("quiet", None)]


def test_what_a_page_forbids_later_is_left_though_it_is_unchanged(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, news="http://a.example/versioned")
    found = []
    for server.forbidden in ("", "nosnippet", "noindex"):
        run_links(workspace, settings(server, days=0))
        row = parts.latest(workspace.folder(PIN_LINK), PIN_LINK)
        found += row.select("link_title", "link_description", "reason").rows()
    assert found == [
        ("Lemon cake", "Sour and sweet", None),
        ("Lemon cake", None, None),
        (None, None, "refused-noindex"),
    ]
    assert server.conditions[-1][0], "it was a 304"


@pytest.mark.parametrize(
    ("header", "tag"), [("unavailable_after: 2099-01-01", "all"), ("", "unavailable_after: 2099-01-01")]
)
def test_a_page_that_names_its_last_day_is_read_anew_each_time(
    workspace: Workspace, server: FaultyServer, header: str, tag: str
) -> None:
    server.forbidden = header
    server.pages["/versioned"] = f"<title>News</title><meta name=robots content='{tag}'>".encode()
    pins(workspace, news="http://a.example/versioned")
    for _ in range(2):
        run_links(workspace, settings(server, days=0))
    assert server.conditions == [(None, None)] * 2, "behind a 304 the day would pass unseen"


def test_what_is_known_of_an_erased_pins_page_is_erased(workspace: Workspace, server: FaultyServer) -> None:
    pins(workspace, kept="http://a.example/1", gone="http://a.example/2")
    run_links(workspace, settings(server))
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "gone", "deleted_at": day(2)})
    run_links(workspace, settings(server))
    assert visits.latest(workspace)["url"].to_list() == ["http://a.example/1"]


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
from enrich.links import LinkSettings, run_links
from enrich.workspace import Workspace
two_at_once = FetchSettings(concurrency=2)
run_links(Workspace.at(sys.argv[1]), LinkSettings(sys.argv[2], part_visits=1, fetch=two_at_once))
"""


def test_runs_killed_anywhere_end_in_the_same_table(workspace: Workspace, server: FaultyServer) -> None:
    """Killed 20 times, each time at another request; then run to the end, which reads what no killed run had."""
    pages = {f"pin{n}": f"http://site{n % 3}.example/page/{n}" for n in range(100)}
    pins(workspace, **pages, missing="http://site0.example/missing")
    command = [sys.executable, "-c", KILLED, str(workspace.root), server.address]
    kept = [0]
    for kill_at in random.Random(6).choices(range(3, 9), k=20):  # of which the first two ask for robots.txt
        server.requests.clear()
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:

            def kill(request: str, child: subprocess.Popen[bytes] = child, kill_at: int = kill_at) -> None:
                if len(server.requests) >= kill_at:
                    child.kill()

            server.before = kill
            assert child.wait() == -signal.SIGKILL
        kept.append(parts.count(visits.folder(workspace)))
    assert kept == sorted(kept), "none is lost"
    assert len(set(kept)) > 8, "and most runs that were killed had got somewhere"
    server.before = lambda request: None
    server.requests.clear()
    run_links(workspace, settings(server))
    assert len(server.pages_asked()) == 101 - kept[-1]
    assert links(workspace) == {**dict.fromkeys(pages, ("Lemon cake", None)), "missing": (None, "status-404")}
    rows = parts.scan(workspace.folder(PIN_LINK)).select("pin_id", "input_hash", "created_timestamp").collect()
    assert (rows.height, rows["created_timestamp"].unique().to_list()) == (101, [day(1)]), "once each"
    again = run_links(workspace, settings(server))
    assert (again.fresh, again.made) == (101, 0)


KILLED_WRITING = """
import os, signal, sys
from enrich.links import LinkSettings, run_links
from enrich.workspace import Workspace
left = int(sys.argv[3])

def kill(event, arguments):
    global left
    if event == "os.rename" or event == "os.remove":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
run_links(Workspace.at(sys.argv[1]), LinkSettings(sys.argv[2], part_visits=1))
"""


def test_runs_killed_at_any_file_that_they_write_or_remove_end_in_the_same_table(
    workspace: Workspace, server: FaultyServer
) -> None:
    """Also while the visits are tidied and the rows are written: before the 1st rename, the 2nd, ... of each run."""
    pages = {f"pin{n}": f"http://site{n % 3}.example/page/{n}" for n in range(6)}
    pins(workspace, **pages)
    command = [sys.executable, "-c", KILLED_WRITING, str(workspace.root), server.address]
    status, kill_at = -signal.SIGKILL, 0
    while status == -signal.SIGKILL:
        status = subprocess.run([*command, str(kill_at)], stderr=subprocess.DEVNULL, check=False).returncode
        kill_at += 1
    assert status == 0
    assert kill_at > 3, "some were killed"
    assert links(workspace) == dict.fromkeys(pages, ("Lemon cake", None))
    assert parts.count(workspace.folder(PIN_LINK)) == 6, "once each"
    assert visits.latest(workspace).height == 6
    assert not list(workspace.root.rglob("*.lock")), "nothing stands in the way of the next run"


def test_settings_that_reach_past_this_machine_are_refused() -> None:
    with pytest.raises(BadInput, match="a loopback address and port"):
        LinkSettings(connect_to="example.com:80")
    assert LinkSettings().fetching().host_delay == 1.0, "strangers are asked politely"
    assert replace(LinkSettings(), connect_to="127.0.0.1:8000").fetching().host_delay == 0.0


def test_pages_stand_together_so_that_batches_share_them(workspace: Workspace) -> None:
    pins(workspace, **{f"pin{n}": f"http://site.example/{n % 4}" for n in range(12)})
    hashes = linked_pins(workspace)["page"].to_list()
    assert hashes == sorted(hashes)
    assert hashes.count(job.input_hash("http://site.example/0")) == 3
    assert linked_pins(workspace).schema["event_timestamp"] == pl.Datetime("us", "UTC")
