"""A click of the future, planted in the log, is in no training row: through the jobs, the store and both clocks."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from table_rows import day, write_rows

from enrich import parts
from enrich.boards import BoardSettings, run_boards
from enrich.engagement import EngagementSettings, run_engagement
from enrich.history import History
from enrich.queries import QuerySettings, run_pin_queries
from enrich.snapshots import SnapshotSettings
from enrich.tables import BOARD_PINS, BOARDS, ENGAGEMENTS, PIN_BOARDS, PIN_ENGAGEMENT, PIN_QUERIES, QUERY_PIN_ENGAGEMENT
from enrich.workspace import Catalogue, Workspace
from relevance.training_frame import GAP, training_frame

JUDGED = day(60)  # 1 March
LAST_SEEN = JUDGED - GAP - timedelta(hours=24)  # the newest snapshot that a frame may see


def enrich(workspace: Workspace, as_of: datetime | None) -> None:
    cadence = SnapshotSettings(cadence_days=1, as_of=as_of)
    run_boards(workspace, BoardSettings(snapshots=cadence))
    run_pin_queries(workspace, History(workspace).days(), QuerySettings(min_users=1, snapshots=cadence))
    run_engagement(workspace, EngagementSettings(snapshots=cadence))


def planted(root: Path, late: datetime, as_of: datetime | None = None) -> Workspace:
    """Pin a is clicked for "vase" and saved on day 30; at the moment `late` comes what would tell the label."""
    workspace = Workspace.at(root)
    workspace.create(Catalogue("native", "inline"))
    early = day(30)
    pair = {"pin_id": "a", "user_hash": "u"}
    events = [("vase", "impression", early), ("vase", "click", early)]
    events += [("planted", "save", late), ("vase", "save", late)]
    write_rows(
        workspace, ENGAGEMENTS, *({"query": q, "event": e, "event_timestamp": at, **pair} for q, e, at in events)
    )
    write_rows(workspace, BOARDS, *({"board_id": t, "title": t, "created_at": day(1)} for t in ("oak", "planted")))
    write_rows(
        workspace, BOARD_PINS,
        {"board_id": "oak", "pin_id": "a", "saved_at": early}, {"board_id": "planted", "pin_id": "a", "saved_at": late},
    )  # fmt: skip
    enrich(workspace, as_of)
    return workspace


def seen(workspace: Workspace) -> dict[str, object]:
    moment = pl.Series([JUDGED], dtype=pl.Datetime("us", "UTC"))
    pairs = pl.DataFrame({"query": ["vase"], "pin_id": ["a"], "event_timestamp": moment})
    services = [training_frame(workspace, pairs, name) for name in ("teacher_v1", "student_v1")]
    return {name: value for frame in services for name, value in frame.row(0, named=True).items()}


@pytest.mark.parametrize(
    "late",
    [JUDGED + timedelta(days=1), JUDGED - timedelta(hours=1), JUDGED - GAP, LAST_SEEN],
    ids=["after the judgment", "before it, in the gap", "at the gap", "known only in the gap"],
)
def test_no_training_row_sees_a_planted_click(tmp_path: Path, late: datetime) -> None:
    row = seen(planted(tmp_path / "w", late))
    assert row["pin_queries__engaged_queries"] == ["vase"]
    assert row["pin_boards__board_titles"] == ["oak"]
    assert "planted" not in str(row)
    assert row["query_pin_engagement__save_rate_365d"] == 0.0


def test_a_click_just_old_enough_is_seen(tmp_path: Path) -> None:
    """So that the test above could fail: a microsecond earlier, it is in the newest snapshot that the frame sees."""
    row = seen(planted(tmp_path / "w", LAST_SEEN - timedelta(microseconds=1)))
    assert sorted(row["pin_queries__engaged_queries"]) == ["planted", "vase"]  # type: ignore[call-overload]
    assert sorted(row["pin_boards__board_titles"]) == ["oak", "planted"]  # type: ignore[call-overload]
    assert row["query_pin_engagement__save_rate_365d"] > 0  # type: ignore[operator]


def test_as_of_a_moment_no_table_knows_more(tmp_path: Path) -> None:
    workspace = planted(tmp_path / "w", day(40), as_of=day(35))
    for table in (PIN_BOARDS, PIN_QUERIES, PIN_ENGAGEMENT, QUERY_PIN_ENGAGEMENT):
        rows = parts.scan(workspace.folder(table)).collect()
        assert rows.height and rows["event_timestamp"].max() <= day(35) and "planted" not in str(rows.to_dicts())
