"""The sample of pairs to label, on disk: a stage's artefact that labelling streams and a resumed run reads again.

Reads what log_pairs.py and negatives.py draw; writes, for `relevance label`, FOLD/soft_pairs:

part-00000.parquet …    the pairs (log_pairs.SCHEMA): all of a pin's are neighbours, so that its texts are joined and
                        tokenised once; pins stand in an order of hashes, so that any part is a fair sample of them
judged.parquet          which judged pairs the log has, in the stratum of their like: what drift.py compares
sample.json             rows of each part and of each stratum
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import log_files, log_in_place, parts, tables
from enrich.backends import BOUNDED, BackendLimits
from enrich.history import History
from enrich.progress import progress
from enrich.tables import JUDGMENT
from enrich.workspace import Workspace
from relevance import stages
from relevance.labelling.files import frames, write_parquet
from relevance.labelling.log_pairs import (
    PAIR,
    SCHEMA,
    LogSample,
    Queries,
    SampleSettings,
    first_by_order,
    first_of_each,
    memtable,
    order_of,
    sample_log,
)
from relevance.labelling.negatives import Search, write_negatives

SAMPLE_VERSION = 1  # of the design: another one is another sample
_LEAST_ROWS, _MOST_ROWS, _PARTS = 4_000, 50_000, 2_000  # of a part, and parts while one has less than the most
_RECORD, _JUDGED = "sample.json", "judged.parquet"
_READ = (tables.ENGAGEMENTS, tables.PINS, tables.DELETIONS, tables.JUDGMENT, tables.QUERY_FEATURES)


class SamplePart(NamedTuple):
    """A piece of the work: read, labelled and written at once."""

    number: int
    path: Path
    rows: int


@dataclass(frozen=True)
class SoftSample:
    """A finished sample."""

    folder: Path

    @cached_property
    def made_from(self) -> str:
        """The fingerprint of what it was drawn from."""
        return stages.made_from_of(self.folder) or ""

    @cached_property
    def parts(self) -> list[SamplePart]:
        return [SamplePart(i, part_path(self.folder, i), rows) for i, rows in enumerate(self._record.parts)]

    @property
    def pairs(self) -> int:
        return sum(part.rows for part in self.parts)

    def judged(self) -> pl.DataFrame:
        """query, pin_id, stratum of the judged pairs that are in the log; none where no sample was drawn."""
        path = self.folder / _JUDGED
        if not path.is_file():
            return pl.DataFrame(schema=dict.fromkeys((*PAIR, "stratum"), pl.String))
        return pl.read_parquet(path)

    def scan(self) -> pl.LazyFrame:
        """Every pair, lazily."""
        paths = [part.path for part in self.parts]
        return pl.scan_parquet(paths) if paths else SCHEMA.to_frame().lazy()

    @cached_property
    def _record(self) -> _Record:
        return _Record(**json.loads((self.folder / _RECORD).read_text()))


class _Record(NamedTuple):
    parts: list[int]  # rows of each
    strata: dict[str, int]  # pairs of each


def part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.parquet"


def inputs_of(workspace: Workspace) -> str:
    """A fingerprint of the tables that a sample is drawn from, by their files: cheap however long they are.

    Those of a log that was left in place are among them. Raises BadInput where it has none.
    """
    files = [file for table in _READ for file in sorted(workspace.folder(table).glob("*.parquet"))]
    here = [(str(f.relative_to(workspace.root)), *_state(f)) for f in files]
    log = log_in_place.load(workspace.root)
    elsewhere: list[object] = [] if log is None else [log, *map(tuple, log_files.in_place(log))]
    return stages.fingerprint(*here, *elsewhere)


def _state(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def write_sample(
    workspace: Workspace,
    queries: Queries,
    search: Search,
    settings: SampleSettings,
    folder: Path,
    limits: BackendLimits | None = None,
) -> None:
    """Draw the sample by the design of log_pairs.py into `folder`; a killed draw goes on with the same arguments.

    A log pair's time is its last event's; a negative's is its query's last event, or, of a query that the log lacks,
    the latest judgment's. Raises BadInput when there is neither a log nor a judged training query to sample for.
    """
    judged = parts.latest(workspace.folder(JUDGMENT), JUDGMENT).filter(pl.col("level").is_not_null())
    history = History(workspace, limits or BOUNDED)
    log = sample_log(history, judged, queries, settings)
    negatives = write_negatives(history, log, judged, queries, search, settings, folder)
    of_log = log.pairs.semi_join(memtable(judged.select(PAIR).to_dict(as_series=False)), PAIR)
    write_parquet(folder / _JUDGED, of_log.select(*PAIR, "stratum").order_by(PAIR).to_polars())
    together = _together(history, log, negatives, settings)
    write_parts(frames(together, _rows_a_part(settings.pairs), folder / "pairs.tmp"), folder)
    for file in negatives:
        file.unlink()


def _rows_a_part(pairs: int) -> int:
    return max(_LEAST_ROWS, min(_MOST_ROWS, pairs // _PARTS))


def _together(history: History, log: LogSample, files: Sequence[Path], settings: SampleSettings) -> ir.Table:
    """The log's pairs, then the negatives, within the caps; each pin's beside each other."""
    found = history.read(files).semi_join(history.pins(), "pin_id")
    found = found.mutate(order=order_of(settings.seed, found.query, found.pin_id))
    room = settings.pairs - int(log.drawn.count().execute())
    one = found.mutate(own=found.stratum).drop("stratum").mutate(stratum=ibis.literal(""))
    negatives = first_by_order(one, {"": room}).drop("stratum").rename(stratum="own")
    columns = [*SCHEMA, "order"]
    both = log.drawn.select(columns).mutate(rank=ibis.literal(0)).union(
        negatives.select(columns).mutate(rank=ibis.literal(1))
    )  # fmt: skip
    of_query = first_of_each(both, "query", ["rank", "order", "pin_id"], settings.per_query)
    capped = first_of_each(of_query, "pin_id", ["rank", "order", "query"], settings.per_pin)
    placed = capped.mutate(place=order_of(settings.seed, capped.pin_id))
    return placed.order_by("place", *reversed(PAIR)).select(list(SCHEMA))


def write_parts(pieces: Iterable[pl.DataFrame], folder: Path) -> None:
    """Write each piece (SCHEMA) as a part of the sample, and their record last."""
    sizes: list[int] = []
    strata: Counter[str] = Counter()
    with progress(None, "sample", unit="pair") as bar:
        for number, some in enumerate(pieces):
            write_parquet(part_path(folder, number), some.cast(SCHEMA))
            strata.update(dict(some["stratum"].value_counts().iter_rows()))
            sizes.append(some.height)
            bar.update(some.height)
    record = _Record(sizes, dict(sorted(strata.items())))
    parts.write_text(folder / _RECORD, json.dumps(record._asdict()) + "\n")
