"""What a moving window of the log's days sums to, carried from one snapshot to the next.

    sums = WindowSums(days)
    sums.of(CELLS, at - window, at)     # a table of the engine: the columns that CELLS sums by, and n

Reads what each day says (`log_days.py`); writes W/log_days/sums/NAME/, the sums of a run's last window and the days
that are in them (`save`). The next window is made of the last one's sums, the days that are new and, with a minus,
those that left it or were written anew since: whole numbers, so that the result is that of the whole window. Where
more rows changed than the window has, or a day that left cannot be read any more, the whole window is summed.

What is kept is the least of all days (`Sum.earliest`) needs no day again that went with the log's first ones: it is
remembered without them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from uuid import uuid4

import ibis.expr.types as ir

from enrich.day_folders import LEAST, Day, Kind
from enrich.log_days import LogDays

DAYS = "days.json"  # beside the sums: of which days they are; LEAST beside a least
T = TypeVar("T")


class Sum(NamedTuple):
    """What is summed, under a name that changes with the rule."""

    name: str
    kind: Kind
    of: Callable[[ir.Table], ir.Table]  # from a kind's rows to those that count: the columns to sum by, and n
    earliest: bool = False  # n is a day, and the least of all is kept instead of a sum


class _State(NamedTuple):
    table: ir.Table | None  # None: of no days
    has: frozenset[Day]
    earliest: bool = False


_NOTHING = _State(None, frozenset())


class WindowSums:
    """Sums over the days of one job's windows."""

    def __init__(self, days: LogDays) -> None:
        self._days = days
        self._folder = days.root / "sums"
        self._states: dict[str, _State] = {}
        self._kept: dict[str, str] = {}  # the engine's name of each state

    def of(self, sum: Sum, start: datetime | None, end: datetime) -> ir.Table:
        """The sums of the days from `start` until before `end`; what an earlier call for `sum` gave is dropped."""
        wanted = self._days.between(start, end)
        state = self._states.get(sum.name) or self._load(sum.name)
        if sum.earliest:
            state = self._of_present_and_past(state, wanted)
            wanted |= state.has
        new, left = wanted - state.has, state.has - wanted
        lost = any(not self._days.has(day) for day in left)
        if not sum.earliest and (lost or _rows(new) + _rows(left) >= _rows(wanted)):
            state, new, left = _NOTHING, wanted, frozenset()
        if new or left or state.table is None:
            state = _State(self._keep(sum, self._added(sum, state, new, left)), wanted, sum.earliest)
        self._states[sum.name] = state
        assert state.table is not None
        return state.table

    def _of_present_and_past(self, state: _State, wanted: frozenset[Day]) -> _State:
        """The part of a least that still holds: all of it, or what is of the days that the log let go, or nothing."""
        past = frozenset(day for day in state.has if self._days.let_go(day))
        if state.has <= wanted | past:
            return state
        until = max((day.number for day in past), default=-1)
        if state.table is None or not past or any(day.number <= until for day in state.has - past):
            return _NOTHING
        return _State(state.table.filter(state.table.n <= until), past, True)

    def save(self) -> None:
        """Keep the sums for the next run, and let go of the days that none of them has any more."""
        for name, state in self._states.items():
            if state.table is not None and _read_days(self._saved(name)) != state.has:
                self._write(name, state)
        saved = [folder for sum in self._folder.glob("*") if (folder := self._saved(sum.name))]
        saved = [folder for folder in saved if not (folder / LEAST).exists()]  # a least needs no day again
        self._days.prune(day for folder in saved for day in _read_days(folder))

    def _added(self, sum: Sum, state: _State, new: frozenset[Day], left: frozenset[Day]) -> ir.Table:
        pieces = [] if state.table is None else [state.table]
        if new or not pieces:
            pieces.append(sum.of(self._days.table(sum.kind, new)))
        if left:
            gone = sum.of(self._days.table(sum.kind, left))
            pieces.append(gone.mutate(n=-gone.n))
        columns = [name for name in pieces[0].columns if name != "n"]
        first, *others = (piece.select(*columns, piece.n.cast("int64")) for piece in pieces)
        every = first.union(*others) if others else first
        if sum.earliest:
            return every.group_by(columns).agg(n=every.n.min())
        summed = every.group_by(columns).agg(n=every.n.sum().cast("int64"))
        return summed.filter(summed.n != 0)

    def _keep(self, sum: Sum, table: ir.Table) -> ir.Table:
        name = f"{sum.name.replace('/', '_').replace('-', '_')}_{uuid4().hex[:8]}"
        kept = self._days.backend.keep(name, table)
        if sum.name in self._kept:
            self._days.backend.drop(self._kept[sum.name])
        self._kept[sum.name] = name
        return kept

    def _saved(self, name: str) -> Path | None:
        """Where the sums of the last run are; of several whole ones, which a kill leaves, any."""
        return next(filter(_is_whole, (self._folder / name).glob("[!.]*")), None)

    def _load(self, name: str) -> _State:
        folder = self._saved(name)
        if folder is None:
            return _NOTHING
        files = sorted(map(str, folder.glob("*.parquet")))
        return _State(self._days.backend.read(files), _read_days(folder), (folder / LEAST).exists())

    def _write(self, name: str, state: _State) -> None:
        assert state.table is not None
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        stale = list(folder.iterdir())
        aside, place = folder / f".{uuid4().hex}", folder / uuid4().hex
        self._days.backend.write(state.table, aside)
        (aside / (LEAST if state.earliest else DAYS)).write_text(json.dumps(sorted(state.has)))
        aside.replace(place)
        for other in stale:  # out of sight first: a kill in between leaves nothing that looks like sums
            shutil.rmtree(other if other.name.startswith(".") else other.replace(folder / f".{uuid4().hex}"))


class Remembered(Generic[T]):
    """The last result that was made of some sums, for as long as these are the same: quiet days cost nothing."""

    def __init__(self) -> None:
        self._of: tuple[ir.Table, ...] = ()
        self._result: T | None = None

    def of(self, sums: Iterable[ir.Table], compute: Callable[[], T]) -> T:
        """The last result where it was made of these very tables, else what `compute` makes now."""
        now = tuple(sums)
        same = len(now) == len(self._of) and all(one is other for one, other in zip(now, self._of, strict=True))
        if self._result is None or not same:
            self._of, self._result = now, compute()
        return self._result


def _rows(days: frozenset[Day]) -> int:
    return sum(day.rows for day in days)


def _is_whole(folder: Path) -> bool:
    """Whether nothing of it was removed: a kill may have left some of its files."""
    says_days = (folder / DAYS).exists() or (folder / LEAST).exists()
    return says_days and any(folder.glob("*.parquet"))


def _read_days(folder: Path | None) -> frozenset[Day]:
    if folder is None:
        return frozenset()
    path = folder / LEAST if (folder / LEAST).exists() else folder / DAYS
    return frozenset(Day(*day) for day in json.loads(path.read_text()))
