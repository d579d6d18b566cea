"""What people did, ready to aggregate: the log under its query keys and the saves under their titles, as ibis tables.

Reads the source tables engagements (or the log where it was left), boards, board_pins, pins and deletions; writes what
each day of the log says (`log_days.py`), on which the snapshots stand, and temporary tables in the engine, which spills
past its memory. The distinct queries are mapped to their keys in Python; all else is done by the backend
(`backends.py`: DuckDB or Spark).

Deletions hold for all times: the rows of a deleted pin, board or user are not there, whenever they happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import log_days, log_files, log_in_place, log_rows, parts, tables
from enrich.backends import Backend, BackendLimits, open_backend
from enrich.log_days import LogDays
from enrich.log_files import LogFile
from enrich.log_in_place import LogInPlace
from enrich.log_index import LogSource
from enrich.normalise import normalise_query
from enrich.privacy import find_private
from enrich.snapshots import Change, SnapshotSettings
from enrich.tables import EVENTS, Table
from enrich.workspace import Workspace

EMPTY_QUERY = "empty-query"
SESSION = timedelta(minutes=30)  # the usual session time-out; stands in for a user where the log names none
MAX_POSITION = 1000  # a position outside 1..this is taken as unknown


class History:
    """One workspace's sources on an engine of its own."""

    def __init__(self, workspace: Workspace, limits: BackendLimits | None = None) -> None:
        self._workspace = workspace
        self._backend = open_backend(workspace.root / ".spill", limits or BackendLimits())
        self._elsewhere = log_in_place.load(workspace.root)

    def source(self, table: Table) -> ir.Table:
        """A table as it lies in the workspace."""
        return self._backend.read([parts.glob(self._workspace.folder(table))])

    def log(self) -> ir.Table:
        """The log as it was imported, or as it lies where it was left (`log_rows.py`)."""
        if self._elsewhere:
            return log_rows.read(self._backend, self._elsewhere)
        return self.source(tables.ENGAGEMENTS)

    def days(self) -> LogDays:
        """What each day of the log says, brought up to date."""
        return LogDays(self._workspace.root, self.log_source())

    def log_source(self) -> LogSource:
        """The log as `log_days.py` reads it."""
        return _Source(self, self._workspace, self._backend, self._elsewhere)

    def forget_deleted(self) -> None:
        """Take out of W/log_days what was deleted."""
        log_days.forget(self._workspace.root, self._backend, self.gone())

    def asked_before(self) -> pl.Series:
        """The queries of a log in place as far as its days are kept, those with files that were let go too."""
        return log_days.asked(self._workspace.root) if self._elsewhere else pl.Series("query", [], pl.String)

    def gone(self) -> pl.DataFrame:
        """kind, id of each deleted pin and user."""
        deletions = self.source(tables.DELETIONS)
        named: pl.DataFrame = deletions.filter(deletions.kind.isin(["pin", "user"])).select("kind", "id").to_polars()
        return named.unique().sort("kind", "id")

    def read(self, files: Sequence[Path]) -> ir.Table:
        """Parquet files of one schema as one table."""
        return self._backend.read([str(file) for file in files])

    def pins(self) -> ir.Table:
        return self.without_deleted(self.source(tables.PINS), "pin", "pin_id")

    def saves(self) -> ir.Table:
        """board_id, pin_id, title (of the board, as written), saved_at (the first time)."""
        boards = self.without_deleted(self.source(tables.BOARDS), "board", "board_id")
        boards = self.without_deleted(boards, "user", "owner_hash")
        saved = self.without_deleted(self.source(tables.BOARD_PINS), "pin", "pin_id")
        first = saved.group_by("board_id", "pin_id").agg(saved_at=saved.saved_at.min())
        titled = first.join(boards.select("board_id", "title"), "board_id")
        return self._backend.keep("saves", titled)

    def engagements(self) -> ir.Table:
        """The log with `query` as its key, `refused` (why the query may not be used, else null) and `user`.

        `user` is the user's hash, in whatever case a system writes hexadecimal numbers, so that two writings of one
        hash are not two people; where the log has none, the half hour of the event (`SESSION`).
        """
        return self.keyed(self.live(self.log()))

    def live(self, log: ir.Table) -> ir.Table:
        """Its rows of known events, without those of deleted pins and users."""
        log = self.without_gone(log)
        return log.filter(log.event.isin(EVENTS))

    def without_gone(self, log: ir.Table) -> ir.Table:
        """A log without the rows of deleted pins and users."""
        return self.without_deleted(self.without_deleted(log, "pin", "pin_id"), "user", "user_hash")

    def keyed(self, log: ir.Table) -> ir.Table:
        """Rows of the log as `engagements` has them."""
        log = log.rename(raw="query")
        keys = self._query_keys(log.select("raw").distinct())
        sitting = log.event_timestamp.epoch_seconds() // int(SESSION.total_seconds())
        keyed = log.join(keys, "raw").mutate(
            user=log.user_hash.lower().fill_null("session:" + sitting.cast("string")),
            position=log.position.between(1, MAX_POSITION).ifelse(log.position, ibis.null("int64")),
        )
        kept = self._backend.keep("log", keyed.drop("raw", "country"))
        self.drop("query_keys")
        return kept

    def keep(self, name: str, table: ir.Table) -> ir.Table:
        """`table` computed once, under a `name` until `drop`."""
        return self._backend.keep(name, table)

    def drop(self, *names: str) -> None:
        """Let the engine forget temporary tables that are not needed any more: each may be as large as the log."""
        for name in names:
            self._backend.drop(name)

    def _query_keys(self, raw: ir.Table) -> ir.Table:
        """`query_keys` of the distinct queries, made some at a time."""
        return self._backend.map_texts("query_keys", raw, query_keys)

    def without_deleted(self, table: ir.Table, kind: str, column: str) -> ir.Table:
        """`table` without the rows whose `column` names something deleted; a user in whatever case (`engagements`)."""
        deletions = self.source(tables.DELETIONS)
        deletions = deletions.filter(deletions.kind == kind)
        if kind != "user":
            gone = deletions.select(gone_id="id").distinct()
            return table.anti_join(gone, table[column] == gone.gone_id)
        gone = deletions.select(gone_id=deletions.id.lower()).distinct()
        return table.anti_join(gone, table[column].lower() == gone.gone_id)


