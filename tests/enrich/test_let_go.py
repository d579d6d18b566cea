"""A log in place that lets its beginning go: made snapshots stand, a day keeps what files said that are gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from table_rows import day, write_rows

from enrich import log_days, log_in_place, parts
from enrich.day_folders import DayFolders, Kind
from enrich.erasure import run_erasure
from enrich.history import History
from enrich.log_days import LogDays
from enrich.log_in_place import LogInPlace
from enrich.queries import QuerySettings, run_pin_queries
from enrich.snapshots import SnapshotSettings
from enrich.tables import DELETIONS, PIN_QUERIES, QUERY_FEATURES
from enrich.window_sums import Sum, WindowSums
from enrich.workspace import Catalogue, Workspace

FIRST = day(1).toordinal() - datetime(1970, 1, 1, tzinfo=UTC).toordinal()
Row = dict[str, Any]


def at(on: int, hour: int) -> datetime:
    return day(on) + timedelta(hours=hour)


def click(when: datetime, query: str, pin: str = "p1", user: str = "u1") -> Row:
    return {"query": query, "pin_id": pin, "event": "click", "user_hash": user, "event_timestamp": when}


def write(path: Path, *rows: Row) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(path.with_suffix(".aside"))
    path.with_suffix(".aside").replace(path)


def hive(log: Path, on: int, name: str = "part") -> Path:
    return log / f"day={day(on):%Y-%m-%d}" / f"{name}.parquet"


def flat(log: Path, on: int, name: str = "part") -> Path:
    return log / f"{on}-{name}.parquet"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def workspace(tmp_path: Path, log: Path) -> Workspace:
    made = Workspace.at(tmp_path / "w")
    made.create(Catalogue("native", "inline"))
    log_in_place.save(made.root, LogInPlace(str(log)))
    return made


def run(workspace: Workspace, window: int = 10) -> int:
    """How many rows of the log were read."""
    days = History(workspace).days()
    cadence = SnapshotSettings(cadence_days=1)
    run_pin_queries(workspace, days, QuerySettings(min_users=1, window=timedelta(days=window), snapshots=cadence))
    return days.read


def says(workspace: Workspace, on: int, pin: str = "p1") -> list[str]:
    """The pin's queries as of the snapshot at the start of day `on`."""
    rows = parts.scan(workspace.folder(PIN_QUERIES)).filter(
        (pl.col("pin_id") == pin) & (pl.col("event_timestamp") <= day(on))
    )
    newest = rows.sort("event_timestamp").select("engaged_queries").collect()["engaged_queries"]
    return sorted(newest.to_list()[-1] or []) if len(newest) else []


def made(workspace: Workspace) -> dict[str, int]:
    return {part.name: part.stat().st_ino for part in workspace.folder(PIN_QUERIES).glob("part-snapshot*")}


def pairs(days: LogDays) -> list[tuple[int, str, str, int]]:
    """day, query, pin, n of every day that can be read."""
    table = days.table(Kind.PAIRS, days.between(None, day(30))).to_polars()
    found = table.with_columns(pl.col("day") - FIRST + 1).select("day", "query", "pin_id", "n")
    return sorted(found.rows())


