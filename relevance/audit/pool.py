"""The pairs among which an audit chooses, and what each is worth: from the models' opinions and what is judged.

Reads soft labels and the students of all folds, or the two of one split (pairs that nobody judged), and what models
that never saw a judged pair's query say of it: held-out predictions, and of the queries that were taught, students
taught on the others. Writes FOLD/predictions. Pairs judged since the soft labels were made are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from enrich.errors import BadInput
from relevance import query_encoder
from relevance.audit.confident import doubts
from relevance.audit.crossed import crossed
from relevance.audit.worth import AuditSettings, Reason, divergence, entropy, rarity
from relevance.framing.judged import STUDENT_SERVICE
from relevance.judging.predictions import Predictor
from relevance.judging.segments import of_queries as query_segments
from relevance.labelling.strata import Stratum
from relevance.learning.inputs import student_inputs
from relevance.metrics import Floats
from relevance.model_names import HUMAN_STUDENT, STUDENT_MODEL, TEACHER_MODEL
from relevance.pipeline import Pipeline
from relevance.stages import made_from_of
from relevance.student import Student
from relevance.training_frame import training_frame

_PAIR = ["query", "pin_id"]
_OPINIONS = ("teacher", "student")  # columns of five probabilities, null where there are none
_COLUMNS = [*_PAIR, "lang", "level", *_OPINIONS, *(one.value for one in Reason)]
_LIST = pl.List(pl.Float64)


def pool(pipeline: Pipeline, settings: AuditSettings) -> pl.DataFrame:
    """query, pin_id, lang, level (gold, null where not judged), teacher, student and a worth for each reason.

    Raises BadInput where there is no teacher, or nothing that one could be asked about.
    """
    found = [rows for rows in (_unjudged(pipeline, settings), _tested(pipeline), _taught(pipeline)) if rows.height]
    if not found:
        raise BadInput(
            "expected soft labels or held-out predictions to choose from, found none; run `relevance run` first"
        )
    return pl.concat([rows.select(_COLUMNS) for rows in found], how="vertical")


def _unjudged(pipeline: Pipeline, settings: AuditSettings) -> pl.DataFrame:
    """Pairs that the teacher labelled, with the worth of all reasons but doubt."""
    fold = pipeline.folds[-1]
    unjudged = pipeline.soft_pairs(fold).scan().join(pipeline.judged.pairs.lazy().select(_PAIR), on=_PAIR, how="anti")
    pairs = unjudged.sort(pl.struct(_PAIR).hash(settings.seed)).head(settings.pool).collect(engine="streaming")
    if pairs.is_empty():
        return pairs
    teacher = _matrix(pairs["probabilities"])
    students = _students(pipeline, pairs)
    student = students[0] if len(students) else None
    nothing = np.zeros(pairs.height)
    return pairs.select(
        *_PAIR,
        lang=_langs(pairs["stratum"]),
        level=pl.lit(None, pl.Int64),
        teacher=pl.col("probabilities").cast(pl.List(pl.Float64)),
        student=pl.Series(student.tolist() if student is not None else [None] * pairs.height, dtype=_LIST),
    ).with_columns(
        pl.Series(Reason.UNSURE, entropy(teacher)),
        pl.Series(Reason.APART, nothing if student is None else divergence(np.stack([teacher, student]))),
        pl.Series(Reason.SPLIT, divergence(students) if len(students) > 1 else nothing),
        pl.Series(Reason.RARE, _rarity(pipeline, pairs, settings.seed)),
        pl.Series(Reason.DOUBTED, nothing),
    )


def _tested(pipeline: Pipeline) -> pl.DataFrame:
    """Judged pairs of queries that the models never saw, with the doubt of teacher and student together."""
    folds = [fold for fold in pipeline.folds if fold.tested]
    names = [
        name
        for name in (TEACHER_MODEL, STUDENT_MODEL)
        if folds and all(made_from_of(fold.folder / name) is not None for fold in folds)
    ]
    if not names:
        return pl.DataFrame()
    predictor = Predictor(pipeline.judged, pipeline.encoder)
    answers = [predictor.predictions(name, folds).rows for name in names]
    return _doubted(answers[0], {name: _matrix(one["probabilities"]) for name, one in zip(names, answers, strict=True)})


def _taught(pipeline: Pipeline) -> pl.DataFrame:
    """Judged pairs that the models learned from, with the doubt of students that did not (crossed.py).

    None where folds test every query.
    """
    tested = frozenset().union(*(fold.split.test for fold in pipeline.folds))
    if tested >= frozenset(pipeline.judged.pairs["query"]):
        return pl.DataFrame()
    rows = crossed(pipeline, pipeline.folds[-1])
    return _doubted(rows, {STUDENT_MODEL: _matrix(rows["probabilities"])}) if rows.height else rows


def _doubted(rows: pl.DataFrame, said: Mapping[str, Floats]) -> pl.DataFrame:
    """The pool's columns of judged rows, by what models [n, 5] that never saw them say."""
    pairs = rows.select(*_PAIR, "lang", pl.col("level").cast(pl.Int64))
    doubt = doubts(pairs["level"].to_numpy().astype(np.int64), np.mean(list(said.values()), axis=0))
    opinions = [
        pl.Series(column, said[name].tolist() if name in said else [None] * pairs.height, dtype=_LIST)
        for column, name in zip(_OPINIONS, (TEACHER_MODEL, STUDENT_MODEL), strict=True)
    ]
    others = [pl.lit(0.0).alias(one.value) for one in Reason if one is not Reason.DOUBTED]
    return pairs.with_columns(*opinions, *others, pl.Series(Reason.DOUBTED, doubt))


