"""The pairs that a teacher labelled, on their way to the student: sorted by the engine, joined a piece at a time.

Reads parts of soft_label; writes a folder of pieces (query, pin_id, event_timestamp, probabilities, stratum), by query
and pin, and `pieces.json` last. However many there are, the engine keeps within its bounds of memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import parts
from enrich.backends import BOUNDED, DuckDBBackend
from enrich.live_pins import deleted_pins
from enrich.workspace import Workspace
from relevance import stages
from relevance.labelling.files import frames, write_parquet
from relevance.labelling.worker import NO_TEXT
from relevance.learning.pieces import ROWS_A_PIECE, Pieces
from relevance.training_frame import TEACHER, judged_pairs

_COLUMNS = ("query", "pin_id", "event_timestamp", "probabilities", "stratum")
_PAIR = ["query", "pin_id"]
_RECORD = "pieces.json"


@dataclass(frozen=True, slots=True)
class SoftPairs:
    """One teacher's labels; those of pins deleted since, and of pairs judged since, are left out."""

    workspace: Workspace
    folder: Path  # of the table soft_label
    producer: str

    def scan(self) -> pl.LazyFrame:
        """Lazily, in no order."""
        return self._rows(pl.col("probabilities").is_not_null()).select(_COLUMNS)

    def _rows(self, chosen: pl.Expr) -> pl.LazyFrame:
        labels = parts.scan(self.folder).filter(pl.col("producer") == self.producer, chosen)
        there = labels.join(deleted_pins(self.workspace), on="pin_id", how="anti")
        return there.join(self._judged().lazy(), on=_PAIR, how="anti")

    def _judged(self) -> pl.DataFrame:
        """The pairs that people's labels speak for."""
        return judged_pairs(self.workspace).select(_PAIR)

    @property
    def rows(self) -> int:
        return int(self.scan().select(pl.len()).collect(engine="streaming").item())

    @property
    def asked(self) -> bool:
        """Whether the teacher was asked about any of them, whatever it said: a pair without a text it is not."""
        spoken = self._rows(pl.col("reason").ne_missing(pl.lit(NO_TEXT)))
        return bool(spoken.select(pl.len()).collect(engine="streaming").item())

    def of_queries(self, queries: frozenset[str]) -> int:
        """Rows of these queries."""
        found = self.scan().filter(pl.col("query").is_in(sorted(queries))).select(pl.len())
        return int(found.collect(engine="streaming").item())

    @property
    def queries(self) -> frozenset[str]:
        return frozenset(self.scan().select("query").unique().collect(engine="streaming")["query"])

    @property
    def made_from(self) -> str:
        """A fingerprint, by the labels' files: cheap however many there are."""
        files = sorted((file.name, file.stat().st_size) for file in self.folder.glob("*.parquet"))
        return stages.fingerprint(
            self.producer, files, deleted_pins(self.workspace).collect()["pin_id"].sort().to_list()
        )

    def pieces(self, into: Path, join: Callable[[pl.DataFrame], pl.DataFrame], rows: int = ROWS_A_PIECE) -> Pieces:
        """In pieces of so many rows, each joined by `join` when it is asked for; what is in folder `into` stays."""
        if not _whole(into):
            into.mkdir(parents=True, exist_ok=True)
            self._write(into, rows)

        def frame(number: int) -> pl.DataFrame:
            return join(pl.read_parquet(_piece(into, number)).with_columns(label_source=pl.lit(TEACHER)))

        return Pieces(int(json.loads((into / _RECORD).read_text())), frame)

    def _write(self, into: Path, rows: int) -> None:
        engine = DuckDBBackend(into / ".spill", BOUNDED).connection
        labels: ir.Table = engine.read_parquet(
            [str(file) for file in sorted(self.folder.glob("*.parquet"))], hive_partitioning=False
        )
        labels = labels.filter(labels.producer == self.producer, labels.probabilities.notnull()).select(_COLUMNS)
        gone = ibis.memtable(
            deleted_pins(self.workspace).collect().to_dict(as_series=False), schema={"pin_id": "string"}
        )
        judged = ibis.memtable(self._judged().to_arrow())
        there = labels.anti_join(gone, "pin_id").anti_join(judged, _PAIR).order_by(*_PAIR)
        count = 0
        for number, some in enumerate(frames(there, rows, into / "sorted.tmp")):
            write_parquet(_piece(into, number), some)
            count = number + 1
        engine.disconnect()
        parts.write_text(into / _RECORD, f"{count}\n")


def _whole(folder: Path) -> bool:
    """Whether the record is there, and every piece that it counts."""
    record = folder / _RECORD
    return record.is_file() and all(_piece(folder, number).is_file() for number in range(int(record.read_text())))


def _piece(folder: Path, number: int) -> Path:
    return folder / f"piece-{number:05d}.parquet"
