"""The one resume loop of the per-pin jobs: take what is stale, enrich it in batches, append each batch atomically.

A row is stale when no row of its table was made from the same input by the same producer. A row that failed for a
passing reason (`transient`) is stale again at the next run; one that failed for good waits for `--retry`. Since every
batch is one atomic part and staleness is read from the parts, a job killed anywhere goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

import enrich
from enrich import parts
from enrich.progress import progress
from enrich.tables import Table
from enrich.workspace import Workspace

BACKFILL_AFTER = timedelta(days=1)  # a content row written later than this after its content's time was backfilled
RETRY_ALL = "failed"

Process = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class JobSettings:
    batch_size: int = 64  # rows handed to the enriching function at once, and written as one part
    limit: int | None = None  # rows to enrich in this run; None for all
    retry: frozenset[str] = frozenset()  # reasons to try again; {"failed"} for all


@dataclass(frozen=True, slots=True)
class JobReport:
    """What one run did. `failed` counts the rows that could not be made, by reason."""

    table: str
    fresh: int
    made: int
    failed: Counter[str] = field(default_factory=Counter)


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
) -> JobReport:
    """Bring `tables` (of one key and one producer, filled together) up to date with `inputs`.

    `inputs` has a row a key: the key's columns, `event_timestamp`, `input_hash`, and whatever `process` reads.
    `process` gets a batch of it and returns a row a key, in any order: the key's columns, every feature of `tables`,
    and `reason` (null where the values were made).
    """
    key = list(tables[0].key)
    stale = _stale(workspace, tables, inputs, producer, settings, transient)
    todo = stale if settings.limit is None else stale.head(settings.limit)
    made, failed = 0, Counter[str]()
    with progress(todo.height, tables[0].name) as bar:
        for batch in todo.iter_slices(settings.batch_size):
            outcome = process(batch).join(batch.select(*key, "event_timestamp", "input_hash"), on=key, how="inner")
            for table in tables:
                append(workspace, table, outcome, producer)
            reasons = outcome["reason"].drop_nulls()
            failed.update(reasons.to_list())
            made += outcome.height - len(reasons)
            bar.update(batch.height)
    return JobReport(tables[0].name, inputs.height - stale.height, made, failed)


def append(workspace: Workspace, table: Table, outcome: pl.DataFrame, producer: str) -> None:
    """Append `outcome`'s rows that the table does not hold yet, with their clocks and provenance."""
    key = list(table.key)
    same = [*key, "input_hash", "producer", "reason"]
    earlier = parts.scan(workspace.folder(table)).select(*same, "event_timestamp")
    named = outcome.with_columns(producer=pl.lit(producer), reason=pl.col("reason").cast(pl.String))
    earlier_rows = earlier.join(named.lazy().select(key), on=key, how="semi").collect()
    fresh = named.join(earlier_rows.select(same), on=same, how="anti", nulls_equal=True)
    if fresh.is_empty():
        return
    ordinals = earlier_rows.group_by([*key, "event_timestamp"]).agg(ordinal=pl.len().cast(pl.Int64))
    now = datetime.now(UTC)
    rows = (
        fresh.join(ordinals, on=[*key, "event_timestamp"], how="left")
        .with_columns(
            created_timestamp=pl.col("event_timestamp") + pl.duration(microseconds=pl.col("ordinal").fill_null(0)),
            written_at=pl.lit(now).cast(pl.Datetime("us", "UTC")),
            backfilled=pl.col("event_timestamp") + BACKFILL_AFTER < pl.lit(now),
            code_version=pl.lit(enrich.__version__),
        )
        .select(table.schema.names)
    )
    parts.append(workspace.folder(table), table, rows.to_arrow())


def _stale(
    workspace: Workspace,
    tables: Sequence[Table],
    inputs: pl.DataFrame,
    producer: str,
    settings: JobSettings,
    transient: frozenset[str],
) -> pl.DataFrame:
    key = [*tables[0].key, "input_hash"]
    retried = sorted(str(reason) for reason in transient | settings.retry)  # plain: Polars makes an enum of a StrEnum
    fresh: pl.DataFrame | None = None
    for table in tables:
        rows = parts.scan(workspace.folder(table)).filter(pl.col("producer") == producer)
        done = rows.filter(pl.col("reason").is_null()).select(key)
        hopeless = rows.filter(pl.col("reason").is_not_null() & ~pl.col("reason").is_in(retried)).select(key)
        settled = done if RETRY_ALL in retried else pl.concat([done, hopeless])
        found = inputs.join(settled.unique().collect(), on=key, how="semi").select(key)
        fresh = found if fresh is None else fresh.join(found, on=key, how="semi")
    assert fresh is not None
    return inputs.join(fresh, on=key, how="anti")
