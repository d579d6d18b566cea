"""A new day costs a day: what is read again, that the rows are those of one whole run, that no kill leaves a half."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_rows import day, write_rows
from tiny_encoder import tiny_encoder

from enrich import log_in_place, parts, steps
from enrich.backends import BackendLimits
from enrich.day_folders import Day, Kind
from enrich.engagement import EngagementSettings, run_engagement
from enrich.erasure import run_erasure
from enrich.errors import CorkboardError
from enrich.history import History
from enrich.log_days import LogDays
from enrich.log_in_place import LogInPlace
from enrich.queries import QuerySettings, run_pin_queries
from enrich.query_features import QueryFeatureSettings, run_query_features
from enrich.snapshots import SnapshotSettings
from enrich.steps import RunSettings, Step
from enrich.tables import (
    DELETIONS,
    ENGAGEMENTS,
    PIN_ENGAGEMENT,
    PIN_QUERIES,
    PINS,
    QUERY_FEATURES,
    QUERY_PIN_ENGAGEMENT,
)
from enrich.window_sums import Sum, WindowSums
from enrich.workspace import Catalogue, Workspace

TABLES = (PIN_QUERIES, PIN_ENGAGEMENT, QUERY_PIN_ENGAGEMENT)
DAILY = SnapshotSettings(cadence_days=1)
FIRST = day(1).toordinal() - datetime(1970, 1, 1, tzinfo=UTC).toordinal()
Row = dict[str, Any]


def click(on: int, query: str = "vase", pin: str = "a", event: str = "click", user: str | None = "u1") -> Row:
    return {"query": query, "pin_id": pin, "event": event, "user_hash": user, "position": 1, "lang": "en",
            "country": None, "event_timestamp": day(on, on)}  # fmt: skip


def write_file(path: Path, rows: Sequence[Row]) -> None:
    """As a new file, renamed into place: what is written over is another file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.aside")
    schema = {"position": pl.Int64, "user_hash": pl.String, "country": pl.String}
    pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None).write_parquet(aside)
    aside.replace(path)


def write_day(log: Path, on: int, *rows: Row) -> None:
    write_file(log / f"day={day(on):%Y-%m-%d}" / "part.parquet", rows)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def in_place(root: Path, log: Path) -> Workspace:
    workspace = Workspace.at(root)
    workspace.create(Catalogue("native", "inline"))
    log_in_place.save(workspace.root, LogInPlace(str(log)))
    return workspace


def run(workspace: Workspace, cadence: SnapshotSettings = DAILY, engagement: bool = False) -> int:
    """How many rows of the log were read."""
    days = History(workspace).days()
    run_pin_queries(workspace, days, QuerySettings(min_users=2, window=timedelta(days=3), snapshots=cadence))
    if engagement:
        run_engagement(workspace, EngagementSettings(snapshots=cadence))
    return days.read


def rows(workspace: Workspace) -> list[pl.DataFrame]:
    found = (parts.scan(workspace.folder(table)).drop("written_at").collect() for table in TABLES)
    return [frame.sort("event_timestamp", *table.key) for frame, table in zip(found, TABLES, strict=True)]


def afresh(log: Path, cadence: SnapshotSettings = DAILY, engagement: bool = False) -> list[pl.DataFrame]:
    """What one run over the whole log makes, in a new workspace."""
    workspace = in_place(log.parent / "afresh", log)
    run(workspace, cadence, engagement)
    found = rows(workspace)
    shutil.rmtree(workspace.root)
    return found


def same(one: list[pl.DataFrame], other: list[pl.DataFrame]) -> bool:
    return one[0].height > 0 and all(a.equals(b) for a, b in zip(one, other, strict=True))


def busy(on: int) -> list[Row]:
    """A day's six lines: two queries, two pins, three users, one of them new each day."""
    return [
        click(on), click(on, "vase", "b", "save", "u2"), click(on, "vase", "a", "impression", f"n{on}"),
        click(on, "lamp", "b", "click", "u2"), click(on, "jane@example.com", "a"), click(on, "lamp", "a", "hide", None),
    ]  # fmt: skip


