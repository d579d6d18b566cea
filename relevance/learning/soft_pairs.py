"""The pairs that a teacher labelled, on their way to the student: sorted by the engine, joined a piece at a time.

Reads a sample and parts of soft_label; writes what was said of the sample's pairs (answers-TEACHER.parquet, beside it),
and a folder of pieces (query, pin_id, event_timestamp, probabilities, stratum), by query and pin, `pieces.json` last.
However many there are, the engine keeps within its bounds of memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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
from relevance.labelling.log_pairs import SCHEMA
from relevance.labelling.sample import SoftSample
from relevance.labelling.worker import NO_TEXT
from relevance.learning.pieces import ROWS_A_PIECE, Pieces
from relevance.training_frame import TEACHER, judged_pairs

_COLUMNS = ("query", "pin_id", "event_timestamp", "probabilities", "stratum")
_PAIR = ["query", "pin_id"]
_RECORD = "pieces.json"


@dataclass(frozen=True)
class SoftPairs:
    """What one teacher said of a sample's pairs; those of pins deleted since, and pairs judged since, are left out.

    Labels of an earlier sample's pairs are not among them: a sample is of the size, and within the caps, that were
    asked for.
    """

    workspace: Workspace
    folder: Path  # of the table soft_label
    producer: str
    sample: SoftSample

    def scan(self) -> pl.LazyFrame:
        """The labels, lazily, in no order."""
        return self._answers.filter(pl.col("probabilities").is_not_null()).select(_COLUMNS)

    @property
    def _answers(self) -> pl.LazyFrame:
        return pl.scan_parquet(self._joined)

    @cached_property
    def _joined(self) -> Path:
        """The file of the labels, and of the reasons where there is none."""
        files = [str(part.path) for part in self.sample.parts]
        path = self.sample.folder / f"answers-{self.producer.rpartition('@')[2]}.parquet"
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        engine = DuckDBBackend(self.sample.folder / ".spill", BOUNDED).connection
        said: ir.Table = engine.read_parquet(
            [str(file) for file in sorted(self.folder.glob("*.parquet"))], hive_partitioning=False
        )
        said = said.filter(said.producer == self.producer).select(*_COLUMNS, "reason")
        gone = ibis.memtable(
            deleted_pins(self.workspace).collect().to_dict(as_series=False), schema={"pin_id": "string"}
        )
        judged = ibis.memtable(judged_pairs(self.workspace).select(_PAIR).to_arrow())
        nothing = ibis.memtable(SCHEMA.to_frame())
        drawn: ir.Table = engine.read_parquet(files, hive_partitioning=False) if files else nothing
        there = said.semi_join(drawn, _PAIR).anti_join(gone, "pin_id").anti_join(judged, _PAIR)
        engine.to_parquet(there, aside)
        engine.disconnect()
        aside.replace(path)
        return path

    @property
    def rows(self) -> int:
        return _count(self.scan())

    @property
    def answered(self) -> bool:
        """Whether anything was said of any of them, be it that there is no text."""
        return bool(_count(self._answers))

    @property
    def asked(self) -> bool:
        """Whether the teacher was asked about any of them, whatever it said: a pair without a text it is not."""
        return bool(_count(self._answers.filter(pl.col("reason").ne_missing(pl.lit(NO_TEXT)))))

    def of_queries(self, queries: frozenset[str]) -> int:
        """Rows of these queries."""
        return _count(self.scan().filter(pl.col("query").is_in(sorted(queries))))

    @property
    def queries(self) -> frozenset[str]:
        return frozenset(self.scan().select("query").unique().collect(engine="streaming")["query"])

    @property
    def made_from(self) -> str:
        """A fingerprint, by the sample and the labels' files: cheap however many there are."""
        files = sorted((file.name, file.stat().st_size) for file in self.folder.glob("*.parquet"))
        gone = deleted_pins(self.workspace).collect()["pin_id"].sort().to_list()
        return stages.fingerprint(self.producer, files, gone, self.sample.made_from)

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
        answers: ir.Table = engine.read_parquet(self._joined, hive_partitioning=False)
        labels = answers.filter(answers.probabilities.notnull()).select(_COLUMNS).order_by(*_PAIR)
        count = 0
        for number, some in enumerate(frames(labels, rows, into / "sorted.tmp")):
            write_parquet(_piece(into, number), some)
            count = number + 1
        engine.disconnect()
        parts.write_text(into / _RECORD, f"{count}\n")


def _count(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect(engine="streaming").item())


def _whole(folder: Path) -> bool:
    """Whether the record is there, and every piece that it counts."""
    record = folder / _RECORD
    return record.is_file() and all(_piece(folder, number).is_file() for number in range(int(record.read_text())))


def _piece(folder: Path, number: int) -> Path:
    return folder / f"piece-{number:05d}.parquet"
