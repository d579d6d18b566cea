"""Which pairs of a sample a teacher has labelled already, for an earlier sample: they are not asked about again.

Reads the sample and the parts of soft_label that are not this sample's; writes known-NAME.parquet beside the sample.
The engine joins them, in its bounds of memory; of what it finds one part's share is read at a time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import ibis
import polars as pl
import pyarrow.parquet as pq

from enrich.backends import BOUNDED, DuckDBBackend
from relevance.labelling.log_pairs import PAIR
from relevance.labelling.sample import SoftSample

_ROWS_A_GROUP = 10_000  # of the file: a part's share is found without reading the others


def write_known(sample: SoftSample, folder: Path, producer: str, name: str) -> Path | None:
    """The file that says which pairs of which part were labelled by `producer` in parts of other names; None: none."""
    others = [file for file in _filled(folder) if not file.name.startswith(f"part-{name}-")]
    if not others:
        return None
    known = sample.folder / f"known-{name}.parquet"
    aside = known.with_name(f".{known.name}.{os.getpid()}")
    engine = DuckDBBackend(sample.folder / ".spill", BOUNDED).connection
    numbers = {str(part.path): part.number for part in sample.parts}
    paths = pl.DataFrame({"filename": list(numbers), "part": list(numbers.values())})
    pairs = engine.read_parquet(list(numbers), filename=True, hive_partitioning=False).join(
        ibis.memtable(paths), "filename"
    )
    labels = engine.read_parquet([str(file) for file in others], hive_partitioning=False)
    done = labels.filter(labels.producer == producer).select(PAIR)
    found = pairs.semi_join(done, PAIR).select("part", *PAIR).order_by("part", *PAIR)
    engine.to_parquet(found, aside, row_group_size=_ROWS_A_GROUP)
    engine.disconnect()
    aside.replace(known)
    return known if pq.ParquetFile(known).metadata.num_rows else None


def known_of(known: Path, number: int) -> pl.DataFrame:
    """query and pin_id of the labelled pairs of one part of the sample."""
    return pl.scan_parquet(known).filter(pl.col("part") == number).select(PAIR).collect()


def _filled(folder: Path) -> Sequence[Path]:
    """The table's parts that have rows."""
    return [file for file in sorted(folder.glob("*.parquet")) if pq.ParquetFile(file).metadata.num_rows]
