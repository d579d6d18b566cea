"""Packing for serving: the newest evidence, nothing of the future, rows only for changes, taken back when gone."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest
from table_rows import day, write_rows

from enrich import parts, serving
from enrich.erasure import run_erasure
from enrich.pin_payload import unpack_pins
from enrich.query_payload import PAIR_COLUMNS, QueryInputs, unpack_query
from enrich.serving import ServingSettings, run_serving
from enrich.tables import (
    DELETIONS,
    LOG_TTL,
    PIN_ENGAGEMENT,
    PIN_SERVING,
    PIN_TEXT,
    PIN_TEXT_EMBEDDING,
    PINS,
    QUERY_FEATURES,
    QUERY_PIN_ENGAGEMENT,
    QUERY_SERVING,
)
from enrich.term_ids import term_id
from enrich.workspace import Workspace

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def catalogue(workspace: Workspace) -> Workspace:
    write_rows(workspace, PINS, *({"pin_id": pin, "created_at": day(1)} for pin in "abc"))
    write_rows(
        workspace,
        PIN_TEXT,
        {"pin_id": "a", "title": "old", "event_timestamp": day(1)},
        {"pin_id": "a", "title": "new", "event_timestamp": day(2)},
        {"pin_id": "a", "title": "unborn", "event_timestamp": TOMORROW},
        {"pin_id": "a", "title": "unknown", "event_timestamp": day(3), "created_timestamp": TOMORROW},
        {"pin_id": "b", "title": "tie first", "event_timestamp": day(1)},
        {"pin_id": "b", "title": "tie second", "event_timestamp": day(1), "created_timestamp": day(1, 1)},
    )
    write_rows(workspace, PIN_TEXT_EMBEDDING, {"pin_id": "b", "text_embedding": [1.0, 0.0], "event_timestamp": day(1)})
    return workspace


def served(workspace: Workspace) -> dict[str, bytes | None]:
    latest = parts.latest(workspace.folder(PIN_SERVING), PIN_SERVING)
    return dict(latest.select("pin_id", "payload").iter_rows())


def titles(workspace: Workspace, pin: str) -> set[int]:
    return set(unpack_pins([served(workspace)[pin]]).terms[0].ids.tolist())


def query_inputs(workspace: Workspace, query: str) -> QueryInputs:
    latest = parts.latest(workspace.folder(QUERY_SERVING), QUERY_SERVING)
    return unpack_query(dict(latest.select("query", "payload").iter_rows()).get(query), query)


def test_the_newest_row_known_by_now_is_packed(catalogue: Workspace):
    pins, queries = run_serving(catalogue, ServingSettings())
    assert (pins.made, pins.fresh, queries.made) == (2, 0, 0)
    assert titles(catalogue, "a") == {term_id("new")}
    assert titles(catalogue, "b") == {term_id("tie"), term_id("second")}
    assert "c" not in served(catalogue)


def test_only_what_changed_is_packed_again(catalogue: Workspace):
    run_serving(catalogue, ServingSettings(pins_at_once=1))
    assert run_serving(catalogue, ServingSettings())[0].made == 0
    write_rows(catalogue, PIN_TEXT, {"pin_id": "a", "title": "newest", "event_timestamp": day(4)})
    report = run_serving(catalogue, ServingSettings())[0]
    assert (report.made, report.fresh) == (1, 1) and titles(catalogue, "a") == {term_id("newest")}


def test_a_payload_that_returns_to_what_it_was_gets_a_row_again(catalogue: Workspace):
    for number, title in ((4, "x"), (5, "new")):
        run_serving(catalogue, ServingSettings())
        write_rows(catalogue, PIN_TEXT, {"pin_id": "a", "title": title, "event_timestamp": day(number)})
    assert run_serving(catalogue, ServingSettings())[0].made == 1
    assert titles(catalogue, "a") == {term_id("new")}


def test_a_kill_between_slices_changes_nothing(catalogue: Workspace, monkeypatch: pytest.MonkeyPatch):
    write, calls = parts.append, Counter[str]()

    def dies_at_the_second(*args):
        calls["append"] += 1
        if calls["append"] == 2:
            raise KeyboardInterrupt
        return write(*args)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(serving.parts, "append", dies_at_the_second)
        run_serving(catalogue, ServingSettings(pins_at_once=1))
    assert list(served(catalogue)) == ["a"]
    assert run_serving(catalogue, ServingSettings(pins_at_once=1))[0].made == 1
    assert parts.count(catalogue.folder(PIN_SERVING)) == 2 and set(served(catalogue)) == {"a", "b"}


def test_a_deleted_pin_is_taken_back_once_and_comes_back_when_it_does(catalogue: Workspace):
    run_serving(catalogue, ServingSettings())
    write_rows(catalogue, DELETIONS, {"kind": "pin", "id": "a", "deleted_at": day(5)})
    assert run_serving(catalogue, ServingSettings())[0].failed == Counter({"not-in-catalogue": 1})
    assert served(catalogue)["a"] is None and served(catalogue)["b"] is not None
    assert run_serving(catalogue, ServingSettings())[0].failed == Counter()
    parts.replace(catalogue.folder(DELETIONS), DELETIONS, DELETIONS.schema.empty_table())
    assert run_serving(catalogue, ServingSettings())[0].made == 1 and titles(catalogue, "a") == {term_id("new")}


def test_a_pin_that_a_new_import_does_not_bring_is_taken_back(catalogue: Workspace):
    run_serving(catalogue, ServingSettings())
    left = pl.read_parquet(parts.glob(catalogue.folder(PINS))).filter(pl.col("pin_id") != "a")
    parts.replace(catalogue.folder(PINS), PINS, left.to_arrow())
    assert run_serving(catalogue, ServingSettings())[0].failed == Counter({"not-in-catalogue": 1})
    assert served(catalogue)["a"] is None and served(catalogue)["b"] is not None


def test_a_pin_that_left_the_catalogue_is_no_deletion(catalogue: Workspace) -> None:
    """What serving takes back of it stays, however often something else was deleted."""
    run_serving(catalogue, ServingSettings())
    kept = pl.read_parquet(parts.glob(catalogue.folder(PINS))).head(1)
    parts.replace(catalogue.folder(PINS), PINS, kept.to_arrow())
    run_serving(catalogue, ServingSettings())
    before = parts.scan(catalogue.folder(PIN_SERVING)).collect()
    assert "not-in-catalogue" in before["reason"].to_list()
    write_rows(catalogue, DELETIONS, {"kind": "pin", "id": "someone's", "deleted_at": day(5)})
    assert run_erasure(catalogue).made == 0
    assert parts.scan(catalogue.folder(PIN_SERVING)).collect().equals(before)


def test_a_later_row_is_dated_later_even_where_the_clock_went_back(catalogue: Workspace):
    write_rows(catalogue, PIN_SERVING, {"pin_id": "a", "payload": b"ahead", "event_timestamp": TOMORROW})
    run_serving(catalogue, ServingSettings())
    assert titles(catalogue, "a") == {term_id("new")}


def test_a_row_says_the_moment_as_of_which_it_was_packed(catalogue: Workspace, monkeypatch: pytest.MonkeyPatch):
    """Whenever the clock is looked at a day has passed, and with it the pin's title."""
    write_rows(
        catalogue, PIN_TEXT, *({"pin_id": "c", "title": f"of day {n}", "event_timestamp": day(n)} for n in range(1, 31))
    )
    days = iter(range(4, 31))
    monkeypatch.setattr(serving, "datetime", SimpleNamespace(now=lambda _: day(next(days))))
    run_serving(catalogue, ServingSettings())
    rows = parts.latest(catalogue.folder(PIN_SERVING), PIN_SERVING).filter(pl.col("pin_id") == "c")
    (moment,) = rows["event_timestamp"]
    again = serving.pin_payloads(catalogue, rows.select("pin_id"), moment)
    assert again["payload"].to_list() == rows["payload"].to_list()


