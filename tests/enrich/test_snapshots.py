"""The cadence: which snapshots are due, what a snapshot writes, and that a kill or a rerun changes nothing."""

from __future__ import annotations

import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_rows import day

from enrich import parts, snapshots
from enrich.errors import BadInput
from enrich.snapshots import Change, Computed, SnapshotSettings, due_snapshots
from enrich.tables import PIN_BOARDS
from enrich.workspace import Catalogue, Workspace

DAILY = SnapshotSettings(cadence_days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Titles = dict[str, list[str]]


class Killed(Exception):
    pass


def values(titles: Titles) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "pin_id": list(titles),
            "board_titles": list(titles.values()),
            "board_count": [len(t) for t in titles.values()],
        },
        schema={"pin_id": pl.String, "board_titles": pl.List(pl.String), "board_count": pl.Int64},
    )


def run(
    workspace: Workspace,
    by_day: dict[int, Titles],
    settings: SnapshotSettings = DAILY,
    producer: str = "p1",
    kill_at: int | None = None,
    digest: int = 0,
) -> tuple[int, int]:
    """Snapshots at the given days of January, each with its titles; made and fresh rows."""
    log = [
        Change(snapshots.period(day(number), settings) - 1, 1, digest + zlib.crc32(repr(titles).encode()))
        for number, titles in by_day.items()
    ]

    def compute(at: datetime, _: pl.DataFrame) -> Computed:
        number = (at - day(1)).days + 1
        if number == kill_at:
            raise Killed
        return Computed(values(by_day[number]), Counter())

    planned = snapshots.plan(log, settings)
    report = snapshots.run(workspace, PIN_BOARDS, planned, compute, producer, settings)
    return report.made, report.fresh


def rows(workspace: Workspace) -> list[tuple[str, int, list[str] | None, str | None]]:
    """pin, day of the snapshot, titles, reason."""
    found = parts.scan(workspace.folder(PIN_BOARDS)).collect().sort("event_timestamp", "pin_id")
    return [
        (pin, (event - day(1)).days + 1, titles, reason)
        for pin, event, titles, reason in found.select("pin_id", "event_timestamp", "board_titles", "reason").rows()
    ]


def test_snapshots_are_multiples_of_the_cadence_that_see_the_first_and_last_event() -> None:
    settings = SnapshotSettings(cadence_days=30)  # multiples near: 13 December, 12 January, 11 February, 13 March
    found = due_snapshots(day(5), day(40), settings)
    assert found == [day(12), day(42)]
    assert all((at - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(days=30) == timedelta(0) for at in found)


def test_an_event_at_a_boundary_is_first_seen_by_the_next() -> None:
    assert due_snapshots(day(12), day(12), SnapshotSettings()) == [day(42)]


def test_no_snapshot_after_as_of_or_now() -> None:
    assert due_snapshots(day(1), day(5), SnapshotSettings(cadence_days=1, as_of=day(3))) == [day(2), day(3)]
    now = datetime.now(UTC)
    assert all(at <= now for at in due_snapshots(now - timedelta(days=3), now, DAILY))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 400))
def test_between_first_and_last_event_no_snapshot_is_missing(first: int, minutes: int, cadence: int) -> None:
    start = day(1) - timedelta(days=3000) + timedelta(minutes=first % 1000)
    end = start + timedelta(minutes=minutes)
    found = due_snapshots(start, end, SnapshotSettings(cadence_days=cadence))
    step = timedelta(days=cadence)
    assert start < found[0] <= start + step
    assert end < found[-1] <= end + step
    assert all(after - before == step for before, after in pairwise(found))


def test_a_lone_old_row_costs_its_own_window_and_not_every_snapshot_until_now() -> None:
    settings = SnapshotSettings(cadence_days=30)
    newest = snapshots.period(day(1), settings)
    log = [Change(3, 1, 0), Change(newest, 1, 1)]
    numbers = [snapshots.period(one.at, settings) for one in snapshots.plan(log, settings)]
    assert numbers == [4, newest + 1]
    windowed = snapshots.plan(log, settings, window=timedelta(days=75))
    numbers = [snapshots.period(one.at, settings) for one in windowed]
    assert numbers == [4, 5, 6, 7, newest + 1], "it has left the 75 days before day 210"


