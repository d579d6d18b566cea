"""Coverage by field and language, and leaks, on a frame whose counts can be made by hand."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from table_rows import day, write_rows

from enrich.errors import BadInput
from enrich.tables import PIN_BOARDS, PIN_TEXT
from enrich.workspace import Workspace
from relevance.framing.report import Coverage, Leak, frame_report, made_frame, render

GAP = timedelta(days=3)


def test_coverage_by_language_and_what_careless_joins_leak(workspace: Workspace):
    known_late = {"event_timestamp": day(2), "created_timestamp": day(8)}
    write_rows(
        workspace,
        PIN_TEXT,
        {"pin_id": "a", "title": "then", "event_timestamp": day(1)},
        {"pin_id": "a", "title": "known late", **known_late},
        {"pin_id": "a", "title": "of the future", "event_timestamp": day(9)},
        {"pin_id": "b", "title": "", "event_timestamp": day(1)},
    )
    write_rows(workspace, PIN_BOARDS, {"pin_id": "a", "board_titles": ["in the gap"], "event_timestamp": day(4)})
    frame = pl.DataFrame(
        {
            "query": ["q", "q", "q"],
            "pin_id": ["a", "b", "unseen"],
            "event_timestamp": [day(5)] * 3,
            "lang": ["en", "de", "en"],
            "pin_text__title": ["then", "", None],
            "pin_boards__board_titles": pl.Series([[], None, None], dtype=pl.List(pl.String)),
        }
    )
    report = frame_report(workspace, frame, GAP)
    assert report.rows == 3
    assert report.coverage == (
        Coverage("pin_text__title", None, 1, 3),
        Coverage("pin_text__title", "de", 0, 1),
        Coverage("pin_text__title", "en", 1, 2),
        Coverage("pin_boards__board_titles", None, 0, 3),
        Coverage("pin_boards__board_titles", "de", 0, 1),
        Coverage("pin_boards__board_titles", "en", 0, 2),
    )
    assert report.leaks == (Leak("pin_text", 3, newest=1, one_clock=1), Leak("pin_boards", 3, newest=1, one_clock=1))
    assert "pin_text__title" in render(report)


def test_a_frame_without_rows_has_no_shares(workspace: Workspace):
    schema = {"query": pl.String, "pin_id": pl.String, "event_timestamp": pl.Datetime("us", "UTC")}
    empty = pl.DataFrame(schema={**schema, "pin_text__title": pl.String})
    report = frame_report(workspace, empty.lazy())
    assert [cover.share for cover in report.coverage] == [0.0]
    assert report.leaks == (Leak("pin_text", 0, 0, 0),)


def test_pairs_of_other_types_are_read_as_what_they_say(workspace: Workspace, tmp_path: Path):
    write_rows(workspace, PIN_TEXT, {"pin_id": "1", "title": "then", "event_timestamp": day(1)})
    pairs = pl.DataFrame({"query": ["q"], "pin_id": [1], "event_timestamp": [day(5).replace(tzinfo=None)]})
    pairs.with_columns(pl.col("event_timestamp").cast(pl.Datetime("ns"))).write_parquet(tmp_path / "pairs.parquet")
    report = made_frame(workspace, "teacher_v1", tmp_path / "pairs.parquet", tmp_path / "frame.parquet")
    assert Coverage("pin_text__title", None, 1, 1) in report.coverage


def test_a_language_that_the_label_lacks_is_the_querys(workspace: Workspace):
    pairs = {"query": ["q"], "pin_id": ["a"], "event_timestamp": [day(5)], "lang": pl.Series([None], dtype=pl.String)}
    frame = pl.DataFrame({**pairs, "query_features__lang": ["de"], "pin_text__title": ["x"]})
    assert Coverage("pin_text__title", "de", 1, 1) in frame_report(workspace, frame).coverage


def test_a_frame_goes_to_parquet_alone(workspace: Workspace, tmp_path: Path):
    with pytest.raises(BadInput, match=r"expected --out to name a \.parquet file, found frame\.csv"):
        made_frame(workspace, "teacher_v1", None, tmp_path / "frame.csv")