def test_engagement_past_its_time_to_live_is_no_evidence(catalogue: Workspace):
    old = datetime.now(UTC) - LOG_TTL
    for pin, moment in (("a", old - timedelta(days=1)), ("b", old + timedelta(days=1))):
        write_rows(catalogue, PIN_ENGAGEMENT, {"pin_id": pin, "impressions_30d": 5, "event_timestamp": moment})
    run_serving(catalogue, ServingSettings())
    payloads = served(catalogue)
    assert unpack_pins([payloads["a"], payloads["b"]]).has_engagement.tolist() == [False, True]


def test_a_query_is_packed_with_its_pairs_and_taken_back_when_nothing_is_left(catalogue: Workspace):
    features = {"query": "q", "interests": ["shoes"], "frequency": 3, "event_timestamp": day(1)}
    pair = {"query": "q", "event_timestamp": day(1), **dict.fromkeys(PAIR_COLUMNS, 1)}
    write_rows(catalogue, QUERY_FEATURES, features)
    write_rows(
        catalogue,
        QUERY_PIN_ENGAGEMENT,
        {**pair, "pin_id": "a"},
        {**pair, "pin_id": "b"},
        {**pair, "query": "r", "pin_id": "a"},
    )
    write_rows(catalogue, DELETIONS, {"kind": "pin", "id": "b", "deleted_at": day(5)})
    assert run_serving(catalogue, ServingSettings())[1].made == 2
    known = query_inputs(catalogue, "q")
    assert known.interests == ("shoes",) and known.rates_of(["a", "b"])[1].tolist() == [True, False]
    assert query_inputs(catalogue, "r").known and query_inputs(catalogue, "r").embedding is None
    lost = {"event_timestamp": day(2), "reason": "none-left"}
    write_rows(catalogue, QUERY_FEATURES, {"query": "q", **lost})
    write_rows(catalogue, QUERY_PIN_ENGAGEMENT, {"query": "q", "pin_id": "a", **lost})
    assert run_serving(catalogue, ServingSettings())[1].failed == Counter({"expired": 1})
    assert not query_inputs(catalogue, "q").known


def test_rows_are_dated_by_packing_with_both_clocks(catalogue: Workspace):
    before = datetime.now(UTC)
    run_serving(catalogue, ServingSettings())
    rows = parts.latest(catalogue.folder(PIN_SERVING), PIN_SERVING)
    assert rows.select((pl.col("event_timestamp") == pl.col("created_timestamp")).all()).item()
    assert rows["event_timestamp"].min() >= before and not rows["backfilled"].any()
