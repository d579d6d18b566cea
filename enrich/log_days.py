"""The log by UTC day, so that a new day costs a day: what each day says, counted once and kept.

Reads the log through `LogSource`, by the index of its files (`log_index.py`), and deletions; writes its own folder:

    W/log_days/*.parquet                the index
    W/log_days/pairs/DAY-DIGEST/        query, refused, pin_id, event, position, and n: how often in the day
    W/log_days/askers/DAY-DIGEST/       query, refused, user, named, lang, and n
    W/log_days/sums/                    what `window_sums.py` goes on from

A day is counted again only where its rows are others: one that comes late, or is written anew, is one more day. A day's
folder is named by what its rows are, made aside and renamed into place, so that a kill leaves whole days or none.

A query that may not be used (`refused`) is there as a hash, for it is only counted. What else people typed is there, so
the folder is as private as the log: erasure takes out the days of what was deleted.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import parts
from enrich.backends import FILE, Backend
from enrich.errors import CorkboardError
from enrich.log_index import DAY, Day, LogIndex, LogSource, dated, last_dropped, last_found, reading
from enrich.progress import progress
from enrich.snapshots import Change, SnapshotSettings

FOLDER = "log_days"
LEAST = "least.json"  # in a folder of W/log_days/sums: of which days its table is the least (`window_sums.py`)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS_AT_ONCE, _DAYS_AT_ONCE = 20_000_000, 64  # of the log, counted together; each day has a file open then


class Kind(StrEnum):
    """What is counted of a day."""

    PAIRS = "pairs"
    ASKERS = "askers"


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
        index = LogIndex(self.root, source).up_to_date(self.has, partial(forget, self.root, self.backend))
        self._index, self.past, self.days = index.files, index.past, index.days
        self._lost = [day.number for day in self.past if not self.has(day)]
        missing = [day for day in self.days if not self.has(day)]
        self.read = index.read + self._count(missing)

    def between(self, start: datetime | None, end: datetime) -> frozenset[Day]:
        """The days from `start` (None: from the first) until before `end`; both are starts of days."""
        first, last = (-1 if start is None else (start - _EPOCH) // DAY), (end - _EPOCH) // DAY
        days = (*(day for day in self.past if self.has(day)), *self.days)
        return frozenset(day for day in days if first <= day.number < last)

    def lost(self, start: datetime, end: datetime) -> bool:
        """Whether a day of that time left the log and cannot be read any more, so that nothing of it is made again."""
        first, last = (start - _EPOCH) // DAY, (end - _EPOCH) // DAY
        return any(first <= number < last for number in self._lost)

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
        files = [str(file) for day in sorted(days) for file in sorted(self._folder(kind, day).glob("*.parquet"))]
        if files:
            return self.backend.read(files)
        return ibis.memtable(pl.DataFrame(schema=_COUNTED[kind]))

    def has(self, day: Day) -> bool:
        """Whether the day, as it is or was, can be read."""
        return all(self._folder(kind, day).is_dir() for kind in Kind)

    def prune(self, also: Iterable[Day]) -> None:
        """Remove what was counted of days that are no more, but for `also`."""
        stay = {day.name for day in (*self.days, *also)}
        for folder in (found for kind in Kind for found in (self.root / kind).glob("*")):
            if folder.name not in stay:
                shutil.rmtree(folder)

    def _folder(self, kind: Kind, day: Day) -> Path:
        return self.root / kind / day.name

    def _count(self, missing: Sequence[Day]) -> int:
        """Make the folders of these days; the rows of the log that were read for it."""
        for aside in self.root.glob(".aside-*"):
            shutil.rmtree(aside)  # of a run that was killed
        read = 0
        with progress(len(missing), "log", unit="day") as bar:
            for days in _batches(missing):
                read += self._count_together(days)
                bar.update(len(days))
        return read

    def _count_together(self, days: Sequence[Day]) -> int:
        numbers = [day.number for day in days]
        holding = self._index.filter(pl.col("day").is_in(numbers)).select("uri", "layout").unique().sort("uri")
        by_layout = holding.group_by("layout", maintain_order=True).agg("uri")["uri"].to_list()
        tables = [self._source.judged(files).drop(FILE) for files in by_layout]
        judged = tables[0].union(*tables[1:]) if len(tables) > 1 else tables[0]
        rows = dated(judged.filter(judged.dropped.isnull()).drop("dropped"))
        with reading(self.backend):
            log = self._source.keyed(rows.filter(rows.day.isin(numbers)))
        for kind, counted in ((Kind.PAIRS, _pairs(log)), (Kind.ASKERS, _askers(log))):
            self._settle(kind, days, counted)
        self.backend.drop("log")
        read = self._index.join(holding, on="uri", how="semi")["rows"].sum()
        return int(read)

    def _settle(self, kind: Kind, days: Sequence[Day], counted: ir.Table) -> None:
        aside = self.root / f".aside-{kind}"
        self.backend.write(counted.mutate(part=counted.day), aside, by="part")
        (self.root / kind).mkdir(exist_ok=True)
        for day in days:
            made, place = aside / f"part={day.number}", self._folder(kind, day)
            if not made.is_dir():
                raise CorkboardError(
                    f"expected rows of {_EPOCH + day.number * DAY:%Y-%m-%d} in the log, found none any more: it was "
                    "written while it was read; run this again"
                )
            if not place.is_dir():
                made.replace(place)
        shutil.rmtree(aside)


class Tally(NamedTuple):
    """What the days that are counted have of the log: rows that count, and others by reason."""

    kept: int
    dropped: Counter[str]


def tally(root: Path) -> Tally | None:
    """Of the workspace at `root`; None where no day was counted yet."""
    counted = [day for day in last_found(root / FOLDER) if (root / FOLDER / Kind.PAIRS / day.name).is_dir()]
    files = [file for day in counted for file in (root / FOLDER / Kind.PAIRS / day.name).glob("*.parquet")]
    if not files:
        return None
    kept = int(pl.scan_parquet(files).select(pl.col("n").sum()).collect().item())
    dropped = last_dropped(root / FOLDER) + Counter(duplicate=sum(day.rows for day in counted) - kept)
    return Tally(kept, dropped)


def forget(root: Path, backend: Backend, gone: pl.DataFrame) -> None:
    """Remove from W/log_days (`root`) the days in which one of `gone` (kind, id) stands, and all sums of them."""
    doomed, least_goes = set[str](), False
    for kind, of, column in ((Kind.PAIRS, "pin", "pin_id"), (Kind.ASKERS, "user", "user")):
        ids = gone.filter(pl.col("kind") == of).select(pl.col("id").str.to_lowercase() if of == "user" else "id")
        files = sorted(map(str, (root / kind).glob("*/*.parquet")))
        if files and ids.height:
            rows, named = backend.read(files, named=True), ibis.memtable(ids)
            found = rows.semi_join(named, rows[column] == named.id).select(FILE).distinct()
            days = {Path(backend.path_of(file)).parent.name for file in found.to_polars()[FILE]}
            doomed |= days
            least_goes |= of == "user" and bool(days)  # it may be of that user
    for aside in (*root.glob(".aside-*"), *(root / "sums").glob("*/.*")):
        shutil.rmtree(aside)  # of a run that was killed: nobody knows what stands there
    for folder in (root / "sums").glob("*/*"):
        if (folder / LEAST).exists() and not least_goes:
            _take_pins_out(folder, gone)
        elif doomed:
            shutil.rmtree(folder)
    for name in doomed:
        for kind in Kind:
            shutil.rmtree(root / kind / name, ignore_errors=True)


def _take_pins_out(least: Path, gone: pl.DataFrame) -> None:
    """Take deleted pins out of what is the least of all days, of which some are gone; of other pins it stays right."""
    deleted = pl.col("pin_id").is_in(gone.filter(pl.col("kind") == "pin")["id"].implode())
    for file in least.glob("*.parquet"):
        rows = pl.scan_parquet(file)
        if rows.select(deleted.any()).collect().item():
            parts.write_frame(file, rows.filter(~deleted).collect())


def start_of_day(moment: datetime) -> datetime:
    """The start of the UTC day that holds `moment`."""
    return _EPOCH + (moment - _EPOCH) // DAY * DAY


def _pairs(log: ir.Table) -> ir.Table:
    return log.group_by("day", query=_hidden(log), refused=log.refused, pin_id=log.pin_id, event=log.event,
                        position=log.position).agg(n=log.count())  # fmt: skip


def _askers(log: ir.Table) -> ir.Table:
    return log.group_by("day", query=_hidden(log), refused=log.refused, user=log.user,
                        named=log.user_hash.notnull(), lang=log.lang).agg(n=log.count())  # fmt: skip


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
