"""Tables too large for memory, passed on a piece at a time: out of the engine, and into parquet files.

Used by the soft labels' sample; a file appears whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import ibis.expr.types as ir
import polars as pl
import pyarrow.parquet as pq


def frames(table: ir.Table, rows: int, through: Path) -> Iterator[pl.DataFrame]:
    """The table's rows in their order, exactly so many at a time but for the last.

    They pass `through` a file that the engine writes, and that is removed after the last: the engine answers other
    questions meanwhile, and holds no rows.
    """
    table.to_parquet(through)
    held, count = [], 0
    with pq.ParquetFile(through, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=rows):
            held.append(pl.DataFrame(pl.from_arrow(batch)))
            count += batch.num_rows
            if count >= rows:
                together = pl.concat(held)
                yield together[:rows]
                held, count = [together[rows:]], count - rows
    if count:
        yield pl.concat(held)
    through.unlink()


def write_parquet(path: Path, rows: pl.DataFrame) -> None:
    """Write the file aside, then rename it into place."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    rows.write_parquet(aside, compression="zstd")
    aside.replace(path)
