"""Labels parts of the sample with a teacher: what `relevance label` does of each, here or on Ray (on_ray.py).

Reads a part's pairs and their texts; writes the part of the table soft_label that is named for it, whole or not at all.
A pair whose pin has no text, or for which the teacher gives no distribution, gets a row without probabilities, and the
reason; where it failed in that way before, it gets none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

import enrich
from enrich import parts
from enrich.engine import Engine
from enrich.errors import BadInput
from enrich.job import input_hash
from enrich.tables import LEVELS, SOFT_LABEL
from relevance.labelling.labelled_pairs import known_of, new_rows
from relevance.labelling.log_pairs import PAIR
from relevance.labelling.sample import SamplePart
from relevance.text import PinText, pin_texts_from_frame, plain_text

NO_TEXT, NO_DISTRIBUTION = "no-text", "no-distribution"
_TASKS_A_WORKER = 4  # of several workers; where there are parts enough
SUM_TOLERANCE = 0.01  # by which five probabilities may miss 1

Texts = Callable[[pl.DataFrame], pl.DataFrame]


class SoftTeacher(Protocol):
    """What labels: `Teacher`, or in a benchmark what stands in for it."""

    @property
    def producer(self) -> str:
        """The name under which its labels are stored."""

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Probabilities [n, 5]."""


@dataclass(frozen=True, slots=True)
class LabelSettings:
    pairs_a_frame: int = 20_000  # whose texts are joined at once; a worker is given no more at a time
    engine: Engine = Engine.LOCAL  # where pairs are labelled; on Ray each worker has a teacher of its own
    workers: int | None = None  # on Ray; None: one a GPU, or, where the cluster has none, one a core
    gpus: float | None = None  # of each worker on Ray; None: 1 where the cluster has any, else 0

    def __post_init__(self) -> None:
        if self.pairs_a_frame < 1:
            raise BadInput(f"expected batches of 1 pair or more, found {self.pairs_a_frame}")
        if (self.workers is not None and self.workers < 1) or (self.gpus is not None and self.gpus < 0):
            raise BadInput(f"expected 1 worker or more of 0 GPUs or more, found {self.workers} and {self.gpus}")


@dataclass(frozen=True, slots=True)
class Labelling:
    """What a worker must know; it can be pickled where its functions can."""

    load: Callable[[], SoftTeacher]
    texts: Texts  # gives a batch of pairs its teacher_v1 columns, in the same order
    into: Path  # folder of the table soft_label
    name: str  # of this teacher's labels of this sample; begins the names of their parts
    known: Path | None  # what this teacher said of pairs of the sample before (labelling/labelled_pairs.py)


class Done(NamedTuple):
    """What became of some parts."""

    pairs: int
    made: int
    failed: Counter[str]


class Worker:
    """Holds a teacher and labels parts of the sample."""

    def __init__(self, job: Labelling) -> None:
        self._job = job
        self._teacher = job.load()

    def label(self, wanted: Sequence[SamplePart]) -> Done:
        """Join the texts of these parts at once; score and write them one by one."""
        return self.score(with_texts(self._job, wanted))

    def score(self, frames: Sequence[tuple[SamplePart, pl.DataFrame]]) -> Done:
        """Label the frames (`with_texts`) and write each as its part of the table."""
        pairs, made, failed = 0, 0, Counter[str]()
        for part, frame in frames:
            rows, known = _labelled(frame, self._teacher), self._job.known
            new = new_rows(rows, known, part.number) if known else rows
            parts.append(self._job.into, SOFT_LABEL, new.to_arrow(), part_name(self._job.name, part))
            failed.update(rows["reason"].drop_nulls().to_list())
            made += rows["reason"].null_count()
            pairs += part.rows
        return Done(pairs, made, failed)


def tasks_of(todo: Sequence[SamplePart], pairs: int, workers: int = 1) -> list[list[SamplePart]]:
    """The parts in their order, so many together that they have `pairs` pairs at most, or one.

    Several `workers` have fewer in a task, so that each gets several and all end at nearly the same time.
    """
    if workers > 1:
        pairs = min(pairs, -(-sum(part.rows for part in todo) // (workers * _TASKS_A_WORKER)))
    tasks: list[list[SamplePart]] = []
    for part in todo:
        if not tasks or sum(one.rows for one in tasks[-1]) + part.rows > pairs:
            tasks.append([])
        tasks[-1].append(part)
    return tasks


def with_texts(job: Labelling, wanted: Sequence[SamplePart]) -> list[tuple[SamplePart, pl.DataFrame]]:
    """The unlabelled pairs of each part with their texts, joined for all of them at once."""
    unlabelled = [_unlabelled(job, part) for part in wanted]
    batch = pl.concat(unlabelled)
    frame = job.texts(batch) if batch.height else batch
    if not frame.select(PAIR).equals(batch.select(PAIR)):
        raise BadInput(
            f"expected the texts of {batch.height} pairs in their order, found {frame.height} rows that differ; build "
            "the frame with training_frame(workspace, pairs, 'teacher_v1')"
        )
    ends = np.cumsum([pairs.height for pairs in unlabelled]).tolist()
    starts = [0, *ends[:-1]]
    return [(part, frame[start:end]) for part, start, end in zip(wanted, starts, ends, strict=True)]


def _unlabelled(job: Labelling, part: SamplePart) -> pl.DataFrame:
    pairs = pl.read_parquet(part.path)
    if job.known is None:
        return pairs
    return pairs.join(known_of(job.known, part.number), on=PAIR, how="anti", maintain_order="left")


def _labelled(pairs: pl.DataFrame, teacher: SoftTeacher) -> pl.DataFrame:
    """The table's rows: probabilities, clocks and provenance."""
    pins = pin_texts_from_frame(pairs)
    said_of = [plain_text(pin) for pin in pins]
    said = np.array([text != "" for text in said_of], dtype=bool)
    asked = np.flatnonzero(said)
    queries = pairs["query"].to_list()
    found = teacher.predict([queries[i] for i in asked], [pins[i] for i in asked])
    sound = _distributions(found)
    answers: list[list[float] | None] = [None] * pairs.height
    for place, row in zip(asked[sound], found[sound].tolist(), strict=True):
        answers[place] = row
    answered = pl.Series([answer is not None for answer in answers], dtype=pl.Boolean)
    why = pl.when(pl.Series(said, dtype=pl.Boolean)).then(pl.lit(NO_DISTRIBUTION)).otherwise(pl.lit(NO_TEXT))
    now = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
    return pairs.select(
        *PAIR,
        "stratum",
        "event_timestamp",
        probabilities=pl.Series(answers, dtype=pl.List(pl.Float32)),
        created_timestamp=now,
        written_at=now,
        backfilled=pl.lit(False),
        producer=pl.lit(teacher.producer),
        code_version=pl.lit(enrich.__version__),
        input_hash=pl.Series([input_hash(*both) for both in zip(queries, said_of, strict=True)], dtype=pl.String),
        reason=pl.when(~answered).then(why),
    ).select(SOFT_LABEL.schema.names)


def _distributions(found: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which rows are probabilities: finite, none below 0, sum 1."""
    rows = np.asarray(found, np.float64).reshape(-1, len(LEVELS))
    with np.errstate(invalid="ignore"):
        sound: npt.NDArray[np.bool_] = (rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) <= SUM_TOLERANCE)
    return sound


def part_name(run: str, part: SamplePart) -> str:
    """Of the part of soft_label that holds this part's labels."""
    return f"{run}-{part.number:05d}"