def test_only_what_changed_gets_a_row_and_what_vanished_gets_an_empty_one(workspace: Workspace) -> None:
    run(workspace, {2: {"a": ["x"], "b": ["y"]}, 3: {"a": ["x"], "b": ["y", "z"]}, 4: {"a": ["x"]}, 5: {"a": ["x"]}})
    assert rows(workspace) == [
        ("a", 2, ["x"], None),
        ("b", 2, ["y"], None),
        ("b", 3, ["y", "z"], None),
        ("b", 4, None, "none-left"),
    ]


def test_rows_are_known_the_delay_after_their_snapshot_and_say_where_they_come_from(workspace: Workspace) -> None:
    run(workspace, {2: {"a": ["x"]}}, SnapshotSettings(cadence_days=1, delay=timedelta(hours=6)))
    row = parts.scan(workspace.folder(PIN_BOARDS)).collect().row(0, named=True)
    assert (row["event_timestamp"], row["created_timestamp"]) == (day(2), day(2) + timedelta(hours=6))
    assert (row["producer"], row["backfilled"], len(row["input_hash"])) == ("p1", True, 32)


def test_a_second_run_does_nothing(workspace: Workspace) -> None:
    by_day = {2: {"a": ["x"]}, 3: {}, 4: {"b": ["y"]}}
    assert run(workspace, by_day) == (3, 0)
    before = {part: part.stat().st_mtime_ns for part in workspace.folder(PIN_BOARDS).iterdir()}
    assert any(part.suffix == ".state" for part in before)
    assert run(workspace, by_day) == (0, 3)
    assert before == {part: part.stat().st_mtime_ns for part in workspace.folder(PIN_BOARDS).iterdir()}


@pytest.mark.parametrize("kill_at", [2, 3, 4])
def test_a_killed_run_goes_on_to_the_same_rows(workspace: Workspace, kill_at: int) -> None:
    by_day = {2: {"a": ["x"]}, 3: {"a": ["x"], "b": ["y"]}, 4: {"b": ["y"]}}
    with pytest.raises(Killed):
        run(workspace, by_day, kill_at=kill_at)
    run(workspace, by_day)
    assert rows(workspace) == [
        ("a", 2, ["x"], None),
        ("b", 3, ["y"], None),
        ("a", 4, None, "none-left"),
    ]


