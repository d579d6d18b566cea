"""The one resume loop of the per-pin jobs: take what is stale, enrich it in batches, append what is made atomically.

A key is fresh when its newest row was made from the same input by the same producer; an input that returns to an
earlier one is stale, for a newer row says otherwise. A row that failed for a passing reason (`transient`) is stale
again at the next run; one that failed for good waits for `--retry`. Under a limit what was never tried comes before
what failed for a passing reason, so that runs of `--limit 100` get on though a hundred hosts are down. What was made
within a minute is one atomic part (slow batches do not leave a part each), and staleness is read from the parts: a job
killed anywhere loses a minute's work at most and goes on where it was; one that is interrupted or fails writes what it
has first.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

import enrich
from enrich import parts
from enrich.progress import progress
from enrich.tables import Kind, Table
from enrich.workspace import Workspace

PART_SECONDS, PART_ROWS = 60.0, 20_000  # whichever comes first makes a part
BACKFILL_AFTER = timedelta(days=1)  # a content row written later than this after its content's time was backfilled
RETRY_ALL = "failed"
GONE = "gone"  # the reason of a row that takes values back: what they were made from is not there any more

Process = Callable[[pl.DataFrame], pl.DataFrame]
Stream = Callable[[pl.DataFrame], Iterator[pl.DataFrame]]


@dataclass(frozen=True, slots=True)
class JobSettings:
    batch_size: int = 64  # rows handed to the enriching function at once
    limit: int | None = None  # rows to enrich in this run; None for all
    retry: frozenset[str] = frozenset()  # reasons to try again; {"failed"} for all


@dataclass(frozen=True, slots=True)
class JobReport:
    """What one run did. `failed` counts the rows that could not be made, by reason."""

    table: str
    fresh: int
    made: int
    failed: Counter[str] = field(default_factory=Counter)
    settled: int = 0  # of the fresh: failed for good before, and not asked for again
    left: int = 0  # stale rows that the limit left for another run
    due: datetime | None = None  # the first snapshot, where the sources have rows and none is due yet


def input_hash(*values: str | bytes | None) -> str:
    """A short stable hash of what a row is made from; None and "" differ."""
    digest = hashlib.blake2b(digest_size=16)
    for value in values:
        raw = b"\0" if value is None else b"\1" + (value.encode() if isinstance(value, str) else value)
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def run(
    workspace: Workspace,
    tables: Sequence[Table],
    inputs: pl.DataFrame,
    process: Process,
    producer: str,
    settings: JobSettings,
    transient: frozenset[str] = frozenset(),
    without: pl.DataFrame | None = None,
) -> JobReport:
    """Bring `tables` (of one key and one producer, filled together) up to date with `inputs`.

    `inputs` has a row a key: the key's columns, `event_timestamp`, `input_hash`, and whatever `process` reads.
    `process` gets a batch of it and returns a row a key, in any order: the key's columns, every feature of `tables`,
    and `reason` (null where the values were made). `without` (the key's columns, `event_timestamp`) has what there is
    nothing to make of any more: its values, where it had some, are taken back by a row of nulls, reason "gone".
    """
    said = [*tables[0].key, "event_timestamp", "input_hash"]

    def in_batches(stale: pl.DataFrame) -> Iterator[pl.DataFrame]:
        for batch in stale.iter_slices(settings.batch_size):
            yield process(batch).join(batch.select(said), on=list(tables[0].key), how="inner")

    return run_stream(workspace, tables, inputs, in_batches, producer, settings, transient, without)


def run_stream(
    workspace: Workspace,
    tables: Sequence[Table],
    inputs: pl.DataFrame,
    stream: Stream,
    producer: str,
    settings: JobSettings,
    transient: frozenset[str] = frozenset(),
    without: pl.DataFrame | None = None,
) -> JobReport:
    """As `run`, of work that is not done batch by batch: it orders, shares and overlaps as it likes.

    `stream` gets all rows of `inputs` that are stale, and yields outcomes as they get done: of each row the key's
    columns, `event_timestamp` and `input_hash` as given, every feature of `tables`, and `reason`.
    """
    key = list(tables[0].key)
    newest = [_newest(workspace, table, inputs) for table in tables]
    stale = _stale(inputs, newest, key, producer, settings, transient)
    failures = _failures(inputs, newest, key, producer)
    todo = stale if settings.limit is None else _first(stale, failures, settings.limit, settings.retry)
    made, failed = 0, Counter[str]()
    pen = _Pen(workspace, tables, newest, producer)
    try:
        with progress(todo.height, tables[0].name) as bar:
            for outcome in stream(todo):
                pen.take(outcome)
                reasons = outcome["reason"].drop_nulls()
                failed.update(reasons.to_list())
                made += outcome.height - len(reasons)
                bar.update(outcome.height)
    finally:
        pen.flush()
    if without is not None:
        failed.update(_take_back(workspace, tables, without, producer))
    settled = failures.join(stale, on=key, how="anti").height
    return JobReport(
        tables[0].name, inputs.height - stale.height, made, failed, settled=settled, left=stale.height - todo.height
    )


def _take_back(workspace: Workspace, tables: Sequence[Table], without: pl.DataFrame, producer: str) -> Counter[str]:
    """Rows of nulls for those of `without` that have another newest row; how many keys, by reason."""
    taken: pl.DataFrame = without.select(tables[0].key).clear()
    for table in tables:
        newest = _newest(workspace, table, without)
        standing = newest.filter(pl.col("reason").ne_missing(pl.lit(GONE)))
        gone = without.join(standing, on=list(table.key), how="semi")
        nulls = [pl.lit(None, pl.Null).alias(column.name) for column in table.features]
        outcome = gone.with_columns(*nulls, input_hash=pl.lit(input_hash(None)), reason=pl.lit(GONE))
        append(workspace, table, outcome, producer, newest)
        taken = pl.concat([taken, gone.select(table.key)]).unique()
    return Counter({GONE: taken.height} if taken.height else {})


class _Pen:
    """Holds what was made and writes it, of each table a part, every minute or so many rows."""

    def __init__(
        self, workspace: Workspace, tables: Sequence[Table], newest: Sequence[pl.DataFrame], producer: str
    ) -> None:
        """`newest` is what each table says of the keys now; nobody else writes them meanwhile."""
        self._workspace, self._tables, self._newest, self._producer = workspace, tables, newest, producer
        self._held: list[pl.DataFrame] = []
        self._written = time.monotonic()

    def take(self, outcome: pl.DataFrame) -> None:
        self._held.append(outcome)
        late = time.monotonic() - self._written > PART_SECONDS
        if late or sum(held.height for held in self._held) >= PART_ROWS:
            self.flush()

    def flush(self) -> None:
        if self._held:
            outcome, self._held = pl.concat(self._held, how="vertical_relaxed"), []
            for table, newest in zip(self._tables, self._newest, strict=True):
                append(self._workspace, table, outcome, self._producer, newest)
        self._written = time.monotonic()


def append(
    workspace: Workspace, table: Table, outcome: pl.DataFrame, producer: str, newest: pl.DataFrame | None = None
) -> None:
    """Append `outcome`'s rows, with their clocks and provenance, but those that say again what is newest of their key.

    `outcome` has a row a key: the key's columns, `event_timestamp`, `input_hash`, `reason` and the table's features, of
    which those that may be null may be left out. A row can be known from its event on, and a microsecond after the row
    that it follows. `newest` is read where it is not given.
    """
    key = list(table.key)
    said = [*key, "input_hash", "producer", "reason"]
    newest = _newest(workspace, table, outcome) if newest is None else newest
    named = outcome.with_columns(producer=pl.lit(producer), reason=pl.col("reason").cast(pl.String))
    news = named.join(newest, on=said, how="anti", nulls_equal=True)
    if news.is_empty():
        return
    now = datetime.now(UTC)
    follows = pl.col("followed") + pl.duration(microseconds=1)
    rows = news.join(newest.select(*key, followed="created_timestamp"), on=key, how="left").with_columns(
        created_timestamp=pl.max_horizontal("event_timestamp", follows),
        written_at=pl.lit(now).cast(pl.Datetime("us", "UTC")),
        backfilled=pl.col("event_timestamp") + BACKFILL_AFTER < pl.lit(now),
        code_version=pl.lit(enrich.__version__),
    )
    parts.append(workspace.folder(table), table, rows.to_arrow())


def _stale(
    inputs: pl.DataFrame,
    newest: Sequence[pl.DataFrame],
    keys: Sequence[str],
    producer: str,
    settings: JobSettings,
    transient: frozenset[str],
) -> pl.DataFrame:
    """The inputs for which some table's newest row is of another input or producer, or failed and is to be retried."""
    key = [*keys, "input_hash"]
    retried = sorted(str(reason) for reason in transient | settings.retry)  # plain: Polars makes an enum of a StrEnum
    hopeless = pl.lit(RETRY_ALL not in retried) & ~pl.col("reason").is_in(retried)
    fresh = inputs.select(key)
    for rows in newest:
        settled = rows.filter(pl.col("producer") == producer, pl.col("reason").is_null() | hopeless)
        fresh = fresh.join(settled, on=key, how="semi")
    return inputs.join(fresh, on=key, how="anti", maintain_order="left")


def _failures(inputs: pl.DataFrame, newest: Sequence[pl.DataFrame], keys: Sequence[str], producer: str) -> pl.DataFrame:
    """The key and `reason` of the inputs of which this producer's newest row says why there are no values."""
    failed = (rows.filter(pl.col("producer") == producer, pl.col("reason").is_not_null()) for rows in newest)
    key = [*keys, "input_hash"]
    reasons = pl.concat([rows.select(*key, "reason") for rows in failed]).unique(key, keep="any")
    return inputs.select(key).join(reasons, on=key, how="inner").select(*keys, "reason")


def _first(stale: pl.DataFrame, failures: pl.DataFrame, limit: int, retry: frozenset[str]) -> pl.DataFrame:
    """As many of `stale` as the limit says: what `retry` asks for, what was never tried, then the other failures."""
    failed = pl.col("reason").is_not_null()
    named = pl.col("reason").is_in(sorted(str(reason) for reason in retry))
    asked = failed if RETRY_ALL in retry else failed & named
    turn = pl.when(asked).then(0).when(~failed).then(1).otherwise(2)
    keys = [name for name in failures.columns if name != "reason"]
    turns = stale.join(failures, on=keys, how="left", maintain_order="left").select(turn=turn)
    chosen = turns.with_row_index("row").sort("turn", maintain_order=True).head(limit)
    return stale[chosen["row"]]


def _newest(workspace: Workspace, table: Table, asked: pl.DataFrame) -> pl.DataFrame:
    """Of each key in `asked`, its newest row: the key, input_hash, producer, reason and created_timestamp.

    Content is newest by what became true last, up to the `event_timestamp` asked about: a catalogue put back to an
    older state says nothing of later ones. A label is newest by when it could be known (`Table.recency`).
    """
    key = list(table.key)
    rows = parts.scan(workspace.folder(table)).select(*key, "input_hash", "producer", "reason", *table.recency)
    moments = asked.lazy().select(*key, asked="event_timestamp")
    seen = rows.join(moments, on=key)
    if table.kind is not Kind.LABEL:
        seen = seen.filter(pl.col("event_timestamp") <= pl.col("asked"))
    return parts.newest(seen, table).drop("event_timestamp", "asked").collect()
