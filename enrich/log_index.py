"""Which days each file of the log holds, found anew where a file was written since: what `log_days.py` counts by.

Reads the log through `LogSource` and its files' names (`log_files.py`); writes, in W/log_days,

    files.parquet       which days each file of the log holds or, let go, held, how many rows, and a digest of them
    dropped.parquet     how many rows of each file may not be used, by reason
    gone.parquet        the deleted pins and users of whom those rows are free

A file is read again only where it was written since (its identity is another). A pin or user newly deleted costs the
days in which it stands; one that is deleted no more costs the whole log, as far as it is there.

A log in place that lets its beginning go (`let_go.py`) makes no snapshot stale: what the index knew of those files
stays (`past`), and a day is what all its files say, those that are gone too, however the files part the days. Where
files of such a day come or change, the day is made of what it said, less what files said that were and are there, and
of what these say now (`Grown`). A file of the same name, or the same rows under others, are a day that is back.

A day that no window needs any more is forgotten, and a row of it that comes then is left out: a day made of it alone
would take back what was said. A deleted user ends that too, for the user might have been in forgotten days. Of an
imported log days that are gone are a change: the import is the whole catalogue, and says that they were none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import log_files, mostly_bad, parts
from enrich.backends import FILE, Backend
from enrich.day_folders import Day, days_of
from enrich.let_go import Grown, grown_days, let_go, marked
from enrich.log_files import LogFile
from enrich.log_rows import misread
from enrich.tables import ENGAGEMENTS

DAY = timedelta(days=1)
_RULE = "log-days/3"  # what may not be used is a rule too: with another one every day is another
_TELLING = ("query", "pin_id", "event", "position", "user_hash", "country", "lang")  # a change of these changes the day
_FILES = pl.Schema(
    {"uri": pl.String, "identity": pl.String, "layout": pl.String, "day": pl.Int64, "rows": pl.Int64,
     "digest": pl.Int64, "basis": pl.String, "past": pl.Boolean}
)  # fmt: skip
_DROPPED = pl.Schema({"uri": pl.String, "reason": pl.String, "rows": pl.Int64})
_FEWEST_BAD = 100  # rows of a file that say that it is mostly bad; a day of fewer is only counted
_GONE = pl.Schema({"kind": pl.String, "id": pl.String})
_FORGOTTEN = "forgotten-day"  # why a row of a day that left the log is left out


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
        """Whether a beginning that is gone was kept its time, as in a log in place, and is no change."""

    def judged(self, files: Sequence[str]) -> ir.Table:
        """The rows of some files of one layout, with `FILE`, and `dropped`: why one may not be used, else null."""

    def keyed(self, rows: ir.Table) -> ir.Table:
        """Each row once, with `refused` and `user` (`History.engagements`)."""

    def gone(self) -> pl.DataFrame:
        """kind, id of each deleted pin and user."""


class Index(NamedTuple):
    """The log as it is now."""

    files: pl.DataFrame  # uri, identity, layout, day, rows, digest, basis: a row a day of each file that is there
    days: tuple[Day, ...]  # of which files are there
    past: tuple[Day, ...]  # of which none is any more
    let_go: frozenset[int]  # the days, of either, with rows of files that are gone
    read: int  # rows of the log that were read to know this


class Counts(Protocol):
    """What is counted of the days (`log_days.py`)."""

    def has(self, day: Day) -> bool:
        """Whether the day can be read."""

    def whole(self, day: Day) -> bool:
        """Whether it can, and nothing was taken out of it."""

    def forget(self, gone: pl.DataFrame) -> None:
        """Take what was deleted (kind, id) out of the days."""

    def grow(self, files: pl.DataFrame, grown: Sequence[Grown]) -> int:
        """Make these days of what they were and of `Index.files`; how many rows were read for it."""


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

    def up_to_date(self, counts: Counts) -> Index:
        """Read what is new, and make what `counts` has of days with files that are gone agree with it."""
        gone = self._source.gone()
        before = _read(self._folder / "gone.parquet", _GONE)
        new = gone.join(before, on=_GONE.names(), how="anti")
        if new.height:
            counts.forget(new)
        stored = self._stored()
        was = {day.number: day for day in days_of(stored)}
        now = [file.uri for file in self._files]
        unheld = [number for number, day in was.items() if not counts.has(day)]
        known = self._known(stored, new, before.join(gone, on=_GONE.names(), how="anti").height > 0, counts)
        if "user" in new["kind"]:
            stored = stored.filter(pl.col("uri").is_in(now) | ~pl.col("day").is_in(unheld))
        unread = [uri for uri in now if uri not in set(known["uri"])]
        found, dropped = self._read_files(unread)
        present = pl.concat([known, found]).sort("uri", "day")
        past = self._past(stored, present, was, unheld) if self._source.lets_go else stored.clear()
        past = marked(past, [number for number, day in was.items() if counts.has(day) and not counts.whole(day)])
        late = pl.col("day").is_in([number for number in unheld if number in set(past["day"])])
        files = present.filter(~late.fill_null(False))
        self._write_dropped(known, dropped, present.filter(late))
        grown = grown_days(past, files, stored, {number: day for number, day in was.items() if number not in unheld})
        read = int(found["rows"].sum()) + (counts.grow(files, grown) if grown else 0)
        parts.write_frame(self._folder / "files.parquet", pl.concat([past, present]))
        parts.write_frame(self._folder / "gone.parquet", gone)
        return _index(files, past, read)

    def _stored(self) -> pl.DataFrame:
        return last_index(self._folder).filter(pl.col("basis") == self._basis)

    def _known(self, stored: pl.DataFrame, new: pl.DataFrame, undeleted: bool, counts: Counts) -> pl.DataFrame:
        """What is known of the files that are as they were, and need not be read again for what was deleted."""
        if undeleted:
            return stored.clear()
        now = pl.DataFrame(self._files, schema=["uri", "identity"], orient="row").cast(pl.String)
        known = stored.join(now, on=["uri", "identity"], how="semi").with_columns(past=pl.lit(False))
        if not new.height:
            return known
        touched = [day.number for day in days_of(stored) if not counts.whole(day)]
        return known.filter(~pl.col("day").is_in(touched).any().over("uri"))

    def _past(
        self, stored: pl.DataFrame, present: pl.DataFrame, was: dict[int, Day], unheld: Container[int]
    ) -> pl.DataFrame:
        """What files said that are gone, let go now or before: less the days that are back."""
        there = pl.col("uri").is_in([file.uri for file in self._files])
        before = pl.col("uri").is_in(stored["uri"].implode())
        past, vanished = stored.filter(pl.col("past") & ~there), stored.filter(~pl.col("past") & ~there)
        let = let_go(vanished, present.filter(before), present.filter(~before), past)
        held = set(present["day"])
        let = let.filter(~pl.col("day").is_in([day for day in let["day"].unique() if day in unheld and day in held]))
        every = pl.concat([past, let.with_columns(past=pl.lit(True))]).drop_nulls("day")
        gone = {day.number: day for day in days_of(every)}
        back = [day.number for day in days_of(present) if day in (was.get(day.number), gone.get(day.number))]
        return every.filter(~pl.col("day").is_in(back))

    def _write_dropped(self, known: pl.DataFrame, dropped: pl.DataFrame, late: pl.DataFrame) -> None:
        bad = _read(self._folder / "dropped.parquet", _DROPPED)
        bad = bad.filter(pl.col("uri").is_in(known["uri"].implode()) & (pl.col("reason") != _FORGOTTEN))
        left = late.group_by("uri").agg(pl.col("rows").sum()).with_columns(reason=pl.lit(_FORGOTTEN))
        parts.write_frame(self._folder / "dropped.parquet", pl.concat([bad, dropped, left.select(_DROPPED.names())]))

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
        end = (self._basis, False)
        rows = [(one.uri, identity[one.uri], of[one.uri], one.day, one.rows, one.digest, *end) for one in good]
        rows += [(uri, identity[uri], of[uri], None, 0, 0, *end) for uri in sorted(empty)]
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


def _index(files: pl.DataFrame, past: pl.DataFrame, read: int) -> Index:
    every, there = days_of(pl.concat([past, files])), set(files["day"])
    days = tuple(day for day in every if day.number in there)
    return Index(files, days, tuple(day for day in every if day.number not in there), frozenset(past["day"]), read)


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


def _read(path: Path, schema: pl.Schema) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, schema=schema, missing_columns="insert")
    except (OSError, pl.exceptions.PolarsError):
        return pl.DataFrame(schema=schema)  # none yet, or not one of ours: then every file is read


def last_index(folder: Path) -> pl.DataFrame:
    """What W/log_days (`folder`) knew last of each file and day; `past`, where the file had been let go before.

    Older versions do not say so: theirs are taken to have gone just now.
    """
    return _read(folder / "files.parquet", _FILES).with_columns(pl.col("past").fill_null(False))


def last_dropped(folder: Path) -> Counter[str]:
    """How many rows of the files that W/log_days (`folder`) knew last may not be used, by reason."""
    bad = _read(folder / "dropped.parquet", _DROPPED).group_by("reason").agg(pl.col("rows").sum())
    return Counter(dict(bad.iter_rows()))