class _Source(NamedTuple):
    """The log as `log_days.py` reads it: some files at a time."""

    history: History
    workspace: Workspace
    backend: Backend
    elsewhere: LogInPlace | None

    @property
    def files(self) -> list[LogFile]:
        return log_files.listed(self.workspace, self.elsewhere)

    @property
    def basis(self) -> str:
        """The digests are each engine's own."""
        return f"{type(self.backend).__name__} {self.elsewhere or 'imported'}"

    @property
    def lets_go(self) -> bool:
        return self.elsewhere is not None

    def judged(self, files: Sequence[str]) -> ir.Table:
        if self.elsewhere:
            return self.history.without_gone(log_rows.judged(self.backend, self.elsewhere, files))
        return self.history.live(self.backend.read(files, named=True)).mutate(dropped=ibis.null("string"))

    def keyed(self, rows: ir.Table) -> ir.Table:
        return self.history.keyed(log_rows.once(rows) if self.elsewhere else rows)

    def gone(self) -> pl.DataFrame:
        return self.history.gone()


def query_keys(raw: Iterable[str]) -> pl.DataFrame:
    """raw, query (its key) and refused: why the query may not be used, null where it may."""
    rows = [(text, normalise_query(text)) for text in raw]
    return pl.DataFrame(
        [(text, key, (find_private(text) or (None,))[0] if key else EMPTY_QUERY) for text, key in rows],
        schema={"raw": pl.String, "query": pl.String, "refused": pl.String},
        orient="row",
    )


def before(table: ir.Table, column: str, at: datetime, window: timedelta | None = None) -> ir.Table:
    """The rows with a time strictly before `at` and, with a window, not older than it."""
    time = table[column]
    seen = time < ibis.literal(at)
    return table.filter(seen if window is None else seen & (time >= ibis.literal(at - window)))


def times(log: ir.Table) -> ir.IntegerValue:
    """How often each row of a log happened: its `n`, or once."""
    return log.n if "n" in log.columns else ibis.literal(1)


def how_often(log: ir.Table, when: ir.BooleanValue) -> ir.IntegerScalar:
    """How many of a log's rows, each as often as it happened, are so."""
    return log.n.sum(where=when).fill_null(0).cast("int64") if "n" in log.columns else log.count(where=when)


def changes(table: ir.Table, column: str, covered: Sequence[str], settings: SnapshotSettings) -> list[Change]:
    """How many rows each period of the cadence has by the time `column`, and a digest of `covered` and that time."""
    time = table[column].epoch_seconds()
    texts = [table[name].cast("string").fill_null("\0") for name in (*covered, column)]
    row = ibis.literal("\x1f").join(texts)
    grouped = table.mutate(period=time // int(settings.cadence.total_seconds()), digest=row.hash() % 2**31)
    counted = grouped.group_by("period").agg(rows=grouped.count(), digest=grouped.digest.sum())
    return [Change(*row) for row in counted.order_by("period").to_polars().iter_rows()]