def test_a_new_day_is_read_alone_and_makes_the_rows_of_a_whole_run(log: Path, tmp_path: Path) -> None:
    workspace = in_place(tmp_path / "w", log)
    for on in range(1, 6):
        write_day(log, on, *busy(on))
    assert run(workspace, engagement=True) == 2 * 30, "once to know which days a file holds, once to count them"
    assert run(workspace, engagement=True) == 0
    write_day(log, 6, *busy(6))
    assert run(workspace, engagement=True) == 2 * 6
    assert same(rows(workspace), afresh(log, engagement=True))


def test_a_new_day_is_summed_from_what_came_and_what_left(log: Path, tmp_path: Path) -> None:
    """Whatever the days before: of the window of 3 days day 6 has come and day 3 has gone."""
    for on in range(1, 6):
        write_day(log, on, *busy(on))
    workspace = in_place(tmp_path / "w", log)
    run(workspace)
    write_day(log, 6, *busy(6))
    read: list[tuple[Kind, list[int]]] = []

    class Watched(LogDays):
        def table(self, kind: Kind, days: Iterable[Day]) -> ir.Table:
            days = list(days)
            read.append((kind, [found.number - FIRST + 1 for found in days]))
            return super().table(kind, days)

    history = History(workspace)
    days = Watched(workspace.root, history.log_source())
    run_pin_queries(workspace, days, QuerySettings(min_users=2, window=timedelta(days=3), snapshots=DAILY))
    assert read == [(kind, [on]) for kind in (Kind.PAIRS, Kind.ASKERS) for on in (6, 3)]


def test_a_late_day_makes_the_snapshots_that_see_it_and_no_other(log: Path, tmp_path: Path) -> None:
    workspace = in_place(tmp_path / "w", log)
    for on in (1, 2, 3, 5, 6):
        write_day(log, on, *busy(on))
    run(workspace)
    written = {part.name: part.stat().st_ino for part in workspace.folder(PIN_QUERIES).glob("part-snapshot*")}
    write_day(log, 4, click(4, "late", "a", "save", "u1"), click(4, "late", "b", "click", "u2"))
    assert run(workspace) == 2 * 2, "the late day's"
    now = {part.name: part.stat().st_ino for part in workspace.folder(PIN_QUERIES).glob("part-snapshot*")}
    kept = {name for name, inode in written.items() if now.get(name) == inode}
    assert kept == {f"part-snapshot-{day(on):%Y%m%d}T000000Z.parquet" for on in (2, 3, 4)}
    assert same(rows(workspace), afresh(log))


def test_a_day_written_anew_takes_its_old_rows_out_of_the_sums(log: Path, tmp_path: Path) -> None:
    workspace = in_place(tmp_path / "w", log)
    for on in range(1, 7):
        write_day(log, on, *busy(on))
    run(workspace)
    write_day(log, 5, *busy(5)[:3], click(5, "oak", "b", "save", "u1"), click(5, "oak", "b", "save", "u2"))
    assert run(workspace) == 2 * 5
    assert same(rows(workspace), afresh(log))


def test_the_same_rows_in_other_files_are_the_same_days(log: Path, tmp_path: Path) -> None:
    workspace = in_place(tmp_path / "w", log)
    for on in (1, 2, 3):
        write_day(log, on, *busy(on))
    run(workspace)
    before = {path: path.stat().st_mtime_ns for path in (workspace.root / "log_days" / "pairs").rglob("*.parquet")}
    shutil.rmtree(log)
    write_file(log / "all.parquet", [row for on in (3, 2, 1) for row in busy(on)])
    assert run(workspace) == 18, "read once; no day is counted again"
    assert before == {p: p.stat().st_mtime_ns for p in (workspace.root / "log_days" / "pairs").rglob("*.parquet")}


