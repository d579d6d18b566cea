"""The log by UTC day, so that a new day costs a day: what each day says, counted once and kept.

Reads the log through `LogSource`, by the index of its files (`log_index.py`), and deletions; writes its own folder:

    W/log_days/*.parquet                the index
    W/log_days/pairs/DAY-DIGEST/        query, refused, pin_id, event, position, and n: how often in the day
    W/log_days/askers/DAY-DIGEST/       query, refused, user, named, lang, and n
    W/log_days/sums/                    what `window_sums.py` goes on from

A day of which files were let go (`let_go.py`) is what it was and what its other files say.

A day is counted again only where its rows are others: one that comes late, or is written anew, is one more day. A day's
folder is named by what its rows are, made aside and renamed into place, so that a kill leaves whole days or none.

A query that may not be used (`refused`) is there as a hash, for it is only counted. What else people typed is there, so
the folder is as private as the log: erasure takes out what was deleted (`day_folders.py`).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich.backends import FILE, Backend
from enrich.day_folders import ASIDE, ERASED, Day, DayFolders, Kind, days_of
from enrich.errors import CorkboardError
from enrich.let_go import Grown
from enrich.log_index import DAY, LogIndex, LogSource, dated, last_dropped, last_index, reading
from enrich.progress import progress
from enrich.snapshots import Change, SnapshotSettings

FOLDER = "log_days"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS_AT_ONCE, _DAYS_AT_ONCE = 20_000_000, 64  # of the log, counted together; each day has a file open then


_COUNTED = {
    Kind.PAIRS: pl.Schema(
        {"day": pl.Int64, "query": pl.String, "refused": pl.String, "pin_id": pl.String, "event": pl.String,
         "position": pl.Int64, "n": pl.Int64}
    ),
    Kind.ASKERS: pl.Schema(
        {"day": pl.Int64, "query": pl.String, "refused": pl.String, "user": pl.String, "named": pl.Boolean,
         "lang": pl.String, "n": pl.Int64}
    ),
}  # fmt: skip


class LogDays:
    """The log's `days`, all of them counted; those it once had before (`past`); `read`: rows read to know them."""

    def __init__(self, root: Path, source: LogSource) -> None:
        self.root = root / FOLDER
        self.backend = source.backend
        self._source = source
        self.root.mkdir(exist_ok=True)
        self._folders = DayFolders(self.root)
        index = LogIndex(self.root, source).up_to_date(self)
        self.past, self.days, self._let_go = index.past, index.days, index.let_go
        self._lost = [day.number for day in self.past if not self.has(day)]
        missing = [day for day in self.days if day.number not in self._let_go and not self.whole(day)]
        self.read = index.read + self._count(index.files, missing)

    def between(self, start: datetime | None, end: datetime) -> frozenset[Day]:
        """The days from `start` (None: from the first) until before `end`; both are starts of days."""
        first, last = (-1 if start is None else (start - _EPOCH) // DAY), (end - _EPOCH) // DAY
        days = (*(day for day in self.past if self.has(day)), *self.days)
        return frozenset(day for day in days if first <= day.number < last)

    def lost(self, start: datetime, end: datetime) -> bool:
        """Whether a day of that time left the log and cannot be read any more, so that nothing of it is made again."""
        first, last = (start - _EPOCH) // DAY, (end - _EPOCH) // DAY
        return any(first <= number < last for number in self._lost)

    def let_go(self, day: Day) -> bool:
        """Whether files of that day left the log: what was said of it stays, and can only grow."""
        return day.number in self._let_go

    def changes(self, settings: SnapshotSettings) -> list[Change]:
        """How many rows each period of the cadence has, or had, and a digest of them."""
        periods: dict[int, Change] = {}
        for day in (*self.past, *self.days):
            number = day.number // settings.cadence_days
            was = periods.get(number, Change(number, 0, 0))
            periods[number] = Change(number, was.rows + day.rows, was.digest + day.digest)
        return list(periods.values())

    def table(self, kind: Kind, days: Iterable[Day]) -> ir.Table:
        """The rows of `kind` of those days."""
        folders = [self._folders.of(kind, day) for day in sorted(days)]
        return self._read(kind, [str(file) for folder in folders for file in sorted(folder.glob("*.parquet"))])

    def _read(self, kind: Kind, files: Sequence[str]) -> ir.Table:
        return self.backend.read(files) if files else ibis.memtable(pl.DataFrame(schema=_COUNTED[kind]))

    def has(self, day: Day) -> bool:
        """Whether the day, as it is or was, can be read."""
        return self._folders.has(day)

    def whole(self, day: Day) -> bool:
        """Whether it can, and nothing was taken out of it."""
        return self._folders.whole(day)

    def forget(self, gone: pl.DataFrame) -> None:
        """Take what was deleted (kind, id) out of the days."""
        self._folders.forget(self.backend, gone)

    def prune(self, also: Iterable[Day]) -> None:
        """Remove what was counted of days that are no more, but for `also`."""
        self._folders.keep({day.name for day in (*self.days, *also)})

    def _count(self, files: pl.DataFrame, missing: Sequence[Day]) -> int:
        """Make the folders of these days; the rows of the log that were read for it."""
        self._folders.sweep()
        read = 0
        with progress(len(missing), "log", unit="day") as bar:
            for days in _batches(missing):
                holding = _holding(files, days)
                log = self._log(holding, days)
                for kind in Kind:
                    self._settle(kind, days, _RULES[kind](log))
                self.backend.drop("log")
                read += int(holding["rows"].sum())
                bar.update(len(days))
        return read

    def grow(self, files: pl.DataFrame, grown: Sequence[Grown]) -> int:
        """Make these days of what they were and of `files`; how many rows of the log were read for it."""
        self._folders.sweep()
        read, together = 0, dict[tuple[str, ...], list[Grown]]()
        for one in grown:
            if not self.whole(one.now):
                together.setdefault(one.seen, []).append(one)
        for seen, some in together.items():
            for days in _batches([one.now for one in some]):
                read += self._grow_together(files, seen, [one for one in some if one.now in days])
        return read

    def _grow_together(self, files: pl.DataFrame, seen: tuple[str, ...], some: Sequence[Grown]) -> int:
        """Of each cell: what it was, less what the `seen` files say (never below nothing), and what all files say."""
        days, was = [one.now for one in some], [one.was for one in some]
        holding = _holding(files, days)
        old = holding.filter(pl.col("uri").is_in(seen))
        self._write_aside("seen", old, days)
        self._write_aside("now", holding, days)
        for kind in Kind:
            seen_rows, now_rows = (self._read_aside(name, kind) for name in ("seen", "now"))
            left = _summed(kind, self.table(kind, was), seen_rows.mutate(n=-seen_rows.n))
            grown = self.backend.keep("grown", _summed(kind, left.filter(left.n > 0), now_rows))  # as whole numbers
            self._settle(kind, days, grown, empty=True)
            self.backend.drop("grown")
        self._folders.sweep()
        return int(holding["rows"].sum()) + int(old["rows"].sum())

    def _write_aside(self, name: str, holding: pl.DataFrame, days: Sequence[Day]) -> None:
        if not holding.is_empty():
            log = self._log(holding, days)
            for kind in Kind:
                self.backend.write(_RULES[kind](log), self.root / f"{ASIDE}{name}-{kind}")
            self.backend.drop("log")

    def _read_aside(self, name: str, kind: Kind) -> ir.Table:
        return self._read(kind, sorted(map(str, (self.root / f"{ASIDE}{name}-{kind}").glob("*.parquet"))))

    def _log(self, holding: pl.DataFrame, days: Sequence[Day]) -> ir.Table:
        """The rows of those days, as the table "log" of the engine."""
        by_layout = holding.group_by("layout", maintain_order=True).agg("uri")["uri"].to_list()
        tables = [self._source.judged(files).drop(FILE) for files in by_layout]
        judged = tables[0].union(*tables[1:]) if len(tables) > 1 else tables[0]
        rows = dated(judged.filter(judged.dropped.isnull()).drop("dropped"))
        with reading(self.backend):
            return self._source.keyed(rows.filter(rows.day.isin([day.number for day in days])))

    def _settle(self, kind: Kind, days: Sequence[Day], counted: ir.Table, empty: bool = False) -> None:
        """Make `counted` the folders of those days, of which some may be `empty`: all that was in them was deleted."""
        aside = self.root / f"{ASIDE}{kind}"
        self.backend.write(counted.mutate(part=counted.day), aside, by="part")
        (self.root / kind).mkdir(exist_ok=True)
        for day in days:
            made, place = aside / f"part={day.number}", self._folders.of(kind, day)
            if empty:
                made.mkdir(exist_ok=True)
            if not made.is_dir():
                raise CorkboardError(
                    f"expected rows of {_EPOCH + day.number * DAY:%Y-%m-%d} in the log, found none any more: it was "
                    "written while it was read; run this again"
                )
            if (place / ERASED).exists():
                self._folders.remove(place)
            if not place.is_dir():
                made.replace(place)
        shutil.rmtree(aside)


class Tally(NamedTuple):
    """What the days that are counted have of the log: rows that count, and others by reason."""

    kept: int
    dropped: Counter[str]


def tally(root: Path) -> Tally | None:
    """Of the workspace at `root`, files that left the log aside; None where no day was counted yet."""
    index, folders = last_index(root / FOLDER), DayFolders(root / FOLDER)
    counted = [day for day in days_of(index) if folders.of(Kind.PAIRS, day).is_dir()]
    there = index.filter(~pl.col("past") & pl.col("day").is_in([day.number for day in counted]))
    if there.is_empty():
        return None
    mixed, own = set(index.filter("past")["day"]), set(there["day"])
    whole = [day for day in counted if day.number in own - mixed]
    files = [file for day in whole for file in folders.of(Kind.PAIRS, day).glob("*.parquet")]
    once = int(pl.scan_parquet(files).select(pl.col("n").sum()).collect().item()) if files else 0
    kept = once + int(there.filter(pl.col("day").is_in(mixed))["rows"].sum())
    dropped = last_dropped(root / FOLDER) + Counter(duplicate=sum(day.rows for day in whole) - once)
    return Tally(kept, dropped)


def forget(root: Path, backend: Backend, gone: pl.DataFrame) -> None:
    """Take `gone` (kind, id) out of what the workspace at `root` has of days."""
    DayFolders(root / FOLDER).forget(backend, gone)


def asked(root: Path) -> pl.Series:
    """The queries that somebody asked on the days that the workspace at `root` has; not those that may not be used."""
    files = sorted((root / FOLDER / Kind.ASKERS).glob("*/*.parquet"))
    if not files:
        return pl.Series("query", [], pl.String)
    return pl.scan_parquet(files).filter(pl.col("refused").is_null()).select("query").unique().collect()["query"]


def start_of_day(moment: datetime) -> datetime:
    """The start of the UTC day that holds `moment`."""
    return _EPOCH + (moment - _EPOCH) // DAY * DAY


def _pairs(log: ir.Table) -> ir.Table:
    return log.group_by("day", query=_hidden(log), refused=log.refused, pin_id=log.pin_id, event=log.event,
                        position=log.position).agg(n=log.count())  # fmt: skip


def _askers(log: ir.Table) -> ir.Table:
    return log.group_by("day", query=_hidden(log), refused=log.refused, user=log.user,
                        named=log.user_hash.notnull(), lang=log.lang).agg(n=log.count())  # fmt: skip


_RULES = {Kind.PAIRS: _pairs, Kind.ASKERS: _askers}


def _summed(kind: Kind, *some: ir.Table) -> ir.Table:
    """The rows of all, each once, with the sum of its n."""
    columns = [name for name in _COUNTED[kind].names() if name != "n"]
    first, *others = (table.select(*columns, table.n.cast("int64")) for table in some)
    every = first.union(*others)
    return every.group_by(columns).agg(n=every.n.sum().cast("int64"))


def _holding(files: pl.DataFrame, days: Sequence[Day]) -> pl.DataFrame:
    """uri, layout and rows (all of them) of the files that have rows of those days."""
    some = files.filter(pl.col("day").is_in([day.number for day in days]))
    named = files.join(some, on="uri", how="semi").group_by("uri", "layout").agg(pl.col("rows").sum())
    return named.sort("uri")


def _hidden(log: ir.Table) -> ir.StringValue:
    """The query's key; of one that may not be used a hash."""
    return log.refused.isnull().ifelse(log["query"], log["query"].hexdigest("md5"))


def _batches(days: Sequence[Day]) -> Iterator[list[Day]]:
    batch: list[Day] = []
    for day in days:
        if batch and (len(batch) == _DAYS_AT_ONCE or sum(d.rows for d in batch) + day.rows > _ROWS_AT_ONCE):
            yield batch
            batch = []
        batch.append(day)
    if batch:
        yield batch
