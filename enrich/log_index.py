"""Which days each file of the log holds, found anew where a file was written since: what `log_days.py` counts by.

Reads the log through `LogSource` and its files' names (`log_files.py`); writes, in W/log_days,

    files.parquet       which days each file of the log holds, how many rows, and a digest of them
    dropped.parquet     how many rows of each file may not be used, by reason
    gone.parquet        the deleted pins and users of whom those rows are free

A file is read again only where it was written since (its identity is another). A pin or user newly deleted costs the
days in which it stands; one that is deleted no more costs the whole log. A log in place that lets its first days go
makes no snapshot stale: their digests stay (`Index.past`), until a user is deleted, who might have been in them. Of an
imported log days that are gone are a change: the import is the whole catalogue, and says that they were none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import log_files, mostly_bad, parts
from enrich.backends import FILE, Backend
from enrich.log_files import LogFile
from enrich.log_rows import misread
from enrich.tables import ENGAGEMENTS

DAY = timedelta(days=1)
_RULE = "log-days/3"  # what may not be used is a rule too: with another one every day is another
_TELLING = ("query", "pin_id", "event", "position", "user_hash", "country", "lang")  # a change of these changes the day
_FILES = pl.Schema(
    {"uri": pl.String, "identity": pl.String, "layout": pl.String, "day": pl.Int64, "rows": pl.Int64,
     "digest": pl.Int64, "basis": pl.String}
)  # fmt: skip
_DROPPED = pl.Schema({"uri": pl.String, "reason": pl.String, "rows": pl.Int64})
_FEWEST_BAD = 100  # rows of a file that say that it is mostly bad; a day of fewer is only counted
_GONE = pl.Schema({"kind": pl.String, "id": pl.String})


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

    @property
    def lets_go(self) -> bool:
        """Whether first days that are gone were kept their time, as in a log in place, and are no change."""

    def judged(self, files: Sequence[str]) -> ir.Table:
        """The rows of some files of one layout, with `FILE`, and `dropped`: why one may not be used, else null."""

    def keyed(self, rows: ir.Table) -> ir.Table:
        """Each row once, with `refused` and `user` (`History.engagements`)."""

    def gone(self) -> pl.DataFrame:
        """kind, id of each deleted pin and user."""


class Index(NamedTuple):
    """The files of the log as it is now."""

    files: pl.DataFrame  # uri, identity, layout, day, rows, digest, basis: a row a file and day
    past: tuple[Day, ...]  # that the log once had, before its first day now
    read: int  # rows of the log that were read to know this

    @property
    def days(self) -> tuple[Day, ...]:
        return tuple(days_of(self.files))


class _Told(NamedTuple):
    """What a file has of one day, or of what may not be used for one reason."""

    uri: str
    reason: str | None  # why these rows are dropped; None: they are not
    day: int | None
    rows: int
    digest: int


class LogIndex:
    """Finds the index of a log in W/log_days (`folder`)."""

    def __init__(self, folder: Path, source: LogSource) -> None:
        self._folder = folder
        self._source = source
        self._files = source.files

    def up_to_date(self, has: Callable[[Day], bool], forget: Callable[[pl.DataFrame], None]) -> Index:
        """Read what is new; `has` says whether a day was counted, `forget` takes out the days of what was deleted
        (kind, id).
        """
        known = self._known()
        gone = self._source.gone()
        before = _read(self._folder / "gone.parquet", _GONE)
        new = gone.join(before, on=_GONE.names(), how="anti")
        now = pl.DataFrame(self._files, schema=["uri", "identity"], orient="row").cast(pl.String)
        past = known.join(now, on="uri", how="anti")
        known = known.join(now, on=["uri", "identity"], how="semi")
        if before.join(gone, on=_GONE.names(), how="anti").height:
            known, past = known.clear(), past.clear()
        elif new.height:
            forget(new)
            known, past = _of_whole_days(known, has), past if "user" not in new["kind"] else past.clear()
        unread = now.join(known, on="uri", how="anti")["uri"].to_list()
        found, dropped = self._read_files(unread)
        bad = _read(self._folder / "dropped.parquet", _DROPPED).filter(pl.col("uri").is_in(known["uri"].implode()))
        parts.write_frame(self._folder / "dropped.parquet", pl.concat([bad, dropped]))
        present = pl.concat([known, found]).sort("uri", "day")
        first = present["day"].min()
        goes_on = first is not None and self._source.lets_go
        past = past.filter(pl.col("day") < first) if goes_on else past.clear()
        parts.write_frame(self._folder / "files.parquet", pl.concat([past, present]))
        parts.write_frame(self._folder / "gone.parquet", gone)
        return Index(present, tuple(days_of(past)), int(found["rows"].sum()))

    def _known(self) -> pl.DataFrame:
        return _read(self._folder / "files.parquet", _FILES).filter(pl.col("basis") == self._basis)

    @property
    def _basis(self) -> str:
        return f"{_RULE} {self._source.basis}"

    def _read_files(self, uris: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """`_FILES` of these, read by the layout that they share, and what of them may not be used (`_DROPPED`).

        Raises BadInput for a file that is mostly bad, or that cannot be read.
        """
        identity = {file.uri: file.identity for file in self._files}
        layouts = log_files.by_layout(uris)
        found = [one for some in layouts.values() for one in self._digests(some)]
        bad = [(one.uri, one.reason, one.rows) for one in found if one.reason is not None]
        good = [one for one in found if one.reason is None]
        dropped = pl.DataFrame(bad, schema=_DROPPED, orient="row").group_by("uri", "reason").agg(pl.col("rows").sum())
        _refuse_mostly_bad(dropped, good)
        empty = set(uris).difference(one.uri for one in good)
        of = {uri: layout for layout, some in layouts.items() for uri in some}
        rows = [(one.uri, identity[one.uri], of[one.uri], one.day, one.rows, one.digest, self._basis) for one in good]
        rows += [(uri, identity[uri], of[uri], None, 0, 0, self._basis) for uri in sorted(empty)]
        return pl.DataFrame(rows, schema=_FILES, orient="row"), dropped

    def _digests(self, files: Sequence[str]) -> Iterator[_Told]:
        rows = dated(self._source.judged(files))
        texts = [rows[name].cast("string").fill_null("\0") for name in (*_TELLING, "event_timestamp")]
        hashed = rows.mutate(
            day=rows.dropped.isnull().ifelse(rows.day, ibis.null("int64")),
            digest=ibis.literal("\x1f").join([ibis.literal(_RULE), *texts]).hash() % 2**31,
        )
        grouped = hashed.group_by(FILE, "dropped", "day").agg(
            rows=hashed.count(), digest=hashed.digest.sum().cast("int64")
        )
        backend = self._source.backend
        with reading(backend):
            counted = grouped.to_polars()
        for name, *said in counted.iter_rows():
            yield _Told(backend.path_of(name), *said)


def _of_whole_days(known: pl.DataFrame, has: Callable[[Day], bool]) -> pl.DataFrame:
    """The files of which no day is missing: the others hold what was deleted."""
    lost = [day.number for day in days_of(known) if not has(day)]
    return known.filter(~pl.col("day").is_in(lost).any().over("uri"))


@contextmanager
def reading(backend: Backend) -> Iterator[None]:
    """Raises BadInput in place of what the engine raises of a file that cannot be read."""
    try:
        yield
    except backend.misread as error:
        raise misread("the log", error) from error


def _refuse_mostly_bad(dropped: pl.DataFrame, good: Sequence[_Told]) -> None:
    fit = Counter[str]()
    for one in good:
        fit[one.uri] += one.rows
    for (uri,), reasons in dropped.group_by("uri", maintain_order=True):
        found = Counter(dict(reasons.select("reason", "rows").iter_rows()))
        if found.total() >= _FEWEST_BAD:
            mostly_bad.refuse(str(uri), ENGAGEMENTS.name, fit[str(uri)], found)


def dated(rows: ir.Table) -> ir.Table:
    """With `day`, days since 1970 (UTC)."""
    return rows.mutate(day=rows.event_timestamp.epoch_seconds() // int(DAY.total_seconds()))


def days_of(index: pl.DataFrame) -> list[Day]:
    """The days of `Index.files`, each once."""
    held = index.drop_nulls("day").group_by("day").agg(pl.col("rows", "digest").sum()).sort("day")
    return [Day(*row) for row in held.iter_rows()]


def _read(path: Path, schema: pl.Schema) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, schema=schema)
    except (OSError, pl.exceptions.PolarsError):
        return pl.DataFrame(schema=schema)  # none yet, or not one of ours: then every file is read


def last_found(folder: Path) -> list[Day]:
    """The days that W/log_days (`folder`) knew last."""
    return days_of(_read(folder / "files.parquet", _FILES))


def last_dropped(folder: Path) -> Counter[str]:
    """How many rows of the files that W/log_days (`folder`) knew last may not be used, by reason."""
    bad = _read(folder / "dropped.parquet", _DROPPED).group_by("reason").agg(pl.col("rows").sum())
    return Counter(dict(bad.iter_rows()))