LATE = datetime(2025, 1, 1, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("place", "late"),
    [(hive, lambda log: hive(log, 4)), (hive, lambda log: hive(log, 1, "late")), (flat, lambda log: flat(log, 4))],
    ids=["in another partition", "in its own partition", "in another file of one folder"],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in a later run"])
def test_a_late_row_adds_to_its_day_that_left_the_log(
    workspace: Workspace,
    log: Path,
    place: Callable[[Path, int], Path],
    late: Callable[[Path], Path],
    at_once: bool,
) -> None:
    write(place(log, 1), click(at(1, 9), "e1"), click(at(1, 10), "e1", user="u2"), click(at(1, 11), "e1", "p2"))
    for on in (2, 3):
        write(place(log, on), click(day(on), "x", "p2"))
    run(workspace)
    shutil.rmtree(place(log, 1).parent) if place is hive else place(log, 1).unlink()
    if not at_once:
        run(workspace)
    write(late(log), click(LATE, "e1", user="u3"), *([] if "late" in late(log).name else [click(day(4), "x", "p2")]))
    run(workspace)
    found = pairs(History(workspace).days())
    assert [row for row in found if row[0] == 1] == [(1, "e1", "p1", 3), (1, "e1", "p2", 1)]
    assert [says(workspace, on) for on in (2, 3, 4)] == [["e1"]] * 3
    assert run(workspace) == 0


def test_a_row_of_another_age_leaves_what_was_let_go(workspace: Workspace, log: Path) -> None:
    for on in (1, 2, 3):
        write(hive(log, on), click(day(on), f"e{on}"), click(day(on), f"f{on}"))
    run(workspace)
    shutil.rmtree(hive(log, 1).parent)
    nothing, ancient = datetime(1970, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC)
    write(hive(log, 4), click(day(4), "e4"), click(ancient, "old"), click(nothing, "never"))
    run(workspace)
    shutil.rmtree(hive(log, 2).parent)
    run(workspace)
    assert says(workspace, 2) == ["e1", "f1"]
    assert says(workspace, 5) == ["e1", "e2", "e3", "e4", "f1", "f2", "f3"]
    tally = log_days.tally(workspace.root)
    assert tally and dict(+tally.dropped) == {"impossible-event_timestamp": 1}


def local(log: Path, on: int, place: Callable[[Path, int], Path]) -> None:
    """A partition of a local day: ten o'clock, and two o'clock of the next UTC day."""
    write(place(log, on), click(at(on, 10), f"e{on}"), click(at(on + 1, 2), f"n{on}"))


@pytest.mark.parametrize("place", [hive, flat])
def test_partitions_need_not_be_utc_days(workspace: Workspace, log: Path, place: Callable[[Path, int], Path]) -> None:
    for on in (1, 2, 3):
        local(log, on, place)
    run(workspace)
    stood = made(workspace)
    for gone in (1, 2):  # a step of retention each
        place(log, gone).unlink()
        assert run(workspace) == 0 and made(workspace) == stood
    local(log, 4, place)
    assert run(workspace) == 2 + 4, "the new file once for its days, it and the one that ends in day 4 to count them"
    assert stood.items() - made(workspace).items() <= {("part-snapshot-20250105T000000Z.parquet", made_of)
                                                       for made_of in stood.values()}  # fmt: skip
    assert says(workspace, 6) == sorted(f"{letter}{on}" for letter in "en" for on in (1, 2, 3, 4))


def test_hours_go_one_by_one(workspace: Workspace, log: Path) -> None:
    for on in (1, 2):
        for hour in (0, 8, 16):
            write(log / f"{on}-{hour}.parquet", click(at(on, hour), f"e{on}-{hour}"))
    run(workspace)
    stood = made(workspace)
    for on, hour in ((1, 0), (1, 8), (1, 16), (2, 0)):
        (log / f"{on}-{hour}.parquet").unlink()
        assert run(workspace) == 0 and made(workspace) == stood
    write(log / "3-0.parquet", click(day(3), "e3"), click(at(2, 23), "late"))
    run(workspace)
    assert says(workspace, 4) == ["e1-0", "e1-16", "e1-8", "e2-0", "e2-16", "e2-8", "e3", "late"]


@pytest.mark.parametrize("place", [hive, flat])
def test_what_is_written_anew_or_taken_out_is_not_let_go(
    workspace: Workspace, log: Path, place: Callable[[Path, int, str], Path]
) -> None:
    """The first day under another name (Spark names each file anew), a day amid others, all days in one file."""
    for on in (1, 2, 3, 4):
        write(place(log, on, "a"), click(day(on), f"e{on}"), click(day(on), "wrong"))
    run(workspace)
    place(log, 1, "a").unlink()
    write(place(log, 1, "b"), click(day(1), "e1"), click(day(1), "right"))
    place(log, 3, "a").unlink()
    run(workspace)
    assert pairs(History(workspace).days()) == [
        (1, "e1", "p1", 1), (1, "right", "p1", 1), (2, "e2", "p1", 1), (2, "wrong", "p1", 1), (4, "e4", "p1", 1),
        (4, "wrong", "p1", 1),
    ]  # fmt: skip
    shutil.rmtree(log)
    write(log / "all.parquet", *(click(day(on), f"e{on}") for on in (1, 2, 4)))
    run(workspace)
    assert pairs(History(workspace).days()) == [(on, f"e{on}", "p1", 1) for on in (1, 2, 4)]


def test_a_day_that_is_restored_is_what_it_was(workspace: Workspace, log: Path) -> None:
    for on in (1, 2):
        write(hive(log, on), click(day(on), f"e{on}"))
    run(workspace)
    whole, stood = pairs(History(workspace).days()), made(workspace)
    for name in ("part", "another"):
        shutil.rmtree(hive(log, 1).parent)
        run(workspace)
        write(hive(log, 1, name), click(day(1), "e1"))
        run(workspace)
        assert pairs(History(workspace).days()) == whole and made(workspace) == stood


def test_a_row_of_a_day_that_is_forgotten_is_left_out_and_counted(workspace: Workspace, log: Path) -> None:
    """What the day said is in made snapshots alone, and one row of it would be made of them else."""
    for on in range(1, 6):
        write(hive(log, on), click(day(on), f"e{on}"))
    run(workspace, window=1)
    shutil.rmtree(hive(log, 1).parent)
    run(workspace, window=1)
    stood = made(workspace)
    write(hive(log, 5, "late"), click(LATE, "late"))
    assert run(workspace, window=1) == 1 and made(workspace) == stood
    tally = log_days.tally(workspace.root)
    assert tally and (tally.kept, dict(+tally.dropped)) == (4, {"forgotten-day": 1})
    write(hive(log, 2, "late"), click(day(2), "late"))  # a day that is there: its snapshots are made again, no other
    run(workspace, window=1)
    assert says(workspace, 2) == ["e1"] and says(workspace, 3) == ["e2", "late"] and says(workspace, 4) == ["e3"]


def test_deletions_take_their_rows_out_of_days_that_left_the_log(workspace: Workspace, log: Path) -> None:
    """The pin's; of a user all that was asked in the user's words on that day: nobody knows whose clicks they were."""
    write(hive(log, 1), click(day(1), "e1"), click(day(1), "x1", "p2"), click(day(1), "mine", user="u2"))
    write(hive(log, 2), click(day(2), "e2"), click(day(2), "mine"))
    write(hive(log, 3), click(day(3), "e3"))
    run(workspace)
    shutil.rmtree(hive(log, 1).parent)
    for kind, id in (("pin", "p2"), ("user", "U2")):
        write_rows(workspace, DELETIONS, {"kind": kind, "id": id, "deleted_at": day(9)})
        run_erasure(workspace)
        run(workspace)
    held = [str(pl.read_parquet(file).to_dicts()) for file in (workspace.root / "log_days").rglob("*.parquet")
            if file.name != "gone.parquet"]  # fmt: skip
    assert held and not any("p2" in text or "u2" in text for text in held)
    assert says(workspace, 2) == ["e1"], "nobody else had asked it"
    write(hive(log, 4), click(day(4), "e4"))
    run(workspace)
    assert says(workspace, 5) == ["e1", "e2", "e3", "e4", "mine"]
    parts.replace(workspace.folder(DELETIONS), DELETIONS, DELETIONS.schema.empty_table())
    run(workspace)
    assert says(workspace, 5) == ["e1", "e2", "e3", "e4", "mine"], "deleted no more: the others' days are still there"


def test_a_query_whose_days_left_the_log_stays_where_another_user_is_deleted(workspace: Workspace, log: Path) -> None:
    """Who asked in a day that went is known as long as the day is kept."""
    write(hive(log, 1), click(day(1), "e1"), click(day(1), "mine", user="u2"), click(day(1), "call 0171 2345678"))
    write(hive(log, 2), click(day(2), "e2"))
    run(workspace)
    shutil.rmtree(hive(log, 1).parent)
    queries = ("e1", "e2", "mine", "nobody's", "call 0171 2345678")
    write_rows(workspace, QUERY_FEATURES, *({"query": query, "event_timestamp": day(3)} for query in queries))
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "u2", "deleted_at": day(9)})
    run_erasure(workspace)
    assert sorted(parts.scan(workspace.folder(QUERY_FEATURES)).collect()["query"]) == ["e1", "e2"]


