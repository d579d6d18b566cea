"""Coverage by field and language, and leaks, on a frame whose counts can be made by hand."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from table_rows import day, write_rows

from enrich.tables import PIN_BOARDS, PIN_TEXT
from enrich.workspace import Workspace
from relevance.frame_report import Coverage, Leak, frame_report, render

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
