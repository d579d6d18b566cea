"""The training frame against ten lines of brute force, on both clocks; labels; what is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FeatureStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_rows import day, write_rows

import relevance.training_frame
from enrich import parts
from enrich.errors import BadInput, CorkboardError
from enrich.tables import (
    DELETIONS,
    JUDGMENT,
    LOG_TTL,
    PIN_BOARDS,
    PIN_QUERIES,
    PIN_TEXT,
    PIN_TEXT_EMBEDDING,
    QUERY_FEATURES,
    QUERY_PIN_ENGAGEMENT,
    SOFT_LABEL,
    Kind,
    Table,
)
from enrich.workspace import Catalogue, Workspace
from relevance.feature_store import fingerprint
from relevance.training_frame import labelled_pairs, training_frame, write_training_frame

GAP = timedelta(days=3)
VALUES = {
    PIN_TEXT: "title",
    PIN_QUERIES: "engaged_queries",
    QUERY_FEATURES: "frequency",
    QUERY_PIN_ENGAGEMENT: "saves_365d",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One workspace for all the tests here, since applying definitions takes a second; each writes its tables anew."""
    workspace = Workspace.at(tmp_path_factory.mktemp("frame") / "workspace")
    workspace.create(Catalogue("native", "inline"))
    return workspace


def fill(workspace: Workspace, histories: dict[Table, list[dict[str, Any]]]) -> None:
    for table in (PIN_TEXT, PIN_TEXT_EMBEDDING, PIN_BOARDS, PIN_QUERIES, QUERY_FEATURES, QUERY_PIN_ENGAGEMENT):
        parts.replace(workspace.folder(table), table, table.schema.empty_table())
        if histories.get(table):
            write_rows(workspace, table, *histories[table])


def configure(workspace: Workspace, store_type: str) -> None:
    """Another offline store, by feature_store.yaml alone."""
    written = workspace.feature_store_yaml.read_text()
    found = re.search(r"offline_store:\n  type: (\S+)", written)
    assert found
    workspace.feature_store_yaml.write_text(written.replace(f"  type: {found[1]}", f"  type: {store_type}"))


def pairs_of(*rows: tuple[str, str, datetime]) -> pl.DataFrame:
    schema = {"query": pl.String, "pin_id": pl.String, "event_timestamp": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=schema, orient="row")


def brute_force(table: Table, history: list[dict[str, Any]], key: dict[str, str], moment: datetime) -> Any:
    """The value of the newest row of `key` whose two clocks have passed; the reference."""
    at = moment - (GAP if table.kind is Kind.BEHAVIOUR else timedelta(0))
    seen = [
        row
        for row in history
        if all(row[k] == key[k] for k in table.key) and row["event_timestamp"] <= at and row["created_timestamp"] <= at
    ]
    alive = [row for row in seen if not table.ttl or row["event_timestamp"] + table.ttl >= at]
    newest = max(alive, key=lambda row: (row["event_timestamp"], row["created_timestamp"]), default=None)
    return newest and newest[VALUES[table]]