@pytest.mark.parametrize("nth", range(7))
def test_a_kill_at_any_rename_leaves_no_half_day(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Parts and manifests appear by renames alone; each of the seven of three snapshots is where the power goes."""
    by_day = {2: {"a": ["x"]}, 3: {"a": ["x"], "b": ["y"]}, 4: {"b": ["y"]}}
    whole = [("a", 2, ["x"], None), ("b", 3, ["y"], None), ("a", 4, None, "none-left")]
    renames = iter(range(99))
    rename = Path.replace

    def killed(source: Path, target: Path) -> Path:
        if next(renames) == nth:
            raise Killed
        return rename(source, target)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "replace", killed)
        run(workspace, by_day)
    days = {number for _, number, *_ in rows(workspace)}
    assert rows(workspace) == [row for row in whole if row[1] in days], "whole days or none"
    run(workspace, by_day)
    assert rows(workspace) == whole


def test_a_kill_between_part_and_manifest_repeats_the_snapshot(workspace: Workspace) -> None:
    by_day = {2: {"a": ["x"]}, 3: {"a": ["y"]}}
    run(workspace, by_day)
    whole = rows(workspace)
    manifest = workspace.folder(PIN_BOARDS) / "snapshots.json"
    manifest.write_text(manifest.read_text()[:-20])  # the manifest is broken, the parts are there
    assert run(workspace, by_day) == (2, 0)
    assert rows(workspace) == whole


def test_more_log_leaves_earlier_snapshots_alone(workspace: Workspace) -> None:
    run(workspace, {2: {"a": ["x"]}, 3: {"a": ["x"]}})
    assert run(workspace, {2: {"a": ["x"]}, 3: {"a": ["x"]}, 4: {"a": ["z"]}}) == (1, 1)


def test_a_snapshot_more_reads_no_older_ones(workspace: Workspace) -> None:
    by_day = {2: {"a": ["x"], "b": ["y"]}, 3: {"a": ["z"]}}
    run(workspace, by_day)
    older = [workspace.folder(PIN_BOARDS) / f"part-snapshot-202501{on:02}T000000Z.parquet" for on in (2, 3)]
    there = [part.read_bytes() for part in older]
    for part in older:
        part.write_bytes(b"unreadable")
    by_day[4] = {"a": ["z"], "c": ["y"]}
    run(workspace, by_day)
    for part, content in zip(older, there, strict=True):
        part.write_bytes(content)
    assert rows(workspace)[-1:] == [("c", 4, ["y"], None)], "a says what it said, b is gone since day 3"
    assert len(list(workspace.folder(PIN_BOARDS).glob("*.state"))) == 1


def test_another_producer_or_history_writes_again_over_the_same_parts(workspace: Workspace) -> None:
    run(workspace, {2: {"a": ["x"]}, 3: {"a": ["y"]}})
    run(workspace, {2: {"a": ["x"]}, 3: {"a": ["y"]}}, producer="p2")
    assert rows(workspace) == [("a", 2, ["x"], None), ("a", 3, ["y"], None)]
    run(workspace, {2: {"a": ["z"]}, 3: {"a": ["z"]}}, producer="p2", digest=1)
    assert rows(workspace) == [("a", 2, ["z"], None), ("a", 3, ["z"], None)]  # what was said of day 3 is taken back


def test_a_pin_that_a_rewrite_leaves_out_is_emptied_wherever_it_stood(workspace: Workspace) -> None:
    run(workspace, {2: {"a": ["x"]}, 3: {"a": ["x", "y"]}})
    for _ in range(2):
        run(workspace, {2: {}, 3: {}}, digest=1)
        assert rows(workspace) == [("a", 2, None, "none-left"), ("a", 3, None, "none-left")]


def test_another_cadence_removes_the_snapshots_of_the_first(workspace: Workspace) -> None:
    run(workspace, {2: {"a": ["x"]}, 3: {"a": ["y"]}})
    run(workspace, {12: {"a": ["z"]}}, SnapshotSettings(cadence_days=30))
    assert rows(workspace) == [("a", 12, ["z"], None)]


def test_a_run_as_of_a_day_leaves_later_snapshots_and_takes_back_those_of_another_history(workspace: Workspace) -> None:
    """What stays says what changed since the snapshots before it: where these are written again it would be wrong."""
    by_day = {2: {"a": ["x"]}, 3: {"a": ["x"], "b": ["y"]}, 4: {"b": ["y"]}}
    early = SnapshotSettings(cadence_days=1, as_of=day(2))
    run(workspace, by_day)
    whole = rows(workspace)
    assert run(workspace, by_day, early) == (0, 1)
    assert rows(workspace) == whole
    run(workspace, by_day, early, digest=1)
    assert rows(workspace) == [("a", 2, ["x"], None), ("a", 4, ["x"], None), ("b", 4, None, "none-left")]
    run(workspace, by_day, digest=1)
    assert rows(workspace) == [*whole, ("b", 4, ["y"], None)]


class Store:
    """An online store that is loaded now and then, by its rule: of a key the row of the newest clocks stays."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[datetime, list[str] | None]] = {}

    def load(self, workspace: Workspace) -> dict[str, list[str]]:
        """What it has of every pin after a load of all rows."""
        for row in parts.latest(workspace.folder(PIN_BOARDS), PIN_BOARDS).iter_rows(named=True):
            pin, at = row["pin_id"], row["event_timestamp"]
            if pin not in self.rows or self.rows[pin][0] <= at:
                self.rows[pin] = (at, row["board_titles"])
        return {pin: titles for pin, (_, titles) in self.rows.items() if titles is not None}


def states(workspace: Workspace) -> str:
    return "".join(str(pl.read_parquet(path).to_dicts()) for path in workspace.folder(PIN_BOARDS).glob("*.state"))


def test_what_a_last_snapshot_said_that_is_due_no_more_is_taken_back_where_it_stood(workspace: Workspace) -> None:
    """The 6th's only save is deleted: the store has its row and takes none of the 2nd."""
    store = Store()
    run(workspace, {2: {"a": ["coats"]}, 6: {"a": ["secret", "coats"], "b": ["secret"]}})
    assert store.load(workspace) == {"a": ["secret", "coats"], "b": ["secret"]}
    for again in (False, True):
        made, _ = run(workspace, {2: {"a": ["coats"]}})
        assert made == (0 if again else 2)
        assert rows(workspace) == [("a", 2, ["coats"], None), ("a", 6, ["coats"], None), ("b", 6, None, "none-left")]
    assert store.load(workspace) == {"a": ["coats"]}
    assert "secret" not in states(workspace)
    run(workspace, {2: {"a": ["coats"]}, 8: {"a": ["coats"], "b": ["hats"]}})  # the log goes on
    assert rows(workspace) == [("a", 2, ["coats"], None), ("a", 8, ["coats"], None), ("b", 8, ["hats"], None)]
    assert store.load(workspace) == {"a": ["coats"], "b": ["hats"]}


def test_what_a_snapshot_between_two_said_that_is_due_no_more_is_said_by_the_next(workspace: Workspace) -> None:
    store = Store()
    run(workspace, {2: {"a": ["coats"]}, 6: {"a": ["secret"]}, 20: {"a": ["secret"], "b": ["hats"]}})
    store.load(workspace)
    run(workspace, {2: {"a": ["coats"]}, 20: {"a": ["coats"], "b": ["hats"]}}, digest=1)
    assert rows(workspace) == [("a", 2, ["coats"], None), ("a", 20, ["coats"], None), ("b", 20, ["hats"], None)]
    assert store.load(workspace) == {"a": ["coats"], "b": ["hats"]}


def test_where_nothing_is_left_all_is_taken_back(workspace: Workspace) -> None:
    store = Store()
    run(workspace, {2: {"a": ["secret"]}, 3: {"b": ["secret"]}})
    store.load(workspace)
    for _ in range(2):
        run(workspace, {})
        assert rows(workspace) == [("a", 3, None, "none-left"), ("b", 3, None, "none-left")]
    assert store.load(workspace) == {} and states(workspace) == ""


def test_a_closer_cadence_whose_last_snapshot_is_earlier_says_again_what_stands(workspace: Workspace) -> None:
    store = Store()
    run(workspace, {12: {"a": ["secret"], "b": ["hats"]}}, SnapshotSettings(cadence_days=30))
    store.load(workspace)
    run(workspace, {2: {"a": ["coats"]}, 3: {"a": ["coats"], "b": ["hats"]}})
    assert rows(workspace)[2:] == [("a", 12, ["coats"], None), ("b", 12, ["hats"], None)]
    assert store.load(workspace) == {"a": ["coats"], "b": ["hats"]}


def test_a_run_as_of_a_day_takes_back_online_what_was_said_after_it(workspace: Workspace) -> None:
    store, early = Store(), SnapshotSettings(cadence_days=1, as_of=day(2))
    run(workspace, {2: {"a": ["coats"]}, 3: {"a": ["secret"], "b": ["secret"]}})
    store.load(workspace)
    run(workspace, {2: {"a": ["coats"]}, 3: {"a": ["coats"], "b": ["hats"]}}, early, digest=1)
    assert store.load(workspace) == {"a": ["coats"]}
    run(workspace, {2: {"a": ["coats"]}, 3: {"a": ["coats"], "b": ["hats"]}}, digest=1)
    assert store.load(workspace) == {"a": ["coats"], "b": ["hats"]}


@pytest.mark.parametrize("end", [{}, {9: {"a": ["coats"], "c": ["hats"]}}])
def test_a_kill_anywhere_forgets_nobody_who_is_to_be_taken_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: dict[int, Titles]
) -> None:
    """Every rename and every removal of a run after a deletion is where the power goes, in turn."""
    loaded, before = Store(), {2: {"a": ["coats"]}, 3: {"a": ["coats"], "b": ["secret"]}}
    run(workspace, before | {5: {"a": ["secret"]}, 6: {"d": ["secret"]}, 7: {"a": ["coats"], "d": ["secret"]}})
    loaded.load(workspace)
    after = {2: {"a": ["coats"]}, 3: {"a": ["coats"]}} | end
    online = {"a": ["coats"]} | ({"c": ["hats"]} if end else {})
    nth, ended = 0, False
    while not ended:
        killed = Workspace.at(tmp_path / f"w{nth}")
        shutil.copytree(workspace.root, killed.root)
        with monkeypatch.context() as patched:
            left = iter(range(nth))
            for name in ("replace", "unlink"):
                patched.setattr(Path, name, _mortal(getattr(Path, name), left))
            try:
                run(killed, after, digest=1)
                ended = True
            except Killed:
                nth += 1
        run(killed, after, digest=1)
        store = Store()
        store.rows = dict(loaded.rows)
        assert store.load(killed) == online, f"after a kill at step {nth}"
        assert "secret" not in str(rows(killed)) + states(killed), f"after a kill at step {nth}"
    assert nth > 10