def test_files_that_hold_days_in_part_and_lines_twice_are_counted_right(log: Path, tmp_path: Path) -> None:
    write_file(log / "a.parquet", [*busy(1), click(2)])
    write_file(log / "b.parquet", [click(2), click(2, user="u2"), *busy(3)])
    workspace = in_place(tmp_path / "w", log)
    run(workspace, engagement=True)
    write_file(log / "c.parquet", [click(2), click(3, "late", user="u9")])
    run(workspace, engagement=True)
    assert same(rows(workspace), afresh(log, engagement=True))
    latest = parts.latest(workspace.folder(QUERY_PIN_ENGAGEMENT), QUERY_PIN_ENGAGEMENT)
    vase = latest.filter((pl.col("query") == "vase") & (pl.col("pin_id") == "a"))
    assert vase["clicks_365d"].to_list() == [4], "days 1 and 3, and two users' of day 2, each once"


def test_a_column_that_only_newer_files_have_is_null_in_the_older(log: Path, tmp_path: Path) -> None:
    write_file(log / "a.parquet", [{k: v for k, v in click(1).items() if k not in ("lang", "position")}])
    write_file(log / "b.parquet", [click(2) | {"pin_id": 7}])
    workspace = in_place(tmp_path / "w", log)
    found = History(workspace).days()
    assert found.table(Kind.ASKERS, found.days).order_by("day").to_polars()["lang"].to_list() == [None, "en"]
    assert found.table(Kind.PAIRS, found.days).order_by("day").to_polars()["pin_id"].to_list() == ["a", "7"]


def test_deletions_hold_in_every_day_and_cost_those_they_touch(log: Path, tmp_path: Path) -> None:
    workspace = in_place(tmp_path / "w", log)
    for on in range(1, 5):
        write_day(log, on, *busy(on))
    run(workspace)
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "n4", "deleted_at": day(9)})
    run_erasure(workspace)
    held = [str(pl.read_parquet(file).to_dicts()) for file in (workspace.root / "log_days").rglob("*.parquet")
            if file.name != "gone.parquet"]  # fmt: skip
    assert not any("n4" in text for text in held), "gone before any step has run"
    assert run(workspace) == 2 * 5, "day 4, without the deleted user's line"
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "b", "deleted_at": day(9)})
    run(workspace)
    assert "b" not in rows(workspace)[0].filter(pl.col("reason").is_null())["pin_id"]
    fresh = in_place(tmp_path / "f", log)
    deleted = [{"kind": "user", "id": "n4", "deleted_at": day(9)}, {"kind": "pin", "id": "b", "deleted_at": day(9)}]
    write_rows(fresh, DELETIONS, *deleted)
    run(fresh)
    made = [frame.filter(pl.col("reason").is_null()) for frame in rows(workspace)]
    assert same(made, [frame.filter(pl.col("reason").is_null()) for frame in rows(fresh)])


def test_who_is_deleted_no_more_is_back(log: Path, tmp_path: Path) -> None:
    write_day(log, 1, *busy(1))
    workspace = in_place(tmp_path / "w", log)
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "a", "deleted_at": day(9)})
    run(workspace)
    parts.replace(workspace.folder(DELETIONS), DELETIONS, DELETIONS.schema.empty_table())
    run(workspace)
    assert same(rows(workspace), afresh(log))


def test_what_no_query_may_say_is_kept_as_a_hash(log: Path, tmp_path: Path) -> None:
    write_day(log, 1, *busy(1))
    workspace = in_place(tmp_path / "w", log)
    run(workspace)
    files = list((workspace.root / "log_days").rglob("*.parquet"))
    assert files and not any("jane" in str(pl.read_parquet(file).to_dicts()) for file in files)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def features(workspace: Workspace, encoder: str) -> dict[str, int]:
    """The parts of query_features, and when each was written."""
    history = History(workspace)
    settings = QueryFeatureSettings(model=encoder, window=timedelta(days=3))
    run_query_features(workspace, history, history.days(), settings, DAILY)
    return {part.name: part.stat().st_mtime_ns for part in workspace.folder(QUERY_FEATURES).glob("part-snapshot*")}


def first_engaged(workspace: Workspace) -> list[tuple[str, int]]:
    least = pl.read_parquet(workspace.root / "log_days" / "sums" / "pin-first-engaged" / "*" / "*.parquet")
    return sorted((pin, number - FIRST + 1) for pin, number in least.select("pin_id", "n").iter_rows())


