"""A table on disk: a folder of parquet parts, appended to by atomic renames.

A part appears whole or not at all (it is written aside under a name no reader globs, then renamed), so a killed writer
leaves either its rows or nothing. The first part of every table is its empty schema: a table without rows is readable.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from enrich.stores import row_files
from enrich.tables import Table, validate

_SCHEMA_PART = "part-0-schema.parquet"
ADDED = "added-"  # how names of parts begin that people added to a source table: an import leaves them alone


def create(folder: Path, table: Table) -> None:
    """Make the table's folder, and its empty part where that is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _SCHEMA_PART).exists():
        _write(folder / _SCHEMA_PART, table.schema.empty_table())


def widen(folder: Path, table: Table) -> None:
    """Give parts that an older version wrote the columns that `table` has gained since, all null; for its writer."""
    wanted = set(table.schema.names)
    older = [part for part in sorted(folder.glob("*.parquet")) if not wanted <= set(pq.read_schema(part).names)]
    for part in reversed(older):  # the empty one, which the others are held against, last
        _write(part, validate(table, pq.ParquetFile(part).read(), origin=str(part)))
    if older:
        row_files.forget(folder)


def schema_part(folder: Path) -> Path:
    """The part without rows that every table has."""
    return folder / _SCHEMA_PART


def glob(folder: Path) -> str:
    """The pattern of the table's parts, for DuckDB, Polars and Feast."""
    return f"{folder}/*.parquet"


def append(folder: Path, table: Table, rows: pa.Table, name: str | None = None) -> Path:
    """Add one part with `rows` (validated against `table`); a part of the same `name` is replaced by it."""
    part = folder / f"part-{name or uuid.uuid4().hex}.parquet"
    replaced = part.exists()
    _write(part, validate(table, rows, origin=str(part)))
    if replaced:
        row_files.forget(folder)
    return part


def has(folder: Path, name: str) -> bool:
    """Whether there is a part of that name."""
    return (folder / f"part-{name}.parquet").is_file()


def replace(folder: Path, table: Table, rows: pa.Table) -> None:
    """Make `rows` the table's only rows. A kill in between leaves the old rows beside the new ones for the next run."""
    stale = [part for part in folder.glob("*.parquet") if part.name != _SCHEMA_PART]
    kept = append(folder, table, rows)
    for part in stale:
        if part != kept:
            part.unlink()
    row_files.forget(folder)


def replace_all(folder: Path, table: Table, batches: Iterable[pa.Table]) -> None:
    """As `replace`, for rows that do not fit in memory: a part a batch, all written aside before the first is seen.

    Parts that people added (`ADDED`) stay.
    """
    kept = (_SCHEMA_PART, f"part-{ADDED}")
    stale = [part for part in folder.glob("*.parquet") if not part.name.startswith(kept)]
    aside: list[tuple[Path, Path]] = []
    for rows in batches:
        part = folder / f"part-{uuid.uuid4().hex}.parquet"
        aside.append((part.with_name(f".{part.name}.{os.getpid()}"), part))
        validated = validate(table, rows, origin=table.name)
        pq.write_table(validated, aside[-1][0], compression="zstd", coerce_timestamps="us")
    for written, part in aside:
        written.replace(part)
    for part in stale:
        part.unlink()
    row_files.forget(folder)  # copies of rows that are no more go with them


def sweep(folder: Path) -> None:
    """Remove parts that writers who were killed had not renamed yet; for who alone writes the table."""
    for aside in folder.glob(".part-*.parquet.*"):
        aside.unlink(missing_ok=True)


def damaged(root: Path) -> Path | None:
    """The first part of the tables below a workspace's root that is not whole; looked for when one was met."""
    files = sorted({*root.glob("*/*.parquet"), *root.glob("*/*/*.parquet")})
    for check in (_has_footer, _reads):  # a look at each end finds most at once
        for part in files:
            if not check(part):
                return part
    return None


def _has_footer(part: Path) -> bool:
    try:
        pq.read_schema(part)
    except (pa.ArrowException, OSError):
        return False
    return True


def _reads(part: Path) -> bool:
    try:
        for _ in pq.ParquetFile(part).iter_batches():
            pass
    except (pa.ArrowException, OSError):
        return False
    return True


def scan(folder: Path) -> pl.LazyFrame:
    """All rows, lazily."""
    return pl.scan_parquet(glob(folder))


def read(folder: Path, table: Table, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows as Arrow, with exactly the declared types."""
    wanted = list(columns) if columns is not None else table.schema.names
    files = sorted(str(part) for part in folder.glob("*.parquet"))
    schema = pa.schema([table.schema.field(name) for name in wanted])
    return pa.concat_tables([pq.ParquetFile(file).read(columns=wanted).select(wanted).cast(schema) for file in files])


def latest(folder: Path, table: Table) -> pl.DataFrame:
    """The newest row of each key (`Table.recency`)."""
    return newest(scan(folder), table).collect()


def newest(rows: pl.LazyFrame, table: Table) -> pl.LazyFrame:
    """Of rows with the table's key and clocks, the newest of each key, oldest first; of equals the last."""
    ordered = rows.sort(table.recency, maintain_order=True)
    return ordered.unique(subset=list(table.key), keep="last", maintain_order=True)


def count(folder: Path) -> int:
    """Number of rows, from the parts' footers alone."""
    return sum(pq.ParquetFile(part).metadata.num_rows for part in folder.glob("*.parquet"))


def write_text(path: Path, text: str) -> None:
    """Write a small file aside, then rename it into place."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text)
    aside.replace(path)


def write_frame(path: Path, rows: pl.DataFrame) -> None:
    """Write a parquet file that is no part aside, then rename it into place; for who alone writes it: what a kill left
    aside is written over. Raises OSError where the disk is full.
    """
    _write(path, rows.to_arrow(), path.with_name(f".{path.name}.aside"))


def _write(path: Path, rows: pa.Table, aside: Path | None = None) -> None:
    aside = aside or path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(rows, aside, compression="zstd", coerce_timestamps="us")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)  # of a disk that is full