def _mortal(work: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    def killed(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return work(*arguments, **named)

    return killed


_titles = st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from("xyz"), max_size=1), max_size=3)
_history = st.dictionaries(st.integers(2, 9), _titles, max_size=4)


@given(
    st.lists(st.tuples(_history, st.sampled_from([1, 1, 2, 3]), st.one_of(st.none(), st.integers(2, 9))), max_size=4)
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_came_and_went_store_and_history_say_what_one_run_says(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[dict[int, Titles], int, int | None]]
) -> None:
    """Another log, cadence or day that is looked from, time and again, and each time the store is loaded."""
    root, store = tmp_path_factory.mktemp("histories"), Store()
    workspace, fresh = (Workspace.at(root / name) for name in ("w", "f"))
    workspace.create(Catalogue("native", "inline"))
    for by_day, cadence, as_of in runs:
        cadenced = SnapshotSettings(cadence_days=cadence, as_of=day(as_of) if as_of else None)
        log = {on: titles for on, titles in by_day.items() if (day(on) - EPOCH).days % cadence == 0}
        shutil.rmtree(fresh.root, ignore_errors=True)
        fresh.create(Catalogue("native", "inline"))
        for one in (workspace, fresh):
            run(one, log, cadenced)
        loaded = store.load(workspace)
        assert as_of or loaded == Store().load(fresh)
        for on in range(2, (as_of or 10) + 1):
            assert standing(workspace, on) == standing(fresh, on)


def standing(workspace: Workspace, on: int) -> dict[str, list[str]]:
    """What a reader finds who looks from that day."""
    known = parts.scan(workspace.folder(PIN_BOARDS)).filter(pl.col("event_timestamp") <= day(on))
    newest = parts.newest(known, PIN_BOARDS).filter(pl.col("reason").is_null()).collect()
    return dict(newest.select("pin_id", "board_titles").iter_rows())


def test_an_empty_log_writes_nothing(workspace: Workspace) -> None:
    assert run(workspace, {}) == (0, 0)
    assert [part.name for part in workspace.folder(PIN_BOARDS).iterdir()] == ["part-0-schema.parquet"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"cadence_days": 0}, "--cadence-days of at least 1"),
        ({"delay": timedelta(hours=-1)}, "a delay of at least 0"),
        ({"as_of": datetime(2025, 1, 1)}, "--as-of with a time zone"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        SnapshotSettings(**arguments)