def test_a_pin_is_engaged_with_first_on_a_day_that_is_forgotten(log: Path, tmp_path: Path, encoder: str) -> None:
    """Its new category, or its deletion, leaves alone what cannot be made again, and no day stays for its sake."""

    def pins(category: str) -> None:
        rows = [{"pin_id": pin, "category": category, "created_at": day(1)} for pin in "ab"]
        columns = {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in PINS.schema}
        parts.replace(workspace.folder(PINS), PINS, pa.table(columns))

    workspace = in_place(tmp_path / "w", log)
    pins("vases")
    for on in range(1, 8):
        write_day(log, on, *busy(on))
    made = features(workspace, encoder)
    for on in (1, 2, 3):
        shutil.rmtree(log / f"day={day(on):%Y-%m-%d}")
    assert features(workspace, encoder) == made
    held = {int(folder.name.split("-")[0]) - FIRST + 1 for folder in (workspace.root / "log_days" / "pairs").iterdir()}
    assert held == {4, 5, 6, 7}
    write_day(log, 7, *busy(7), click(7, "lamp", "c", "save"))
    features(workspace, encoder)
    assert first_engaged(workspace) == [("a", 1), ("b", 1), ("c", 7)], "day 7 is another one, day 1 is gone"
    pins("lamps")
    anew = features(workspace, encoder)
    stood = {f"part-snapshot-{day(on):%Y%m%d}T000000Z.parquet" for on in range(2, 7)}
    assert {name for name, at in anew.items() if made.get(name) == at} == stood, "7 and 8 see 4 to 7"
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "b", "deleted_at": day(9)})
    after = features(workspace, encoder)
    assert first_engaged(workspace) == [("a", 1), ("c", 7)]
    assert stood <= {name for name, at in after.items() if made.get(name) == at}


def test_a_log_that_lets_its_first_days_go_goes_on(log: Path, tmp_path: Path) -> None:
    """As logs are kept for a time: what was said when they were there stands, and nothing is computed anew."""

    def more(on: int) -> list[Row]:
        return [click(on, "lamp", "b", "save", f"m{nth}") for nth in range(on)]

    workspace, made = in_place(tmp_path / "w", log), []
    for on in range(1, 8):
        write_day(log, on, *busy(on), *more(on))
        if on > 4:
            shutil.rmtree(log / f"day={day(on - 4):%Y-%m-%d}")
            made.append((run(workspace), {p.stat().st_ino for p in workspace.folder(PIN_QUERIES).glob("part-s*")}))
    assert [read for read, _ in made] == [76, 24, 26] and made[0][1] < made[1][1] < made[2][1]
    newest = rows(workspace)[0].filter(pl.col("event_timestamp") == day(8))
    for on in range(1, 4):
        write_day(log, on, *busy(on), *more(on))
    whole = afresh(log)[0].filter(pl.col("event_timestamp") == day(8))
    assert newest.drop("input_hash").equals(whole.drop("input_hash")) and newest.height
    held = {int(folder.name.split("-")[0]) - FIRST + 1 for folder in (workspace.root / "log_days" / "pairs").iterdir()}
    assert held == {4, 5, 6, 7}, "and what left the log is forgotten"


def test_an_imported_log_is_counted_by_day_too(workspace: Workspace, log: Path) -> None:
    write_rows(workspace, ENGAGEMENTS, *(row for on in range(1, 4) for row in busy(on)))
    assert run(workspace) == 2 * 18
    write_rows(workspace, ENGAGEMENTS, *busy(4))  # a part more
    assert run(workspace) == 2 * 6
    for on in range(1, 5):
        write_day(log, on, *busy(on))
    found, whole = rows(workspace), afresh(log)
    assert same([f.drop("input_hash") for f in found], [f.drop("input_hash") for f in whole])


