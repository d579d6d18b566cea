"""The record of visits: what is due, what a row carries, what a worker hands back; what `enrich status links` says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from faulty_server import FaultyServer, faulty_server
from table_rows import day, write_rows

from enrich import console, job, parts
from enrich.cli import enrich
from enrich.erasure import run_erasure
from enrich.fetch import Request
from enrich.links import Engine, LinkSettings, run_links
from enrich.tables import DELETIONS, PINS
from enrich.web import visits
from enrich.web.exchange import Validators
from enrich.web.visit_status import link_status
from enrich.web.visiting import PRODUCER, Visit
from enrich.web.visits import VALUES, VisitLog, completed
from enrich.workspace import Workspace

URL = "http://bakery.example/cake"
MONTH = timedelta(days=30)
READ = Visit(
    *(URL, "bakery.example", day(1), 0.5, None, False),
    *("Lemon cake", "Sour", "Bakery", "title", "og:description", '"v1"', None, URL, PRODUCER),
)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server() as server:
        yield server


def pages(*urls: str) -> pl.DataFrame:
    hashes = [job.input_hash(url) for url in urls]
    return pl.DataFrame({"page": hashes, "url": urls}, schema={"page": pl.String, "url": pl.String})


def record(workspace: Workspace, *found: Visit) -> None:
    """Each visit in its turn, as runs one after another would keep them."""
    for visit in found:
        log = VisitLog(workspace, visits.latest(workspace), pages(visit.url), most=10)
        log.add([visit])
        log.flush()


def failed(reason: str, on: int) -> Visit:
    return Visit(URL, "bakery.example", day(on), 0.1, reason)


def test_erasure_forgets_the_page_of_a_deleted_pin_but_not_one_that_another_pin_shows(workspace: Workspace) -> None:
    shared = "http://bakery.example/pie"
    links = {"gone": URL, "gone too": shared, "stays": shared}
    write_rows(workspace, PINS, *({"pin_id": pin, "link_url": url, "created_at": day(1)} for pin, url in links.items()))
    record(workspace, READ, READ._replace(url=shared, final_url=shared))
    write_rows(
        workspace, DELETIONS, *({"kind": "pin", "id": pin, "deleted_at": day(2)} for pin in ("gone", "gone too"))
    )
    run_erasure(workspace)
    assert parts.scan(visits.folder(workspace)).collect()["url"].to_list() == [shared]


def test_a_page_keeps_what_it_said_and_counts_its_changes(workspace: Workspace) -> None:
    other = READ._replace(link_title="Lemon pie", etag='"v2"')
    record(workspace, failed("dns", 1), READ._replace(visited_at=day(2)), READ._replace(visited_at=day(3)))
    record(workspace, failed("status-404", 4), failed("dns", 5), READ._replace(visited_at=day(6)))
    record(workspace, other._replace(visited_at=day(7)), failed("dns", 8))
    record(workspace, Visit(URL, "bakery.example", day(9), 0.1, unchanged=True))
    kept = ("reason", "version", "link_title", "etag", "revised_at")
    rows = parts.scan(visits.folder(workspace)).sort("visited_at").select(kept)
    assert rows.collect().rows() == [
        ("dns", 0, None, None, None),
        (None, 1, "Lemon cake", '"v1"', None),
        (None, 1, "Lemon cake", '"v1"', None),
        ("status-404", 2, "Lemon cake", '"v1"', None),
        ("dns", 2, "Lemon cake", '"v1"', None),
        (None, 3, "Lemon cake", '"v1"', None),
        (None, 4, "Lemon pie", '"v2"', day(7)),
        ("dns", 5, "Lemon pie", '"v2"', day(7)),
        (None, 6, "Lemon pie", '"v2"', day(7)),
    ]
    visits.tidy(workspace, pages(URL))
    assert parts.count(visits.folder(workspace)) == 1
    assert visits.latest(workspace)["version"].to_list() == [6]
    visits.tidy(workspace, pages())
    assert parts.count(visits.folder(workspace)) == 0


@pytest.mark.parametrize(
    ("visit", "max_age", "retry", "due"),
    [
        (None, MONTH, (), Request(URL)),
        (READ._replace(visited_at=datetime.now(UTC)), MONTH, ("failed",), None),
        (READ, MONTH, (), Request(URL, Validators('"v1"'), URL)),
        (READ._replace(visited_at=datetime.now(UTC)), timedelta(0), (), Request(URL, Validators('"v1"'), URL)),
        (READ._replace(read_by="older rules"), MONTH, (), Request(URL)),
        (failed("dns", 1)._replace(visited_at=datetime.now(UTC)), MONTH, (), Request(URL)),
        (failed("status-404", 1)._replace(visited_at=datetime.now(UTC)), MONTH, (), None),
        (failed("status-404", 1)._replace(visited_at=datetime.now(UTC)), MONTH, ("status-404",), Request(URL)),
        (failed("status-404", 1)._replace(visited_at=datetime.now(UTC)), MONTH, ("failed",), Request(URL)),
        (failed("status-404", 1), MONTH, (), Request(URL)),
        (failed("unsafe-url", 1), MONTH, (), None),
        (None, MONTH, ("status-404",), None),
        (READ, MONTH, ("status-404",), None),
        (failed("dns", 1), MONTH, ("status-404",), None),
        (failed("dns", 1), MONTH, ("status-404", "dns"), Request(URL)),
    ],
)
def test_what_is_due(
    workspace: Workspace, visit: Visit | None, max_age: timedelta, retry: tuple[str, ...], due: Request | None
) -> None:
    if visit is not None:
        record(workspace, visit)
    found = visits.due(pages(URL), visits.latest(workspace), max_age, frozenset(retry))
    assert found == ([due] if due is not None else [])


def test_what_failed_for_a_passing_reason_is_asked_for_last_and_first_what_was_asked_longest_ago(
    workspace: Workspace,
) -> None:
    visited = {"down": failed("dns", 2), "longer-down": failed("dns", 1), "old": READ._replace(visited_at=day(3))}
    record(workspace, *(visit._replace(url=f"http://{host}.example/") for host, visit in visited.items()))
    asked = pages(*(f"http://{host}.example/" for host in ("down", "longer-down", "old", "new", "newer")))
    known = visits.latest(workspace)
    found = [request.host.removesuffix(".example") for request in visits.due(asked, known, MONTH, frozenset())]
    assert found == ["new", "newer", "old", "longer-down", "down"]
    retried = visits.due(asked, known, MONTH, frozenset({"failed"}))
    assert [request.host for request in retried] == ["longer-down.example", "down.example"]


def test_visits_of_other_rules_are_due_whatever_they_said(workspace: Workspace) -> None:
    record(workspace, READ._replace(visited_at=datetime.now(UTC)))
    known = visits.latest(workspace).with_columns(producer=pl.lit("link-rules/0"), read_by=pl.lit("link-rules/0"))
    assert visits.due(pages(URL), known, MONTH, frozenset()) == [Request(URL)]


def test_a_row_without_history_begins_at_version_0(workspace: Workspace) -> None:
    nothing = visits.latest(workspace).select("page", "reason", "version", "revised_at", *visits._KEPT)
    frame = pl.DataFrame([READ], schema=visits._SCHEMA, orient="row").join(pages(URL), on="url")
    row = completed(frame, nothing).row(0, named=True)
    assert (row["version"], row["read_by"], [row[name] for name in VALUES]) == (
        *(0, PRODUCER),
        ["Lemon cake", "Sour", "Bakery", "title", "og:description"],
    )


def test_ray_fills_the_table_that_one_process_fills(workspace: Workspace, server: FaultyServer) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    rows = [{"pin_id": str(n), "link_url": f"http://host{n % 5}.example/{n}", "created_at": day(1)} for n in range(30)]
    write_rows(workspace, PINS, *rows)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert run_links(workspace, LinkSettings(server.address, engine=Engine.RAY)).made == 30
    finally:
        ray.shutdown()


def test_status_tells_of_reasons_hosts_rules_and_languages(
    workspace: Workspace, server: FaultyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    links = ("a.example/1", "a.example/1", "a.example/missing", "b.example/2", "b.example/unlisted")
    rows = [
        {"pin_id": str(n), "link_url": f"http://{link}", "created_at": day(1), "lang": "en" if n < 3 else None}
        for n, link in enumerate(links)
    ]
    write_rows(workspace, PINS, *rows, {"pin_id": "none", "created_at": day(1)})
    assert link_status(workspace).to_visit == 4
    run_links(workspace, LinkSettings(server.address))
    found = link_status(workspace)
    assert (found.linked, found.to_visit, found.pages, found.read, found.unchanged) == (5, 0, 4, 2, 0)
    assert found.failed == {"refused-noindex": 1, "status-404": 1}
    assert (found.title_rules, found.description_rules) == ({"title": 2}, {"meta description": 2})
    assert [(h.host, h.pages, h.read, dict(h.failed)) for h in found.hosts] == [
        ("a.example", 2, 1, {"status-404": 1}),
        ("b.example", 2, 1, {"refused-noindex": 1}),
    ]
    assert [(one.lang, one.linked, one.titled) for one in found.languages] == [("en", 3, 2), ("?", 2, 1)]
    assert console.run(enrich, ["status", "links", "--workspace", str(workspace.root), "--json"]) == 0
    out = capsys.readouterr().out
    assert "status-404" in out
    assert json.loads(out.splitlines()[-1])["pages"] == 4