class Killed(Exception):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """The power goes at the nth call that changes a name on the disk."""
    counted = iter(range(100_000))

    def killing(call: Callable[..., Any]) -> Callable[..., Any]:
        def killed(*arguments: Any, **named: Any) -> Any:
            if next(counted) >= nth:
                raise Killed  # nothing that would clean up does, either
            return call(*arguments, **named)

        return killed

    for name in ("replace", "rename", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, killing(getattr(os, name)))


@pytest.mark.parametrize("amid", ["the erasure", "what follows"])
def test_a_kill_loses_no_day(
    workspace: Workspace, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, amid: str
) -> None:
    """Neither of those that left the log nor of those that are there, wherever the power goes."""
    for on in (1, 2):
        write(hive(log, on), click(day(on), "q1"), click(day(on), "x", "p2"))
    WindowSums(days := History(workspace).days()).save()
    shutil.rmtree(hive(log, 1).parent)
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "p2", "deleted_at": day(9)})
    gone = History(workspace).gone()
    nth, ended = 0, False
    while not ended:
        copy = Workspace.at(tmp_path / f"w{nth}")
        shutil.copytree(workspace.root, copy.root)
        erased, history = DayFolders(copy.root / "log_days"), History(copy)
        with monkeypatch.context() as patched:
            try:
                if amid == "the erasure":
                    kill_at(patched, nth)
                erased.forget(days.backend, gone)
                if amid == "what follows":
                    kill_at(patched, nth)
                    found = history.days()
                    found.prune(found.past)
                ended = True
            except Killed:
                nth += 1 if amid == "the erasure" else 4  # many of them are of files that nobody reads
        assert pairs(History(copy).days()) == [(on, "q1", "p1", 1) for on in (1, 2)], f"after a kill at {nth}"
    assert nth > 3