def test_days_that_an_import_has_no_more_are_unsaid(workspace: Workspace) -> None:
    """A log in place lets its first days go; a folder that is imported again says what there is."""

    def import_saves(query: str, *on: int) -> None:
        found = [click(nth, query, "a", "save", user) for nth in on for user in ("u1", "u2")]
        columns = {f.name: pa.array([row.get(f.name) for row in found], f.type) for f in ENGAGEMENTS.schema}
        parts.replace(workspace.folder(ENGAGEMENTS), ENGAGEMENTS, pa.table(columns))

    import_saves("wrong old", 1, 2)
    run(workspace)
    import_saves("new", 4, 5)
    run(workspace)
    said = rows(workspace)[0].select("event_timestamp", "engaged_queries").rows()
    assert said == [(day(5), ["new"]), (day(6), ["new"])]
    held = [str(pl.read_parquet(file).to_dicts()) for file in (workspace.root / "log_days").rglob("*.parquet")]
    assert held and not any("wrong old" in text for text in held)


class Killed(Exception):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """The power goes at the nth rename, by which alone anything appears."""
    rename, counted = Path.replace, iter(range(10_000))

    def killed(source: Path, target: Path) -> Path:
        if next(counted) == nth:
            raise Killed
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", killed)


def test_a_kill_at_any_write_leaves_no_half_day(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write of a run over one more day and one that is written anew is where the power goes, in turn."""
    two_days = SnapshotSettings(cadence_days=2)
    for on in (1, 2):
        write_day(log, on, *busy(on))
    first = in_place(tmp_path / "first", log)
    run(first, two_days)
    write_day(log, 2, *busy(2)[:4])
    write_day(log, 3, *busy(3))
    whole, nth, ended = afresh(log, two_days), 0, False
    while not ended:
        workspace = Workspace.at(tmp_path / f"w{nth}")
        shutil.copytree(first.root, workspace.root)
        with monkeypatch.context() as patched:
            kill_at(patched, nth)
            try:
                run(workspace, two_days)
                ended = True
            except Killed:
                nth += 1
        run(workspace, two_days)
        assert same(rows(workspace), whole), f"after a kill at write {nth}"
    assert nth == 16, (
        "dropped, files, gone; pairs and askers of two days; a snapshot, its manifest, the state; two sums, and the "
        "two before them put aside; both of the day that is another one now, put aside"
    )


def test_what_a_killed_run_had_written_aside_is_erased_with_what_was_deleted(log: Path, tmp_path: Path) -> None:
    """Nobody reads it, and it may hold the words of whoever is deleted next."""
    write_day(log, 1, *busy(1))
    workspace = in_place(tmp_path / "w", log)
    run(workspace)
    table = workspace.folder(PIN_QUERIES)
    dead = subprocess.run(["sh", "-c", "echo $$"], check=True, capture_output=True, text=True).stdout.strip()
    spilled = workspace.root / ".spill" / f"{dead}-0" / "duckdb_temp_storage-0.tmp"
    left = [table / ".part-x.parquet.1", table / ".latest-x.state.1", spilled]
    left += [workspace.root / "log_days" / path for path in (".aside-pairs/x.parquet", "sums/query-cells/.x/x.parquet")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("vase")
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "n1", "deleted_at": day(9)})
    run_erasure(workspace)
    assert not [path for path in left if path.exists()]


_lines = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from(["click", "save", "impression"]))
_days = st.dictionaries(st.integers(1, 6), st.lists(_lines, min_size=1, max_size=4), min_size=1, max_size=4)


@given(st.lists(_days, min_size=2, max_size=3), st.integers(1, 4))
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_days_come_and_change_the_sums_are_those_of_the_window(
    tmp_path_factory: pytest.TempPathFactory, runs: list[dict[int, list[tuple[str, str, str]]]], width: int
) -> None:
    root = tmp_path_factory.mktemp("sums")
    log, workspace = root / "log", in_place(root / "w", root / "log")
    counted = Sum("test", Kind.PAIRS, lambda t: t.group_by("query", "pin_id", "event").agg(n=t.n.sum()))
    lines: dict[int, list[tuple[str, str, str]]] = {}
    for changed in runs:
        lines |= changed
        for on, some in changed.items():
            write_day(log, on, *(click(on, q, p, e, f"u{nth}") for nth, (q, p, e) in enumerate(some)))
        days: LogDays = History(workspace).days()
        sums = WindowSums(days)
        for end in (3, 5, 8):
            found = sums.of(counted, day(end - width), day(end)).to_polars().rows()
            seen = [line for on, some in lines.items() if end - width <= on < end for line in some]
            assert sorted(found) == sorted((*line, seen.count(line)) for line in set(seen))
        sums.save()


_events = st.tuples(
    st.sampled_from(["vase", "lamp", "jane@example.com"]), st.sampled_from("ab"),
    st.sampled_from(["click", "save", "impression", "hide"]), st.sampled_from(["u1", "u2", "u3", None]),
)  # fmt: skip
_changes = st.tuples(
    st.dictionaries(st.integers(1, 5), st.lists(_events, min_size=1, max_size=5), min_size=1, max_size=3),
    st.sets(st.sampled_from([("user", "u1"), ("user", "u2"), ("pin", "b")]), max_size=1),
)


def standing(workspace: Workspace) -> list[pl.DataFrame]:
    """What each table says at each snapshot of each key: the values of its newest row until then."""
    found = []
    for frame, table in zip(rows(workspace), TABLES, strict=True):
        values = [*table.key, *(column.name for column in table.features)]
        for on in range(2, 8):
            known = frame.filter(pl.col("event_timestamp") <= day(on)).unique(list(table.key), keep="last")
            found.append(known.filter(pl.col("reason").is_null()).select(values).sort(table.key))
    return found


@given(st.lists(_changes, min_size=2, max_size=3), st.booleans())
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_comes_changes_or_is_deleted_every_snapshot_says_what_one_run_says(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[dict[int, list[tuple[str, str, str, str | None]]], set[tuple[str, str]]]],
    twice: bool,
) -> None:
    """Days that come late or are written anew, lines in any order and more than once, users and a pin deleted."""
    root = tmp_path_factory.mktemp("history")
    log, workspace, gone = root / "log", in_place(root / "w", root / "log"), set[tuple[str, str]]()
    for lines, deleted in runs:
        for on, some in lines.items():
            written = [click(on, query, pin, event, user) for query, pin, event, user in some]
            write_day(log, on, *written, *(reversed(written) if twice else ()))
        gone |= deleted
        named = [{"kind": kind, "id": id, "deleted_at": day(9)} for kind, id in sorted(deleted)]
        if named:
            write_rows(workspace, DELETIONS, *named)
        run_erasure(workspace)
        run(workspace, engagement=True)
    fresh = in_place(root / "f", log)
    if gone:
        write_rows(fresh, DELETIONS, *({"kind": kind, "id": id, "deleted_at": day(9)} for kind, id in sorted(gone)))
    run(fresh, engagement=True)
    assert all(one.equals(other) for one, other in zip(standing(workspace), standing(fresh), strict=True))


def test_a_time_is_of_the_day_in_which_it_lies(log: Path, tmp_path: Path) -> None:
    last = datetime(2025, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    write_file(log / "a.parquet", [click(1) | {"event_timestamp": at} for at in (day(1), last, day(2))])
    days = History(in_place(tmp_path / "w", log)).days()
    assert [found.rows for found in days.days] == [2, 1]
    assert [found.rows for found in days.between(day(1), day(2))] == [2]


def test_no_room_is_one_clear_line_and_loses_nothing(log: Path, tmp_path: Path) -> None:
    write_day(log, 1, *(click(1, f"query {n} {'word ' * 20}", f"p{n}", user=f"u{n}") for n in range(20_000)))
    workspace = in_place(tmp_path / "w", log)
    cadence = SnapshotSettings(cadence_days=1)
    for memory in ("8MB", "4GB"):
        limits = BackendLimits(memory, threads=1)
        chosen = RunSettings(engagement=EngagementSettings(snapshots=cadence, backend=limits))
        done = steps.run(workspace, chosen, [Step.ENGAGEMENT])
        if memory == "8MB":
            with pytest.raises(CorkboardError, match="expected room and files for `enrich engagement`") as raised:
                list(done)
            assert "\n" not in str(raised.value)
        else:
            assert list(done)[-1].reports[0].made == 20_000
