"""Asks the teacher about unlabelled pairs and keeps its answers: the soft labels that the student learns from.

Reads a sample of pairs (soft_pairs.py) and their texts; appends to the table soft_label (`relevance label`), or to
another folder of that table, such as a fold's. A pair is labelled once by a teacher: what a killed run has written is
not asked again. A pair whose pin has no text gets a row without probabilities, and the reason "no-text".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

import enrich
from enrich import parts
from enrich.errors import BadInput
from enrich.job import JobReport, input_hash
from enrich.progress import progress
from enrich.tables import SOFT_LABEL
from enrich.workspace import Workspace
from relevance.soft_pairs import SCHEMA
from relevance.teacher import Teacher
from relevance.text import PinText, pin_texts_from_frame, plain_text

NO_TEXT = "no-text"
_PAIR = ["query", "pin_id"]

Texts = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class LabelSettings:
    pairs_a_frame: int = 20_000  # whose texts are joined at once
    pairs_a_part: int = 4_000  # scored and written at once: what a kill can cost

    def __post_init__(self) -> None:
        if self.pairs_a_frame < 1 or self.pairs_a_part < 1:
            raise BadInput(f"expected batches of 1 or more, found {self.pairs_a_frame} and {self.pairs_a_part}")


def label(
    workspace: Workspace,
    teacher: Teacher,
    pairs: pl.DataFrame,
    texts: Texts,
    settings: LabelSettings | None = None,
    folder: Path | None = None,
) -> JobReport:
    """Label the pairs (query, pin_id, event_timestamp, stratum, …) that this teacher has not labelled yet.

    `texts` gives a batch of pairs its teacher_v1 columns, in the same order. `folder` is the table's folder where it is
    not the workspace's own. Raises BadInput when a column is missing or the frame of texts is not the batch's.
    """
    chosen = settings or LabelSettings()
    into = folder or workspace.folder(SOFT_LABEL)
    parts.create(into, SOFT_LABEL)
    todo = _unlabelled(pairs, into, teacher.producer)
    made, failed = 0, Counter[str]()
    with progress(todo.height, "label", unit="pair") as bar:
        for batch in todo.iter_slices(chosen.pairs_a_frame):
            frame = _with_texts(batch, texts)
            for part in frame.iter_slices(chosen.pairs_a_part):
                rows = _labelled(part, teacher)
                parts.append(into, SOFT_LABEL, rows.to_arrow())
                failed.update(rows["reason"].drop_nulls().to_list())
                made += rows["reason"].null_count()
                bar.update(part.height)
    return JobReport(SOFT_LABEL.name, pairs.height - todo.height, made, failed)


def _unlabelled(pairs: pl.DataFrame, folder: Path, producer: str) -> pl.DataFrame:
    missing = [name for name in (*_PAIR, "event_timestamp", "stratum") if name not in pairs.columns]
    if missing:
        raise BadInput(f"expected pairs with {', '.join(SCHEMA)}, found no {', '.join(missing)}; sample them anew")
    done = parts.scan(folder).filter(pl.col("producer") == producer).select(_PAIR)
    distinct = pairs.lazy().unique(_PAIR, keep="first", maintain_order=True)
    return distinct.join(done, on=_PAIR, how="anti", maintain_order="left").collect()


def _with_texts(batch: pl.DataFrame, texts: Texts) -> pl.DataFrame:
    frame = texts(batch)
    if not frame.select(_PAIR).equals(batch.select(_PAIR)):
        raise BadInput(
            f"expected the texts of {batch.height} pairs in their order, found {frame.height} rows that differ; build "
            "the frame with training_frame(workspace, pairs, 'teacher_v1')"
        )
    return frame


def _labelled(pairs: pl.DataFrame, teacher: Teacher) -> pl.DataFrame:
    """The table's rows: probabilities, clocks and provenance."""
    pins = pin_texts_from_frame(pairs)
    said = np.array([plain_text(pin) != "" for pin in pins], dtype=bool)
    asked = np.flatnonzero(said)
    queries = pairs["query"].to_list()
    found = teacher.predict([queries[i] for i in asked], [pins[i] for i in asked])
    answers: list[list[float] | None] = [None] * pairs.height
    for place, row in zip(asked, found.tolist(), strict=True):
        answers[place] = row
    now = datetime.now(UTC)
    return pairs.select(
        *_PAIR,
        "stratum",
        "event_timestamp",
        probabilities=pl.Series(answers, dtype=pl.List(pl.Float32)),
        created_timestamp=pl.lit(now).cast(pl.Datetime("us", "UTC")),
        written_at=pl.lit(now).cast(pl.Datetime("us", "UTC")),
        backfilled=pl.lit(False),
        producer=pl.lit(teacher.producer),
        code_version=pl.lit(enrich.__version__),
        input_hash=_hashes(queries, pins),
        reason=pl.when(pl.Series(said)).then(None).otherwise(pl.lit(NO_TEXT)),
    ).select(SOFT_LABEL.schema.names)


def _hashes(queries: Sequence[str], pins: Sequence[PinText]) -> pl.Series:
    return pl.Series(
        [input_hash(query, plain_text(pin)) for query, pin in zip(queries, pins, strict=True)], dtype=pl.String
    )
