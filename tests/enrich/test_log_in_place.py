"""A log that stays where it lies: hive partitions, the importers' rules, a new day seen without an import."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import fsspec
import polars as pl
import pytest

from enrich import log_in_place, parts
from enrich.engagement import EngagementSettings, run_engagement
from enrich.errors import BadInput
from enrich.history import History
from enrich.importers import ImportReport, Mapping, import_catalogue
from enrich.log_in_place import LogInPlace
from enrich.snapshots import SnapshotSettings
from enrich.status import status
from enrich.tables import DELETIONS, ENGAGEMENTS, PIN_ENGAGEMENT
from enrich.workspace import Workspace

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def write_day(log: Path, day: int, rows: list[dict]) -> None:
    part = log / f"day=2024-01-{day:02}"
    part.mkdir(parents=True)
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(part / "part-0.parquet")


def row(**values: object) -> dict:
    return {"term": "Shoe", "pin_id": 1, "event": "click", "position": "3", "lang": "en-US", "user_hash": "u",
            "event_timestamp": NOON} | values  # fmt: skip


ROWS = [
    row(), row(),  # the same line once more
    row(event="View", position="0"), row(event="Long-Click", lang="english"),
    row(term="  "), row(term="x" * 5000), row(pin_id=None), row(event="stare"),
    row(event_timestamp=datetime(1960, 1, 1, tzinfo=UTC)), row(event_timestamp=datetime(3024, 1, 1, tzinfo=UTC)),
    *(row(user_hash=f"u{n}") for n in range(6)),
]  # fmt: skip
MAPPING = Mapping.parse(["query=term"], ["view=impression"])


def test_the_rules_of_the_importers_hold_and_are_counted(two_pins: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_day(log, 1, ROWS)
    workspace = Workspace.at(tmp_path / "w")
    report = import_catalogue("native", two_pins, workspace, MAPPING, log=str(log))
    kept = next(table for table in report.tables if table.table == "engagements")
    reasons = {"duplicate": 1, "missing-query": 1, "too-long-query": 1, "missing-pin_id": 1, "unknown-event": 1}
    assert (kept.kept, dict(kept.dropped)) == (9, reasons | {"impossible-event_timestamp": 2})
    assert parts.count(workspace.folder(ENGAGEMENTS)) == 0
    rows = History(workspace).log().to_polars().filter(pl.col("user_hash") == "u").sort("event")
    assert rows.select("query", "pin_id", "event", "position", "lang", "event_timestamp").rows() == [
        ("Shoe", "1", "click", 3, "en", NOON),
        ("Shoe", "1", "impression", None, "en", NOON),
        ("Shoe", "1", "long_click", 3, None, NOON),
    ]
    assert next(source.rows for source in status(workspace).sources if source.table == "engagements") == 9


def test_the_rules_are_those_of_an_import(two_pins: Path, tmp_path: Path) -> None:
    write_day(two_pins / "engagements", 1, ROWS)
    write_day(tmp_path / "log", 1, ROWS)
    found: list[ImportReport] = []
    logs = []
    for name, log in (("copied", None), ("left", str(tmp_path / "log"))):
        workspace = Workspace.at(tmp_path / name)
        if log:
            (two_pins / "engagements").rename(tmp_path / "elsewhere")
        found.append(import_catalogue("native", two_pins, workspace, MAPPING, log=log))
        frame = History(workspace).log().to_polars().select(sorted(ENGAGEMENTS.schema.names))
        logs.append(frame.sort(frame.columns))
    copied, left = (next(t for t in report.tables if t.table == "engagements") for report in found)
    assert (copied.kept, copied.dropped) == (left.kept, left.dropped)
    assert logs[0].equals(logs[1])


def test_a_new_day_is_seen_without_an_import_and_deletions_hold(two_pins: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_day(log, 1, [row()])
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace, MAPPING, log=str(log))
    settings = EngagementSettings(snapshots=SnapshotSettings(cadence_days=1))
    run_engagement(workspace, settings)
    write_day(
        log, 2, [row(event_timestamp=NOON.replace(day=2), user_hash="gone"), row(event_timestamp=NOON.replace(day=2))]
    )
    reports = run_engagement(workspace, settings)
    assert (reports[0].fresh, reports[0].made) == (1, 1)
    latest = parts.latest(workspace.folder(PIN_ENGAGEMENT), PIN_ENGAGEMENT)
    assert latest["clicks_365d"].to_list() == [3]
    gone = pl.DataFrame({"kind": ["user"], "id": ["gone"], "deleted_at": [NOON]})
    parts.append(workspace.folder(DELETIONS), DELETIONS, gone.to_arrow())
    run_engagement(workspace, settings)
    assert parts.latest(workspace.folder(PIN_ENGAGEMENT), PIN_ENGAGEMENT)["clicks_365d"].to_list() == [2]


def test_any_file_system_is_read(two_pins: Path, tmp_path: Path) -> None:
    """As s3: would be, through fsspec; here one that lies in memory."""
    memory = fsspec.filesystem("memory")
    write_day(tmp_path / "log", 1, [row()])
    memory.pipe("/bucket/log/day=2024-01-01/part-0.parquet", next((tmp_path / "log").rglob("*.parquet")).read_bytes())
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace, MAPPING, log="memory://bucket/log")
    assert History(workspace).log().count().execute() == 1
    assert log_in_place.load(workspace.root) == LogInPlace("memory://bucket/log", MAPPING)


def test_an_import_without_it_forgets_where_the_log_was(two_pins: Path, tmp_path: Path) -> None:
    write_day(tmp_path / "log", 1, [row()])
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace, MAPPING, log=str(tmp_path / "log"))
    import_catalogue("native", two_pins, workspace)
    assert log_in_place.load(workspace.root) is None and History(workspace).log().count().execute() == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(event="stare"), row(event="blink"), row()], "found 2 of 3 rows bad .unknown-event 2."),
        ([{"pin_id": "1"}], "expected a column 'term'"),
        (None, "expected parquet files at"),
    ],
)
def test_a_log_that_cannot_be_used_is_one_clear_line(
    rows: list[dict] | None, said: str, two_pins: Path, tmp_path: Path
) -> None:
    if rows:
        write_day(tmp_path / "log", 1, rows)
    with pytest.raises(BadInput, match=said) as raised:
        import_catalogue("native", two_pins, Workspace.at(tmp_path / "w"), MAPPING, log=str(tmp_path / "log"))
    assert "\n" not in str(raised.value)
