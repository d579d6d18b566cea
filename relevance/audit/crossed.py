"""What students that never saw a query say of its judged pairs, of which all other models were taught.

Reads the judged pairs' features; writes FOLD/predictions/crossed (made anew where a label or a feature changed). The
training queries are dealt into parts, and a student of human labels is taught on the others for each: seconds, where
teachers would take hours.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl

from enrich.job import input_hash
from relevance import stages
from relevance.framing.judged import of_queries
from relevance.learning.inputs import student_inputs
from relevance.learning.training import train_student
from relevance.pipeline import Pipeline
from relevance.plan import Fold

PARTS = 4  # of the queries; each student learns from three quarters of them
_FILE = "crossed.parquet"


def crossed(pipeline: Pipeline, fold: Fold) -> pl.DataFrame:
    """query, pin_id, lang, level and probabilities (five) of the judged pairs whose queries the fold does not test.

    Empty where there are fewer queries than parts.
    """
    queries = sorted(fold.split.train | fold.split.dev, key=lambda query: input_hash("crossed", query))
    if len(queries) < PARTS:
        return pl.DataFrame()
    rows = of_queries(pipeline.judged.features, frozenset(queries))
    artefact, settings = fold.folder / "predictions" / "crossed", pipeline.settings.student

    def work(out: Path) -> None:
        parts = [frozenset(queries[place::PARTS]) for place in range(PARTS)]
        pl.concat([_said(pipeline, rows, part) for part in parts]).write_parquet(out / _FILE)

    stages.make(artefact, stages.fingerprint(PARTS, rows, settings), work)
    return pl.read_parquet(artefact / _FILE)


def _said(pipeline: Pipeline, rows: pl.DataFrame, asked: frozenset[str]) -> pl.DataFrame:
    """Of the pairs of the queries `asked`, by a student that was taught on all other rows."""
    inside = pl.col("query").is_in(sorted(asked))
    others, pairs = rows.filter(~inside), rows.filter(inside)
    with tempfile.TemporaryDirectory() as folder:
        student = train_student(
            others, others.clear(), pipeline.settings.student, Path(folder) / "student", pipeline.encoder
        )
    said = student.predict(student_inputs(pairs, pipeline.encoder).features(student.statistics))
    return pairs.select("query", "pin_id", "lang", "level").with_columns(
        probabilities=pl.Series(said.astype(float).tolist(), dtype=pl.List(pl.Float64))
    )
