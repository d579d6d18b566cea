"""A teacher's answers beside those of sentence-transformers' CrossEncoder, on the same folds of one's own workspace.

    python -m benchmarks.teacher_quality [W] [--folds N] [--epochs 3] [--bf16] [--seed 0] [--json]

W holds what `relevance run` (or `relevance train-teacher`) made of it: with the same --folds, every model is asked
about queries that it never saw. In each fold the rival learns from the very pairs that the teacher learned from
(training queries' gold levels), all texts of a pin in one line, 128 tokens, batch size 32, in float32, as it does
unless told otherwise. Its answers are kept in FOLD/predictions/cross_encoder. Differences are paired by query, with
95 % bootstraps. Needs sentence-transformers: `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks._report import Mark, Report, finish
from benchmarks.rivals.cross_encoder import Lessons, train_cross_encoder
from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance import stages
from relevance.evaluation import Versus, evaluate
from relevance.framing.judged import Judged, of_queries
from relevance.judging.figures import Comparison, Evaluation, Measure
from relevance.judging.gold import Predictions
from relevance.judging.judge import trained_models
from relevance.judging.predictions import Predictor
from relevance.metrics import expected_level
from relevance.model_names import TEACHER_MODEL
from relevance.pipeline import Pipeline, RunSettings
from relevance.plan import Fold, PlanSettings
from relevance.text import pin_texts_from_frame, plain_text

PACKAGES = ("torch", "transformers", "sentence-transformers")
RIVAL = "cross_encoder"
MEASURES = (Measure.ACCURACY, Measure.AUROC_3, Measure.AUROC_4, Measure.AUROC_5, Measure.NDCG)


def main() -> int:
    parser = argparse.ArgumentParser(description="A teacher's quality, against sentence-transformers.")
    parser.add_argument(
        "workspace",
        metavar="W",
        nargs="?",
        type=Path,
        help="a workspace with judgments [default: data/workspace, or $CORKBOARD_WORKSPACE]",
    )
    parser.add_argument("--folds", type=int, help="as `relevance run` was told")
    parser.add_argument("--epochs", type=int, default=3, help="of the rival")
    parser.add_argument("--bf16", action="store_true", help="teach the rival in bf16, which is quicker")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    flags = parser.parse_args()
    try:
        plan = PlanSettings(folds=flags.folds, seed=flags.seed)
        pipeline = Pipeline(Workspace.open(flags.workspace), RunSettings(plan=plan))
        found = judged(pipeline, flags.epochs, flags.bf16)
    except BadInput as error:
        sys.exit(str(error))
    return finish(reported(found), flags.json)


def judged(pipeline: Pipeline, epochs: int, bf16: bool) -> Evaluation:
    """All trained models and the rival on the tested folds."""
    folds = [fold for fold in pipeline.folds if fold.tested]
    predictor = Predictor(pipeline.judged, pipeline.encoder)
    ours = [predictor.predictions(name, folds) for name in trained_models(folds)]
    seed = pipeline.settings.plan.seed
    rival = Predictions(RIVAL, pl.concat([rival_rows(pipeline.judged, fold, epochs, seed, bf16) for fold in folds]))
    others = [one.model for one in ours if not one.model.startswith("student") and one.model != TEACHER_MODEL]
    return evaluate([*ours, rival], comparisons=[Versus(TEACHER_MODEL, name) for name in [RIVAL, *others]])


def rival_rows(pairs: Judged, fold: Fold, epochs: int, seed: int, bf16: bool) -> pl.DataFrame:
    """The rival's answers for the fold's test pairs; it is trained where they are not kept already."""
    train, test = (of_queries(pairs.texts, side) for side in (fold.split.train, fold.split.test))
    kept = fold.folder / "predictions" / RIVAL

    def work(out: Path) -> None:
        ask = train_cross_encoder(Lessons(*texts_of(train), train["level"].to_list()), epochs, seed, bf16)
        answers = ask(*texts_of(test)).astype(np.float32)
        rows = test.select("query", "pin_id", "level").with_columns(
            probabilities=pl.Series(list(answers), dtype=pl.List(pl.Float32)),
            score=pl.Series(expected_level(answers), dtype=pl.Float32),
        )
        rows.write_parquet(out / "predictions.parquet")

    stages.make(kept, stages.fingerprint(train, test, epochs, seed, bf16, RIVAL), work)
    return pl.read_parquet(kept / "predictions.parquet").with_columns(fold=pl.lit(fold.name))


def texts_of(frame: pl.DataFrame) -> tuple[Sequence[str], Sequence[str]]:
    return frame["query"].to_list(), [plain_text(pin) for pin in pin_texts_from_frame(frame)]


def reported(found: Evaluation) -> Report:
    """Every model's figures, and a mark for each lead of the teacher over the rival."""
    report = Report("teacher_quality", "accuracy", PACKAGES)
    report.figures["pairs"] = f"{found.pairs:,} of {found.queries:,} queries, {found.folds} fold(s)"
    for model in found.models:
        report.figures[model.model] = figures_told(found, model.model)
    for one in found.comparisons:
        if one.measure in MEASURES:
            name, told = difference_told(one)
            report.figures[name] = told
            if one.rival == RIVAL:
                report.marks.append(Mark(f"teacher - {RIVAL}, {one.measure.value}", one.difference.value, ">= 0"))
    report.compare(accuracy_of(found, TEACHER_MODEL), accuracy_of(found, RIVAL))
    return report


def figures_told(found: Evaluation, model: str) -> str:
    """A model's estimates of those MEASURES that it has."""
    estimates = {figure.measure: figure.estimate.value for figure in found.model(model).figures}
    return ", ".join(f"{measure.value} {estimates[measure]:.3f}" for measure in MEASURES if measure in estimates)


def accuracy_of(found: Evaluation, model: str) -> float:
    return next(one.estimate.value for one in found.model(model).figures if one.measure is Measure.ACCURACY)


def difference_told(one: Comparison) -> tuple[str, str]:
    """What was compared, and the difference with its interval."""
    name = f"{one.model} - {one.rival}, {one.measure.value}"
    return name, f"{one.difference.value:+.4f} [{one.difference.low:+.4f}, {one.difference.high:+.4f}]"


if __name__ == "__main__":
    sys.exit(main())
