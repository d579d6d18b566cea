"""What every model says of the judged pairs that it was not taught: one frame a model, over all tested folds.

Reads each fold's models and its held-out pairs; writes FOLD/predictions/MODEL, so that `relevance evaluate` asks a
model again only when it, or a pair, changed. The baselines (baselines/baselines.py) are made when they are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.errors import BadInput
from enrich.text_encoder import TextEncoder
from relevance import query_encoder, stages
from relevance.baselines.baselines import Baseline, Baselines
from relevance.baselines.tuned_bi_encoder import TunedSettings
from relevance.framing.judged import TEACHER_SERVICE, Judged, of_queries
from relevance.judging.gold import Predictions
from relevance.learning.inputs import student_inputs
from relevance.metrics import expected_level
from relevance.plan import Fold
from relevance.student import Student
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import read_record
from relevance.text import pin_texts_from_frame
from relevance.training_frame import refuse_other_features

_FILE = "predictions.parquet"
_KEPT = ("query", "pin_id", "level", "lang")

Probabilities = npt.NDArray[np.float32]
Answers = tuple[Probabilities, npt.NDArray[np.floating]]  # probabilities [n, 5] and what the model ranks by [n]


class Predictor:
    """Asks models about the folds' held-out pairs; baselines are made where their answers are not kept already."""

    def __init__(self, judged: Judged, encoder: TextEncoder, tuned: TunedSettings | None = None) -> None:
        self._judged = judged
        self._encoder = encoder
        self._baselines = Baselines(judged, encoder, tuned)

    def predictions(self, model: str, folds: Sequence[Fold]) -> Predictions:
        """One model's answers for the test pairs of every tested fold.

        Raises BadInput when a fold has no such model, a teacher was taught with other features, or no fold is tested.
        """
        tested = [fold for fold in folds if fold.tested]
        if not tested:
            raise BadInput("expected a fold with held-out queries, found none; plan with --folds 2 or more")
        frames = [self._fold(model, fold).with_columns(fold=pl.lit(fold.name)) for fold in tested]
        return Predictions(model, pl.concat(frames))

    def _fold(self, model: str, fold: Fold) -> pl.DataFrame:
        pairs = of_queries(self._judged.pairs, fold.split.test)
        made_here = self._baseline(Baseline(model), fold) if model in list(Baseline) else None
        answer, made_from = made_here or self._trained(model, fold)
        artefact = fold.folder / "predictions" / model

        def work(out: Path) -> None:
            probabilities, scores = answer(fold.split.test)
            rows = pairs.select(_KEPT).with_columns(
                probabilities=pl.Series(list(probabilities), dtype=pl.List(pl.Float32)),
                score=pl.Series(scores, dtype=pl.Float32),
            )
            rows.write_parquet(out / _FILE)

        asked = self._judged.features if (fold.folder / model / "student.json").is_file() else self._judged.texts
        stages.make(artefact, stages.fingerprint(made_from, of_queries(asked, fold.split.test)), work)
        return pl.read_parquet(artefact / _FILE)

    def _trained(self, model: str, fold: Fold) -> tuple[Callable[[frozenset[str]], Answers], str]:
        folder = fold.folder / model
        made_from = stages.made_from_of(folder)
        if made_from is None:
            raise BadInput(f"expected a model at {folder}, found none; train it first, or leave it out of --models")
        _refuse_taught(folder, fold.split.test)
        if (folder / "teacher.json").is_file():
            taught_with = read_record(folder).feature_service
            refuse_other_features(self._judged.workspace, TEACHER_SERVICE, taught_with, str(folder))
            return lambda queries: self._ask_teacher(folder, queries), made_from
        return lambda queries: self._ask_student(folder, queries), made_from

    def _ask_teacher(self, folder: Path, queries: frozenset[str]) -> Answers:
        frame = of_queries(self._judged.texts, queries)
        probabilities = Teacher.load(folder).predict(frame["query"].to_list(), pin_texts_from_frame(frame))
        return probabilities, expected_level(probabilities)

    def _ask_student(self, folder: Path, queries: frozenset[str]) -> Answers:
        student = Student.load(folder)
        query_encoder.refuse_other(student, self._encoder.producer)
        inputs = student_inputs(of_queries(self._judged.features, queries), self._encoder)
        probabilities = student.predict(inputs.features(student.statistics))
        return probabilities, expected_level(probabilities)

    def _baseline(self, baseline: Baseline, fold: Fold) -> tuple[Callable[[frozenset[str]], Answers], str]:
        def ask(queries: frozenset[str]) -> Answers:
            frame = of_queries(self._judged.texts, queries)
            asked, pins = frame["query"].to_list(), pin_texts_from_frame(frame)
            fitted = self._baselines.fit(baseline, fold)
            return fitted.predict(asked, pins), fitted.score(asked, pins)

        return ask, self._baselines.made_from(baseline, fold)


def _refuse_taught(folder: Path, asked: frozenset[str]) -> None:
    """A model is not asked about what it learned from: split, seed or judgments may have changed since its training."""
    taught = stages.taught_of(folder)
    known = asked if taught is None else asked & taught
    if known:
        what = "says nothing of its queries" if taught is None else f"learned from {len(known):,} of them"
        raise BadInput(
            f"expected a model that never saw the {len(asked):,} held-out queries, found {folder}, which {what}; train "
            "it again with these --seed, --folds and judgments (`relevance run`), or leave it out of --models"
        )
