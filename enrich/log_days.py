"""The log by UTC day, so that a new day costs a day: what each day says, counted once and kept.

Reads the log through `LogSource` and its files' names (`log_files.py`), deletions, and its own folder; writes it:

    W/log_days/files.parquet            which days each file of the log holds, how many rows, and a digest of them
    W/log_days/dropped.parquet          how many rows of each file may not be used, by reason
    W/log_days/gone.parquet             the deleted pins and users of whom those rows are free
    W/log_days/pairs/DAY-DIGEST/        query, refused, pin_id, event, position, and n: how often in the day
    W/log_days/askers/DAY-DIGEST/       query, refused, user, named, lang, and n
    W/log_days/sums/                    what `window_sums.py` goes on from

A file is read again only where it was written since (its identity is another), a day is counted again only where its
rows are others: a day that comes late, or is written anew, is one more day. A pin or user newly deleted costs the days
in which it stands; one that is deleted no more costs the whole log. A log that lets its first days go makes no snapshot
stale: their digests stay (`LogDays.past`), until a user is deleted, who might have been in them. A day's folder is
named by what its rows are, made aside and renamed into place, so that a kill leaves whole days or none.

A query that may not be used (`refused`) is there as a hash, for it is only counted. What else people typed is there, so
the folder is as private as the log: erasure takes out the days of what was deleted.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import log_files, mostly_bad, parts
from enrich.backends import FILE, Backend
from enrich.errors import CorkboardError
from enrich.log_files import LogFile
from enrich.log_rows import misread
from enrich.progress import progress
from enrich.snapshots import Change, SnapshotSettings
from enrich.tables import ENGAGEMENTS

FOLDER = "log_days"
_RULE = "log-days/2"  # what may not be used is a rule too: with another one every day is another
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS_AT_ONCE, _DAYS_AT_ONCE = 20_000_000, 64  # of the log, counted together; each day has a file open then
_TELLING = ("query", "pin_id", "event", "position", "user_hash", "country", "lang")  # a change of these changes the day
_FILES = pl.Schema(
    {"uri": pl.String, "identity": pl.String, "layout": pl.String, "day": pl.Int64, "rows": pl.Int64,
     "digest": pl.Int64, "basis": pl.String}
)  # fmt: skip
_DROPPED = pl.Schema({"uri": pl.String, "reason": pl.String, "rows": pl.Int64})
_FEWEST_BAD = 100  # rows of a file that say that it is mostly bad; a day of fewer is only counted
_GONE = pl.Schema({"kind": pl.String, "id": pl.String})


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


class Day(NamedTuple):
    """One day's rows, as they are now."""

    number: int  # days since 1970, UTC
    rows: int  # of the log
    digest: int  # of them, whatever their order and their files

    @property
    def name(self) -> str:
        return f"{self.number}-{self.rows:x}-{self.digest:x}"


class LogSource(Protocol):
    """The log's rows, without those of what was deleted."""

    @property
    def backend(self) -> Backend: ...

    @property
    def files(self) -> list[LogFile]:
        """In which the log lies now."""

    @property
    def basis(self) -> str:
        """The rules by which rows are read; what was read by others is read again."""

    def judged(self, files: Sequence[str]) -> ir.Table:
        """The rows of some files of one layout, with `FILE`, and `dropped`: why one may not be used, else null."""

    def keyed(self, rows: ir.Table) -> ir.Table:
        """Each row once, with `refused` and `user` (`History.engagements`)."""

    def gone(self) -> pl.DataFrame:
        """kind, id of each deleted pin and user."""


