"""A log that stays where it lies: hive partitions, the importers' rules, a new day seen without an import."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
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
    row(term="Shoe "), *(row(term="靴" * n, user_hash="v") for n in (4_000, 5_000)),  # counted by characters
]  # fmt: skip
MAPPING = Mapping.parse(["query=term"], ["view=impression"])


def test_the_rules_of_the_importers_hold_and_are_counted(two_pins: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_day(log, 1, ROWS)
    workspace = Workspace.at(tmp_path / "w")
    report = import_catalogue("native", two_pins, workspace, MAPPING, log=str(log))
    kept = next(table for table in report.tables if table.table == "engagements")
    reasons = {"duplicate": 2, "missing-query": 1, "too-long-query": 2, "missing-pin_id": 1, "unknown-event": 1}
    assert (kept.kept, dict(kept.dropped)) == (10, reasons | {"impossible-event_timestamp": 2})
    assert parts.count(workspace.folder(ENGAGEMENTS)) == 0
    rows = History(workspace).log().to_polars().filter(pl.col("user_hash") == "u").sort("event")
    assert rows.select("query", "pin_id", "event", "position", "lang", "event_timestamp").rows() == [
        ("Shoe", "1", "click", 3, "en", NOON),
        ("Shoe", "1", "impression", None, "en", NOON),
        ("Shoe", "1", "long_click", 3, None, NOON),
    ]
    assert next(source.rows for source in status(workspace).sources if source.table == "engagements") == 10


def test_a_folder_of_parts_may_be_named_as_a_file(two_pins: Path, tmp_path: Path) -> None:
    """As Spark and Dask name them, in a folder that is imported and where a log is left."""
    for nth in (1, 2):
        write_day(two_pins / "engagements.parquet", nth, [row(query=f"q{nth}")])
        write_day(tmp_path / "log.parquet", nth, [row(query=f"q{nth}")])
    imported, left = Workspace.at(tmp_path / "i"), Workspace.at(tmp_path / "l")
    report = import_catalogue("native", two_pins, imported)
    assert not any("not read, for no table" in note for note in report.notes)
    import_catalogue("native", two_pins, left, log=f"{tmp_path}/log.parquet/")
    for workspace in (imported, left):
        assert sorted(History(workspace).log().to_polars()["query"]) == ["q1", "q2"]
        assert History(workspace).days().days[0].rows == 2


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


def test_equal_rows_that_name_no_user_and_no_time_of_day_all_count(two_pins: Path, tmp_path: Path) -> None:
    """A log with dates alone, of nobody: 100 impressions and 5 clicks are no one impression and one click."""
    midnight = NOON.replace(hour=0)
    of_nobody = [row(user_hash=None, event="impression", event_timestamp=midnight)] * 100
    of_nobody += [row(user_hash=None, event_timestamp=midnight)] * 5
    twice = [row(user_hash=None, event="impression")] * 2 + [row(event_timestamp=midnight)] * 2  # at noon, of somebody
    write_day(two_pins / "engagements", 1, of_nobody + twice)
    write_day(tmp_path / "log", 1, of_nobody + twice)
    settings = EngagementSettings(snapshots=SnapshotSettings(as_of=datetime(2024, 2, 1, tzinfo=UTC)))
    for place in (None, str(tmp_path / "log")):
        workspace = Workspace.at(tmp_path / f"w{place is None}")
        report = import_catalogue("native", two_pins, workspace, MAPPING, log=place)
        assert engagements(report) == (107, {"duplicate": 2})
        run_engagement(workspace, settings)
        counted = parts.latest(workspace.folder(PIN_ENGAGEMENT), PIN_ENGAGEMENT).filter(pl.col("pin_id") == "1")
        assert counted.select("impressions_365d", "clicks_365d").row(0) == (101, 6)


def test_a_log_that_counts_positions_from_zero_is_noted(two_pins: Path, tmp_path: Path) -> None:
    rows = [row(position=position, user_hash=f"u{n}") for n, position in enumerate(("0", "0.0", "1", "2", "-1", None))]
    write_day(two_pins / "engagements", 1, rows)
    write_day(tmp_path / "log", 1, rows)
    for place in (None, str(tmp_path / "log")):
        report = import_catalogue("native", two_pins, Workspace.at(tmp_path / f"w{place is None}"), MAPPING, log=place)
        said = "engagements.position: 0 in 2 rows, taken as unknown, for positions count from 1; where 0 is the top"
        assert any(note.startswith(said) for note in report.notes)


def engagements(report: ImportReport) -> tuple[int, dict[str, int]]:
    found = next(table for table in report.tables if table.table == "engagements")
    return found.kept, dict(found.dropped)


WRITTEN = (
    "2024-01-01", "2024-01-01T10:00:00Z", "2024-01-01T10:00:00.25+02:00", "2024/1/2 3:04", "2024-03-31 02:30 -0500",
    "1704103200", "1704103200123", "1704103200123456", "20240101", " 2024-01-01 10:00 ", "2016-12-31T23:59:60Z",
    "epoch", "now", "infinity", "nan", "1e400", "-1", "0000-00-00", "2023-02-29", "9999-12-31", "294247-01-10", "",
)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "fine", "dtype"),
    [
        (WRITTEN, "2024-01-01", pl.String),
        ([1.7e9, 1.7e12 + 123, 1.7e15, 1.7e18, float("nan"), float("inf"), 1e300, -1.0, 0.0, None], 1.7e9, pl.Float64),
        ([1_704_103_200_123, 1_704_103_200_123_456, 20_240_101, -5, 2**63 - 1, None], 1_704_103_200, pl.Int64),
        ([2**62, -(2**62)], 1_704_103_200_123_456, pl.Datetime("us")),
        ([2**45, -1], 1_704_103_200_123, pl.Datetime("ms")),
        ([-1_000], 1_704_103_200_123_456_000, pl.Datetime("ns", "America/New_York")),
        ([-1], 19_723, pl.Date),
    ],
    ids=["text", "floats", "integers", "microseconds", "milliseconds", "nanoseconds of a zone", "dates"],
)
def test_a_time_is_what_an_import_takes_it_for(
    values: list, fine: object, dtype: pl.DataType, two_pins: Path, tmp_path: Path
) -> None:
    """Of whatever type, unit and zone, or none at all: a time that cannot be is one row less, and stops nothing."""
    every = [*values, *([fine] * 30)]
    stored = pl.Series(every, dtype=dtype if dtype in (pl.String, pl.Float64) else pl.Int64).cast(
        dtype if dtype != pl.Date else pl.Int32
    )
    folder = two_pins / "engagements"
    folder.mkdir()
    ids = {"query": "x", "pin_id": [f"p{n:02}" for n in range(len(every))], "event": "click"}
    pl.DataFrame(ids | {"event_timestamp": stored.cast(dtype)}).write_parquet(folder / "a.parquet")
    copied, left = Workspace.at(tmp_path / "copied"), Workspace.at(tmp_path / "left")
    counted = engagements(import_catalogue("native", two_pins, copied))
    assert engagements(import_catalogue("native", two_pins, left, log=str(folder))) == counted
    logs = [History(one).log().select("pin_id", "event_timestamp").to_polars().sort("pin_id") for one in (copied, left)]
    assert logs[0].equals(logs[1]) and 30 <= logs[0].height < len(every)


def test_an_id_is_what_an_import_takes_it_for(two_pins: Path, tmp_path: Path) -> None:
    folder = two_pins / "engagements"
    folder.mkdir()
    rows = {"query": ["a", " b\t", "c", "d"], "event": ["click"] * 4, "event_timestamp": [NOON] * 4,
            "pin_id": [1.0, 2.5, float("inf"), None], "user_hash": ["u\x00", " v ", "w", "x"]}  # fmt: skip
    pl.DataFrame(rows).write_parquet(folder / "a.parquet")
    copied, left = Workspace.at(tmp_path / "copied"), Workspace.at(tmp_path / "left")
    counted = engagements(import_catalogue("native", two_pins, copied))
    assert (
        engagements(import_catalogue("native", two_pins, left, log=str(folder)))
        == counted
        == (2, {"missing-pin_id": 2})
    )
    logs = [History(one).log().select("pin_id", "user_hash").to_polars().sort("pin_id") for one in (copied, left)]
    assert logs[0].rows() == logs[1].rows() == [("1", None), ("2.5", "v")]


def of_bytes(values: list[bytes], kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), pa.array(values, pa.binary()).buffers())


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("term", pa.array([["a", "b"]] * 2), "'query' of .* found array<string>"),
        ("term", pa.array([{"a": 1}] * 2), "'query' of .* found struct"),
        ("term", pa.array([b"caf\xc3\xa9"] * 2), "'query' of .* found binary"),
        ("event_timestamp", pa.array([[1]] * 2), "'event_timestamp' of .* found array<int64>"),
        ("lang", pa.array([{"a": 1}] * 2), "'lang' of .* found struct"),
        ("term", of_bytes([b"ok", b"\xff\xfe"], pa.string()), "whose rows can be read .* not valid UTF8"),
    ],
    ids=["lists", "objects", "bytes", "times in lists", "an optional one", "no UTF-8"],
)
def test_what_holds_no_single_values_is_one_clear_line(
    column: str, values: pa.Array, said: str, two_pins: Path, tmp_path: Path
) -> None:
    (tmp_path / "log").mkdir()
    good = pl.DataFrame([row(), row()]).to_arrow().select(["term", "pin_id", "event", "lang", "event_timestamp"])
    rows = good.set_column(good.schema.get_field_index(column), column, values)
    pq.write_table(rows, tmp_path / "log" / "a.parquet")
    with pytest.raises(BadInput, match=said) as raised:
        import_catalogue("native", two_pins, Workspace.at(tmp_path / "w"), MAPPING, log=str(tmp_path / "log"))
    assert "\n" not in str(raised.value)


def test_what_is_not_finished_hides_or_is_linked_twice_is_not_read(two_pins: Path, tmp_path: Path) -> None:
    """Links that lead back up would never end; Spark writes into _temporary/ and leaves what hides beside it."""
    log = tmp_path / "log"
    write_day(log, 1, [row()])
    for name in (
        "_temporary/0/a.parquet",
        ".hidden/a.parquet",
        "day=2024-01-01/.a.parquet",
        "day=2024-01-01/_b.parquet",
    ):
        (log / name).parent.mkdir(parents=True, exist_ok=True)
        (log / name).write_bytes(b"half a file")
    for name in ("a", "b", "day=2024-01-01/up", "day=2024-01-01/up2"):
        (log / name).symlink_to(log, target_is_directory=True)
    (log / "again.parquet").symlink_to(log / "day=2024-01-01" / "part-0.parquet")
    (log / "_kind=good").mkdir()
    pl.DataFrame([row(user_hash="v")]).write_parquet(log / "_kind=good" / "a.parquet")
    for nth, uri in enumerate((str(log), f"{log}/*/*.parquet")):
        workspace = Workspace.at(tmp_path / f"w{nth}")
        import_catalogue("native", two_pins, workspace, MAPPING, log=uri)
        assert [Path(file.uri).name for file in History(workspace).log_source().files] == [
            "a.parquet",
            "part-0.parquet",
        ]
        assert History(workspace).days().read == 2 * 2


def test_a_link_to_nothing_is_one_line_that_names_it(two_pins: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_day(log, 1, [row()])
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace, MAPPING, log=str(log))
    (log / "day=2024-01-01" / "lost.parquet").symlink_to(tmp_path / "nothing")
    with pytest.raises(BadInput, match=r"expected a file at .*lost\.parquet, found: No such file.*; remove it"):
        History(workspace).days()


def test_a_partitions_name_is_text_and_none_of_its_columns_is_missed_elsewhere(two_pins: Path, tmp_path: Path) -> None:
    for folder in ("pin_id=007/lang=en", "pin_id=008/lang=__HIVE_DEFAULT_PARTITION__", "pin_id=a%20b"):
        path = tmp_path / "log" / folder / "a.parquet"
        path.parent.mkdir(parents=True)
        pl.DataFrame([row()]).drop("pin_id", "lang").write_parquet(path)
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace, MAPPING, log=str(tmp_path / "log"))
    found = History(workspace).log().select("pin_id", "lang").to_polars().sort("pin_id")
    assert found.rows() == [("007", "en"), ("008", None), ("a b", None)]
    assert History(workspace).days().read == 2 * 3


@pytest.mark.parametrize("own", ["event", "Event"])
def test_a_files_own_column_goes_before_its_folders(own: str, two_pins: Path, tmp_path: Path) -> None:
    """As an import has it; of two folders of one name the inner one counts, and what is absent in the file stays so."""
    engagements = two_pins / "engagements"
    for folder, columns in (
        ("event=impression/lang=en", {own: "click", "lang": None}),
        ("event=impression/lang=en/lang=de", {}),
        ("event=impression/lang=__HIVE_DEFAULT_PARTITION__", {}),
    ):
        path = engagements / folder / "a.parquet"
        path.parent.mkdir(parents=True)
        rows = pl.DataFrame([{"query": folder, "pin_id": "1", "event_timestamp": NOON} | columns])
        rows.with_columns(pl.col(pl.Null).cast(pl.String)).write_parquet(path)
    imported, left = Workspace.at(tmp_path / "i"), Workspace.at(tmp_path / "l")
    import_catalogue("native", two_pins, imported)
    import_catalogue("native", two_pins, left, log=str(engagements))
    for workspace in (imported, left):
        found = History(workspace).log().select("query", "event", "lang").to_polars().sort("query").rows()
        assert found == [
            ("event=impression/lang=__HIVE_DEFAULT_PARTITION__", "impression", None),
            ("event=impression/lang=en", "click", None),
            ("event=impression/lang=en/lang=de", "impression", "de"),
        ]


def test_folders_above_the_log_give_no_column(two_pins: Path, tmp_path: Path) -> None:
    """A log, and a workspace, that lie in a folder which is named as a partition of another one would be."""
    above = tmp_path / "lang=en"
    write_day(above / "log", 1, [row(lang="de", event="click"), row(user_hash="v", lang=None)])
    workspace = Workspace.at(above / "country=US" / "w")
    import_catalogue("native", two_pins, workspace, MAPPING, log=str(above / "log"))
    assert sorted(History(workspace).log().select("user_hash", "lang", "country").to_polars().rows()) == [
        ("u", "de", None), ("v", None, None),
    ]  # fmt: skip
    (above / "log").rename(two_pins / "engagements")
    import_catalogue("native", two_pins, workspace, MAPPING)
    assert sorted(History(workspace).log().select("user_hash", "lang", "country").to_polars().rows()) == [
        ("u", "de", None), ("v", None, None),
    ]  # fmt: skip


def test_a_new_day_that_is_mostly_bad_stops_the_run_and_one_that_is_a_little_is_counted(
    two_pins: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    write_day(log, 1, [row(), row(), row(event="stare")])
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace, MAPPING, log=str(log))
    write_day(log, 2, [row(user_hash=f"u{n}") for n in range(150)] + [row(event="stare")] * 100)
    write_day(log, 3, [row(event="stare")] * 3)
    settings = EngagementSettings(snapshots=SnapshotSettings(cadence_days=1))
    run_engagement(workspace, settings)
    said = next(source for source in status(workspace).sources if source.table == "engagements")
    assert (said.rows, said.dropped) == (151, {"unknown-event": 104, "duplicate": 1})
    write_day(log, 4, [row()] * 99 + [row(event="stare")] * 100)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"day=2024-01-04.* found 100 of 199 rows bad .unknown-event 100.") as raised:
            run_engagement(workspace, settings)
        assert "\n" not in str(raised.value)
    (log / "day=2024-01-04" / "part-0.parquet").unlink()
    assert run_engagement(workspace, settings)[0].made == 0


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
