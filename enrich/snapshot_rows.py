"""What the part of one snapshot says: the rows that it adds to the ones before it, and those that others owed.

Reads and writes the parts of a behaviour table for `snapshots.py`. The keys of a part that is replaced, or of one that
goes, are `said`: an online store may have their values, at that part's time, and takes nothing that is older. So each
of them has a row in the part that takes its place: its values as they are now, or nulls with the reason "none-left".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

import enrich
from enrich import parts
from enrich.job import BACKFILL_AFTER
from enrich.tables import Table

NONE_LEFT = "none-left"  # the reason of a key that had values at an earlier snapshot and has none now
_NAME = "snapshot-%Y%m%dT%H%M%SZ"


class Stamp(NamedTuple):
    """What every row of a snapshot says of itself."""

    at: datetime
    known: datetime  # when a pipeline would have delivered it
    producer: str
    input_hash: str


def path(folder: Path, at: datetime) -> Path:
    """Where the part of the snapshot at `at` is."""
    return folder / f"part-{at.strftime(_NAME)}.parquet"


def moments(folder: Path) -> set[datetime]:
    """The snapshots that have a part."""
    names = [part.stem for part in folder.glob("part-snapshot-*.parquet")]
    return {datetime.strptime(name, f"part-{_NAME}").replace(tzinfo=UTC) for name in names}


def keys(folder: Path, table: Table, of: Iterable[datetime]) -> pl.DataFrame:
    """The keys of those snapshots' parts, each once."""
    found = [part for at in of if (part := path(folder, at)).is_file()]
    return pl.read_parquet([parts.schema_part(folder), *found], columns=list(table.key)).unique()


def typed(table: Table, values: pl.DataFrame) -> pl.DataFrame:
    """`values` with the types their parquet columns come back with, so that equal values compare equal."""
    columns = [*table.key, *(column.name for column in table.features)]
    empty = pl.DataFrame(pl.from_arrow(table.schema.empty_table()))
    return values.select(pl.col(name).cast(empty.schema[name]) for name in columns)


def changed(table: Table, values: pl.DataFrame, earlier: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Key, features and reason of what is not as the latest `earlier` rows have it, and of all that was `said`."""
    key, features = list(table.key), [column.name for column in table.features]
    same = earlier.filter(pl.col("reason").is_null()).select(*key, *features)
    unsaid = same.join(said, on=key, how="anti")
    new = values.join(unsaid, on=[*key, *features], how="anti", nulls_equal=True)
    had = pl.concat([same.select(key), _sayable(table, said, earlier, values)]).unique()
    gone = had.join(values.select(key), on=key, how="anti")
    return pl.concat([_with_reason(new, None), _with_reason(gone, NONE_LEFT)], how="diagonal")


def as_before(table: Table, said: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """Key, features and reason of all that was `said`, as the latest `earlier` rows have it."""
    key = list(table.key)
    known = earlier.join(said, on=key, how="semi")
    gone = _sayable(table, said, earlier).join(earlier.select(key), on=key, how="anti")
    return pl.concat([known, _with_reason(gone, NONE_LEFT)], how="diagonal")


def _sayable(table: Table, said: pl.DataFrame, *others: pl.DataFrame) -> pl.DataFrame:
    """Not of a query that is in none of the `others`: its key would keep the words of what may have been erased."""
    if "query" not in table.key:
        return said
    return said.join(pl.concat([rows.select("query") for rows in others]).unique(), on="query", how="semi")


def _with_reason(rows: pl.DataFrame, reason: str | None) -> pl.DataFrame:
    return rows.with_columns(reason=pl.lit(reason, pl.String))


def write(folder: Path, table: Table, rows: pl.DataFrame, stamp: Stamp) -> None:
    """Make `rows` (key, features, reason) the snapshot's one part. Of zero rows it says that nothing changed."""
    stamped = _stamped(table, rows.sort(table.key), stamp)
    parts.append(folder, table, stamped.to_arrow(), name=stamp.at.strftime(_NAME))


def add(folder: Path, table: Table, rows: pl.DataFrame, stamp: Stamp) -> None:
    """Put `rows` to those of the snapshot's part, which has none of their keys."""
    there = pl.read_parquet(path(folder, stamp.at), columns=table.schema.names)
    both = pl.concat([there, _stamped(table, rows, stamp)], how="vertical_relaxed").sort(table.key)
    parts.append(folder, table, both.to_arrow(), name=stamp.at.strftime(_NAME))


def _stamped(table: Table, rows: pl.DataFrame, stamp: Stamp) -> pl.DataFrame:
    now = datetime.now(UTC)
    return rows.with_columns(
        event_timestamp=pl.lit(stamp.at).cast(pl.Datetime("us", "UTC")),
        created_timestamp=pl.lit(stamp.known).cast(pl.Datetime("us", "UTC")),
        written_at=pl.lit(now).cast(pl.Datetime("us", "UTC")),
        backfilled=pl.lit(now > stamp.known + BACKFILL_AFTER),
        producer=pl.lit(stamp.producer),
        code_version=pl.lit(enrich.__version__),
        input_hash=pl.lit(stamp.input_hash),
    ).select(table.schema.names)