def _matrix(lists: pl.Series) -> Floats:
    return np.asarray(lists.to_list(), dtype=np.float64)


def _students(pipeline: Pipeline, pairs: pl.DataFrame) -> Floats:
    """What every student says of the pairs, [m, n, 5], the one that serves first; [0] where there is none."""
    folders = list(_student_folders(pipeline))
    if not folders:
        return np.zeros(0)
    frame = training_frame(pipeline.workspace, pairs.select(*_PAIR, "event_timestamp"), STUDENT_SERVICE)
    inputs = student_inputs(frame, pipeline.encoder)
    students = [Student.load(folder) for folder in folders]
    for student in students:
        query_encoder.refuse_other(student, pipeline.encoder.producer)
    return np.stack([one.predict(inputs.features(one.statistics)) for one in students]).astype(np.float64)


def _student_folders(pipeline: Pipeline) -> Iterator[Path]:
    for name in (STUDENT_MODEL, HUMAN_STUDENT):
        for fold in reversed(pipeline.folds):
            if made_from_of(fold.folder / name) is not None:
                yield fold.folder / name


def _rarity(pipeline: Pipeline, pairs: pl.DataFrame, seed: int) -> Floats:
    """By popularity, interest and language, as the log's pairs and the judged ones have them."""
    asked = pl.concat([pairs.select("query"), pipeline.judged.pairs.select("query")])["query"].unique()
    known = query_segments(pipeline.workspace, asked).select("query", "popularity", "interest")
    judged = pipeline.judged.pairs.select("query", "lang")
    drawn = pairs.select("query").with_columns(lang=_langs(pairs["stratum"]))
    strata = [
        rows.join(known, on="query", how="left", maintain_order="left")
        .select(
            pl.concat_str([pl.col(name).fill_null("") for name in ("popularity", "interest", "lang")], separator="/")
        )
        .to_series()
        .to_list()
        for rows in (drawn, judged)
    ]
    return rarity(strata[0], strata[1], seed)


def _langs(strata: pl.Series) -> pl.Series:
    """The language that a pair's stratum names; null where it names none."""
    found = [Stratum.of(name or "") for name in strata]
    known = [one.language if one and one.language not in ("unknown", "other") else None for one in found]
    return pl.Series("lang", known, dtype=pl.String)
