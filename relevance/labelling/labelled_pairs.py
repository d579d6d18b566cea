"""What a teacher has said of a sample's pairs for an earlier sample: what it labelled it is not asked about again.

A pair that got no label is: its pin may have a text by now. Failing in the same way (one reason, one text) adds no row.
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

_FAILED = ("reason", "input_hash")  # how: for which reason, with which text
_ROWS_A_GROUP = 10_000  # of the file: a part's share is found without reading the others


def write_known(sample: SoftSample, folder: Path, producer: str, name: str) -> Path | None:
    """The file of what `producer` said of which pairs of which part in parts of other names; None: of none.

    part, query, pin_id; reason and input_hash of a pair that failed, null of one that was labelled.
    """
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
    done = labels.probabilities.notnull()
    said = labels.filter(labels.producer == producer).select(
        *PAIR, **{name: ibis.ifelse(done, ibis.null("string"), labels[name]) for name in _FAILED}
    )
    found = pairs.join(said, PAIR).select("part", *PAIR, *_FAILED).distinct().order_by("part", *PAIR)
    engine.to_parquet(found, aside, row_group_size=_ROWS_A_GROUP)
    engine.disconnect()
    aside.replace(known)
    return known if pq.ParquetFile(known).metadata.num_rows else None


def known_of(known: Path, number: int) -> pl.DataFrame:
    """query and pin_id of the labelled pairs of one part of the sample."""
    return _of_part(known, number).filter(pl.col("reason").is_null()).select(PAIR).collect()


def new_rows(rows: pl.DataFrame, known: Path, number: int) -> pl.DataFrame:
    """The rows of one part of the sample, without those that failed as their pair did before."""
    before = _of_part(known, number).filter(pl.col("reason").is_not_null()).select(*PAIR, *_FAILED).collect()
    return rows.join(before, on=[*PAIR, *_FAILED], how="anti", maintain_order="left")


def _of_part(known: Path, number: int) -> pl.LazyFrame:
    return pl.scan_parquet(known).filter(pl.col("part") == number)


def _filled(folder: Path) -> Sequence[Path]:
    """The table's parts that have rows."""
    return [file for file in sorted(folder.glob("*.parquet")) if pq.ParquetFile(file).metadata.num_rows]