class LogDays:
    """The log's `days`, all of them counted; those it once had before (`past`); `read`: rows read to know them."""

    past: tuple[Day, ...]

    def __init__(self, root: Path, source: LogSource) -> None:
        self.root = root / FOLDER
        self.backend = source.backend
        self._source = source
        self._files = source.files
        self.root.mkdir(exist_ok=True)
        self._index, self.read = self._up_to_date()
        self.days = tuple(_days(self._index))
        missing = [day for day in self.days if not self.has(day)]
        self.read += self._count(missing)

    def between(self, start: datetime | None, end: datetime) -> frozenset[Day]:
        """The days from `start` (None: from the first) until before `end`; both are starts of days."""
        first, last = (-1 if start is None else (start - _EPOCH) // _DAY), (end - _EPOCH) // _DAY
        days = (*(day for day in self.past if self.has(day)), *self.days)
        return frozenset(day for day in days if first <= day.number < last)

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

    def _up_to_date(self) -> tuple[pl.DataFrame, int]:
        """The days of each file as it is now, those of files that are no more, and how many rows were read for it."""
        known = self._known()
        gone = self._source.gone()
        before = _read(self.root / "gone.parquet", _GONE)
        new = gone.join(before, on=_GONE.names(), how="anti")
        now = pl.DataFrame(self._files, schema=["uri", "identity"], orient="row").cast(pl.String)
        past = known.join(now, on="uri", how="anti")
        known = known.join(now, on=["uri", "identity"], how="semi")
        if before.join(gone, on=_GONE.names(), how="anti").height:
            known, past = known.clear(), past.clear()
        elif new.height:
            forget(self.root, self.backend, new)
            known, past = self._of_whole_days(known), past if "user" not in new["kind"] else past.clear()
        unread = now.join(known, on="uri", how="anti")["uri"].to_list()
        found, dropped = self._read_files(unread)
        bad = _read(self.root / "dropped.parquet", _DROPPED).filter(pl.col("uri").is_in(known["uri"].implode()))
        parts.write_frame(self.root / "dropped.parquet", pl.concat([bad, dropped]))
        present = pl.concat([known, found]).sort("uri", "day")
        first = present["day"].min()
        past = past.clear() if first is None else past.filter(pl.col("day") < first)
        parts.write_frame(self.root / "files.parquet", pl.concat([past, present]))
        parts.write_frame(self.root / "gone.parquet", gone)
        self.past = tuple(_days(past))
        return present, int(found["rows"].sum())

    def _known(self) -> pl.DataFrame:
        return _read(self.root / "files.parquet", _FILES).filter(pl.col("basis") == self._basis)

    @property
    def _basis(self) -> str:
        return f"{_RULE} {self._source.basis}"

    def _of_whole_days(self, known: pl.DataFrame) -> pl.DataFrame:
        """The files of which no day is missing: the others hold what was deleted."""
        lost = [day.number for day in _days(known) if not self.has(day)]
        return known.filter(~pl.col("day").is_in(lost).any().over("uri"))

    def _read_files(self, uris: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """`_FILES` of these, read by the layout that they share, and what of them may not be used (`_DROPPED`).

        Raises BadInput for a file that is mostly bad, or that cannot be read.
        """
        identity = {file.uri: file.identity for file in self._files}
        layouts = log_files.by_layout(uris)
        found = [one for some in layouts.values() for one in self._digests(some)]
        bad = [(uri, reason, rows) for uri, reason, _, rows, _ in found if reason is not None]
        good = [(uri, day, rows, digest) for uri, reason, day, rows, digest in found if reason is None]
        dropped = pl.DataFrame(bad, schema=_DROPPED, orient="row").group_by("uri", "reason").agg(pl.col("rows").sum())
        _refuse_mostly_bad(dropped, good)
        empty = set(uris).difference(one[0] for one in good)
        of = {uri: layout for layout, some in layouts.items() for uri in some}
        rows = [(uri, identity[uri], of[uri], *said, self._basis) for uri, *said in good]
        rows += [(uri, identity[uri], of[uri], None, 0, 0, self._basis) for uri in sorted(empty)]
        return pl.DataFrame(rows, schema=_FILES, orient="row"), dropped

    def _digests(self, files: Sequence[str]) -> Iterator[tuple[str, str | None, int | None, int, int]]:
        """file, why its rows are dropped (null: they are not), day, rows, digest."""
        rows = _dated(self._source.judged(files))
        texts = [rows[name].cast("string").fill_null("\0") for name in (*_TELLING, "event_timestamp")]
        hashed = rows.mutate(
            day=rows.dropped.isnull().ifelse(rows.day, ibis.null("int64")),
            digest=ibis.literal("\x1f").join([ibis.literal(_RULE), *texts]).hash() % 2**31,
        )
        grouped = hashed.group_by(FILE, "dropped", "day").agg(
            rows=hashed.count(), digest=hashed.digest.sum().cast("int64")
        )
        with self._reading():
            counted = grouped.to_polars()
        for name, *said in counted.iter_rows():
            yield self.backend.path_of(name), *said

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except self.backend.misread as error:
            raise misread("the log", error) from error

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
        rows = _dated(judged.filter(judged.dropped.isnull()).drop("dropped"))
        with self._reading():
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
                    f"expected rows of {_EPOCH + day.number * _DAY:%Y-%m-%d} in the log, found none any more: it was "
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
    days = _days(_read(root / FOLDER / "files.parquet", _FILES))
    counted = [day for day in days if (root / FOLDER / Kind.PAIRS / day.name).is_dir()]
    files = [file for day in counted for file in (root / FOLDER / Kind.PAIRS / day.name).glob("*.parquet")]
    if not files:
        return None
    kept = int(pl.scan_parquet(files).select(pl.col("n").sum()).collect().item())
    bad = _read(root / FOLDER / "dropped.parquet", _DROPPED).group_by("reason").agg(pl.col("rows").sum())
    dropped = Counter(dict(bad.iter_rows())) + Counter(duplicate=sum(day.rows for day in counted) - kept)
    return Tally(kept, dropped)


def _refuse_mostly_bad(dropped: pl.DataFrame, good: Sequence[tuple[Any, ...]]) -> None:
    fit = Counter[str]()
    for uri, _, rows, _ in good:
        fit[uri] += rows
    for (uri,), reasons in dropped.group_by("uri", maintain_order=True):
        found = Counter(dict(reasons.select("reason", "rows").iter_rows()))
        if found.total() >= _FEWEST_BAD:
            mostly_bad.refuse(str(uri), ENGAGEMENTS.name, fit[str(uri)], found)


def forget(root: Path, backend: Backend, gone: pl.DataFrame) -> None:
    """Remove from W/log_days (`root`) the days in which one of `gone` (kind, id) stands, and all sums of them."""
    doomed: set[str] = set()
    for kind, of, column in ((Kind.PAIRS, "pin", "pin_id"), (Kind.ASKERS, "user", "user")):
        ids = gone.filter(pl.col("kind") == of).select(pl.col("id").str.to_lowercase() if of == "user" else "id")
        files = sorted(map(str, (root / kind).glob("*/*.parquet")))
        if files and ids.height:
            rows, named = backend.read(files, named=True), ibis.memtable(ids)
            found = rows.semi_join(named, rows[column] == named.id).select(FILE).distinct()
            doomed.update(Path(backend.path_of(file)).parent.name for file in found.to_polars()[FILE])
    for aside in (*root.glob(".aside-*"), *(root / "sums").glob("*/.*")):
        shutil.rmtree(aside)  # of a run that was killed: nobody knows what stands there
    if doomed:
        shutil.rmtree(root / "sums", ignore_errors=True)
    for name in doomed:
        for kind in Kind:
            shutil.rmtree(root / kind / name, ignore_errors=True)


def start_of_day(moment: datetime) -> datetime:
    """The start of the UTC day that holds `moment`."""
    return _EPOCH + (moment - _EPOCH) // _DAY * _DAY


def _pairs(log: ir.Table) -> ir.Table:
    return log.group_by("day", query=_hidden(log), refused=log.refused, pin_id=log.pin_id, event=log.event,
                        position=log.position).agg(n=log.count())  # fmt: skip


def _askers(log: ir.Table) -> ir.Table:
    return log.group_by("day", query=_hidden(log), refused=log.refused, user=log.user,
                        named=log.user_hash.notnull(), lang=log.lang).agg(n=log.count())  # fmt: skip


def _hidden(log: ir.Table) -> ir.StringValue:
    """The query's key; of one that may not be used a hash."""
    return log.refused.isnull().ifelse(log["query"], log["query"].hexdigest("md5"))


def _dated(rows: ir.Table) -> ir.Table:
    return rows.mutate(day=rows.event_timestamp.epoch_seconds() // int(_DAY.total_seconds()))


def _days(index: pl.DataFrame) -> list[Day]:
    held = index.drop_nulls("day").group_by("day").agg(pl.col("rows", "digest").sum()).sort("day")
    return [Day(*row) for row in held.iter_rows()]


def _batches(days: Sequence[Day]) -> Iterator[list[Day]]:
    batch: list[Day] = []
    for day in days:
        if batch and (len(batch) == _DAYS_AT_ONCE or sum(d.rows for d in batch) + day.rows > _ROWS_AT_ONCE):
            yield batch
            batch = []
        batch.append(day)
    if batch:
        yield batch


def _read(path: Path, schema: pl.Schema) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, schema=schema)
    except (OSError, pl.exceptions.PolarsError):
        return pl.DataFrame(schema=schema)  # none yet, or not one of ours: then every file is read