def test_status_counts_what_the_log_has_now(workspace: Workspace, log: Path) -> None:
    for on in (1, 2, 3):
        local(log, on, hive)
    write(hive(log, 3, "again"), click(at(4, 2), "n3"))
    run(workspace)
    shutil.rmtree(hive(log, 1).parent)
    run(workspace)
    tally = log_days.tally(workspace.root)
    assert tally and (tally.kept, dict(tally.dropped)) == (4, {"duplicate": 1})


def test_an_index_of_an_older_version_is_read(workspace: Workspace, log: Path) -> None:
    for on in (1, 2, 3):
        write(hive(log, on), click(day(on), f"e{on}"))
    run(workspace)
    index = workspace.root / "log_days" / "files.parquet"
    shutil.rmtree(hive(log, 1).parent)
    pl.read_parquet(index).drop("past", strict=False).write_parquet(index)
    stood = made(workspace)
    assert run(workspace) == 0 and made(workspace) == stood


def test_the_first_of_all_days_is_remembered_past_a_late_row(workspace: Workspace, log: Path) -> None:
    """A least needs no day that is forgotten, and another row of one that is not only adds to it."""
    first = Sum("first", Kind.PAIRS, lambda rows: rows.group_by("pin_id").agg(n=rows.day.min()), earliest=True)

    def least() -> list[tuple[str, int]]:
        sums = WindowSums(days := History(workspace).days())
        found = sums.of(first, None, day(20)).to_polars()
        days.prune(day for day in days.past if day.number > FIRST)  # the first day is forgotten
        sums.save() if not days.past else None
        return sorted((pin, n - FIRST + 1) for pin, n in found.select("pin_id", "n").iter_rows())

    for on, pin in ((1, "p1"), (2, "p2"), (3, "p3")):
        write(hive(log, on), click(day(on), "x", pin), click(day(on), "y", pin))
    assert least() == [("p1", 1), ("p2", 2), ("p3", 3)]
    for on in (1, 2):
        shutil.rmtree(hive(log, on).parent)
    assert least() == [("p1", 1), ("p2", 2), ("p3", 3)]
    write(hive(log, 4), click(at(2, 5), "x", "p3"), click(day(4), "x", "p4"))
    assert least() == [("p1", 1), ("p2", 2), ("p3", 2), ("p4", 4)]