# Moments that meet: the ends of the calendar, both changes of the clocks in Europe, and a few hours of one fortnight;
# each a little before or after the next, by no time at all, a microsecond, the gap, or a whole time to live.
corners = [
    datetime(1970, 1, 1, tzinfo=UTC) + LOG_TTL,
    datetime(2025, 3, 30, 0, 59, 59, tzinfo=UTC),
    datetime(2025, 3, 30, 1, tzinfo=UTC),
    datetime(2025, 10, 26, 0, 30, tzinfo=UTC),
    datetime(2025, 10, 26, 1, 30, tzinfo=UTC),
    datetime(2028, 2, 29, tzinfo=UTC),
    datetime(2100, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
steps = [timedelta(0), timedelta(microseconds=1), timedelta(hours=1), GAP, LOG_TTL, timedelta(days=1)]
hours = st.integers(0, 24 * 12).map(lambda hour: day(1) + timedelta(hours=hour))
times = hours | st.tuples(st.sampled_from(corners), st.sampled_from(steps)).map(lambda pair: pair[0] - pair[1])
lateness = st.integers(0, 96).map(lambda late: timedelta(hours=late)) | st.sampled_from(steps)
values = {
    PIN_TEXT: st.none() | st.text("abé你", max_size=3),
    PIN_QUERIES: st.none() | st.lists(st.text("ab", max_size=2), max_size=3),
    QUERY_FEATURES: st.none() | st.integers(0, 2**62),
    QUERY_PIN_ENGAGEMENT: st.none() | st.integers(0, 9),
}


@st.composite
def histories(draw: st.DrawFn) -> dict[Table, list[dict[str, Any]]]:
    """Rows of two queries and two pins, known at once or late; some tie by event time, some stand there twice."""
    drawn = {}
    for table, value in values.items():
        rows = draw(st.lists(st.tuples(st.sampled_from("qr"), st.sampled_from("ab"), times, lateness, value)))
        unique = {(q, p, at, at + late): worth for q, p, at, late, worth in rows}
        drawn[table] = [
            {
                **{name: {"query": q, "pin_id": p}[name] for name in table.key},
                "event_timestamp": at,
                "created_timestamp": known + timedelta(microseconds=i),  # the i keeps (key, event, created) unique
                VALUES[table]: worth,
            }
            for i, ((q, p, at, known), worth) in enumerate(unique.items())
        ]
        drawn[table] += drawn[table][: draw(st.integers(0, 2))]
    return drawn


moments = st.tuples(st.sampled_from(["q", "r", "unseen"]), st.sampled_from(["a", "b", "unseen"]), times)


@pytest.mark.parametrize("store_type", ["enrich.stores.late_duckdb.LateDuckDBOfflineStore", "duckdb"])
@given(history=histories(), rows=st.lists(moments, min_size=1, max_size=12))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_value_is_the_one_brute_force_finds(
    store: Workspace, store_type: str, history: dict[Table, list[dict[str, Any]]], rows: list[tuple[str, str, datetime]]
):
    configure(store, store_type)
    fill(store, history)
    frame = training_frame(store, pairs_of(*rows), "student_v1", GAP)
    assert frame.select("query", "pin_id", "event_timestamp").rows() == pairs_of(*rows).rows()
    for table, name in VALUES.items():
        expected = [brute_force(table, history[table], {"query": q, "pin_id": p}, at) for q, p, at in rows]
        assert frame[f"{table.name}__{name}"].to_list() == expected


def test_nothing_of_the_future_is_seen_by_either_clock(store: Workspace):
    late = {"event_timestamp": day(1), "created_timestamp": day(11)}
    fill(
        store,
        {
            PIN_TEXT: [
                {"pin_id": "a", "title": "now", "event_timestamp": day(10)},
                {"pin_id": "a", "title": "not yet true", "event_timestamp": day(10, 1)},
                {"pin_id": "b", "title": "not yet known", **late},
            ],
            PIN_BOARDS: [
                {"pin_id": "a", "board_titles": ["before the gap"], "event_timestamp": day(7)},
                {"pin_id": "a", "board_titles": ["in the gap"], "event_timestamp": day(7, 1)},
                {
                    "pin_id": "b",
                    "board_titles": ["known in the gap"],
                    "event_timestamp": day(1),
                    "created_timestamp": day(8),
                },
            ],
        },
    )
    frame = training_frame(store, pairs_of(("q", "a", day(10)), ("q", "b", day(10))), "teacher_v1", GAP)
    assert frame["pin_text__title"].to_list() == ["now", None]
    assert frame["pin_boards__board_titles"].to_list() == [["before the gap"], None]


def test_own_columns_order_repetitions_and_types_are_kept(store: Workspace):
    fill(store, {PIN_TEXT_EMBEDDING: [{"pin_id": "a", "text_embedding": [0.1, 0.2], "event_timestamp": day(1)}]})
    pairs = pairs_of(("q", "b", day(9)), ("q", "a", day(2)), ("q", "b", day(9)), ("q", "a", day(1))).with_columns(
        level=pl.Series([5, None, 1, 2], dtype=pl.Int64), pin_text=pl.lit("mine")
    )
    frame = training_frame(store, pairs, "student_v1", GAP)
    assert frame.select(pairs.columns).equals(pairs)
    assert frame["pin_text_embedding__text_embedding"].to_list() == [None, pytest.approx([0.1, 0.2])] * 2
    assert frame.schema["pin_text_embedding__text_embedding"] == pl.List(pl.Float32)
    assert frame.schema["query_features__frequency"] == pl.Int64
    assert frame.schema["pin_queries__engaged_queries"] == pl.List(pl.String)


def test_a_query_is_found_however_it_is_written(store: Workspace):
    fill(store, {QUERY_FEATURES: [{"query": "oak table", "frequency": 7, "event_timestamp": day(1)}]})
    pairs = pairs_of(("Oak  TABLE ", "a", day(20)), ("oak table", "a", day(20)), ("oaktable", "a", day(20)))
    frame = training_frame(store, pairs, "student_v1", GAP)
    assert frame.select("query", "query_features__frequency").rows() == [
        ("Oak  TABLE ", 7), ("oak table", 7), ("oaktable", None),
    ]  # fmt: skip


def test_no_pairs_give_a_typed_frame_without_rows(store: Workspace):
    frame = training_frame(store, pairs_of(), "student_v1")
    assert frame.height == 0 and frame.schema["pin_graph__graph_embedding"] == pl.List(pl.Float32)


def test_a_frame_in_a_file_is_the_same_frame(store: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(relevance.training_frame, "_ROWS_AT_ONCE", 2)  # so that five pairs are three slices
    fill(store, {PIN_TEXT_EMBEDDING: [{"pin_id": "a", "text_embedding": [0.1, 0.2], "event_timestamp": day(1)}]})
    pairs = pairs_of(*(("q", pin, day(2)) for pin in "abaca"))
    for wanted in (pairs, pairs.clear()):
        assert write_training_frame(store, wanted, "student_v1", tmp_path / "f.parquet", GAP) == wanted.height
        assert pl.read_parquet(tmp_path / "f.parquet").equals(training_frame(store, wanted, "student_v1", GAP))
    assert [path.name for path in tmp_path.iterdir()] == ["f.parquet"]


def test_a_frame_that_fails_leaves_no_file(store: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(relevance.training_frame, "_features_of", lambda *_, **__: 1 / 0)
    pairs = pl.DataFrame({"query": ["q"], "pin_id": ["a"], "event_timestamp": [day(5)]})
    with pytest.raises(ZeroDivisionError):
        write_training_frame(store, pairs, "teacher_v1", tmp_path / "frame.parquet")
    assert list(tmp_path.glob("*frame*")) == list(tmp_path.glob(".*frame*")) == []


@pytest.mark.parametrize("moment", [1_770_000_000, 1.5, True, "2026-01-01", datetime(1, 1, 1, tzinfo=UTC)])
def test_what_is_no_moment_is_refused(store: Workspace, moment: object):
    pairs = pl.DataFrame({"query": ["q"], "pin_id": ["a"], "event_timestamp": [moment]})
    with pytest.raises(BadInput, match="expected times"):
        training_frame(store, pairs, "teacher_v1")


def test_a_store_that_forgets_the_clock_of_knowledge_is_refused(store: Workspace, monkeypatch: pytest.MonkeyPatch):
    known_late = {"event_timestamp": day(2), "created_timestamp": day(9)}
    fill(store, {PIN_TEXT: [{"pin_id": "a", "title": "of the future", **known_late}]})
    asked = FeatureStore.get_historical_features

    def leaking(self: FeatureStore, **arguments: Any) -> Any:
        return asked(self, **{**arguments, "filter_by_created_timestamp": False})

    monkeypatch.setattr(FeatureStore, "get_historical_features", leaking)
    with pytest.raises(CorkboardError, match=r"pin_text.title as it was known .* created_timestamp_column"):
        training_frame(store, pairs_of(("q", "a", day(3))), "teacher_v1", GAP)


def test_a_service_that_changed_since_the_model_was_trained_is_refused(store: Workspace):
    fill(store, {PIN_TEXT: [{"pin_id": "a", "title": "x", "event_timestamp": day(1)}]})
    trained_from = fingerprint(store, "teacher_v1")
    pairs = pairs_of(("q", "a", day(3)))
    assert training_frame(store, pairs, "teacher_v1", trained_from=trained_from).height == 1
    fill(store, {PIN_TEXT: [{"pin_id": "a", "title": "x", "event_timestamp": day(1), "producer": "another"}]})
    with pytest.raises(BadInput, match="train the model anew"):
        training_frame(store, pairs, "teacher_v1", trained_from=trained_from)


def test_a_view_without_its_table_is_refused(workspace: Workspace):
    pairs = pairs_of(("q", "a", day(3)))
    assert training_frame(workspace, pairs, "teacher_v1").height == 1
    for part in workspace.folder(PIN_BOARDS).iterdir():
        part.unlink()
    with pytest.raises(BadInput, match="pin_boards"):
        training_frame(workspace, pairs, "teacher_v1")


@pytest.mark.parametrize(
    ("pairs", "service", "message"),
    [
        (pairs_of().drop("pin_id"), "student_v1", "no pin_id"),
        (pairs_of(("q", "a", day(1))).with_columns(query=pl.lit(None, pl.String)), "student_v1", "no nulls"),
        (pairs_of(), "student_v9", "student_v1, teacher_v1"),
        (pairs_of(), "scoring_v1", "serving view"),
    ],
)
def test_what_cannot_be_joined_is_refused(store: Workspace, pairs: pl.DataFrame, service: str, message: str):
    with pytest.raises(BadInput, match=message):
        training_frame(store, pairs, service)


def test_a_human_label_wins_and_the_newest_of_each_counts(workspace: Workspace):
    write_rows(
        workspace,
        JUDGMENT,
        {"query": "q", "pin_id": "a", "level": 2, "votes": [2.0], "lang": "en", "event_timestamp": day(1)},
        {"query": "q", "pin_id": "a", "level": 4, "votes": [4.0, 5.0], "lang": "en", "event_timestamp": day(2)},
        {"query": "q", "pin_id": "gone", "level": 5, "event_timestamp": day(2)},
    )
    certain = [0.0, 0.0, 0.0, 0.0, 1.0]
    write_rows(
        workspace,
        SOFT_LABEL,
        {"query": "q", "pin_id": "a", "probabilities": certain, "stratum": "clicks", "event_timestamp": day(3)},
        {"query": "q", "pin_id": "b", "probabilities": certain, "stratum": "clicks", "event_timestamp": day(3)},
    )
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "gone", "deleted_at": day(4)})
    pairs = labelled_pairs(workspace)
    assert pairs.select("pin_id", "event_timestamp", "level", "label_source", "stratum").rows() == [
        ("a", day(2), 4, "human", None),
        ("b", day(3), None, "teacher", "clicks"),
    ]
    assert pairs["votes"].to_list() == [[4.0, 5.0], None] and pairs["probabilities"].to_list() == [None, certain]
