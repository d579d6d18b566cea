"""What a text field is worth to the teacher: trained with it and without it, on the same folds of one's own workspace.

    python -m benchmarks.field_worth [W] [--fields boards,queries] [--folds 3] [--seed 0] [--json]

W holds an enriched catalogue with judgments (`enrich run`). In each fold one teacher learns from all fields and one
from all but each of `--fields`; all are asked about queries that they never saw. Differences are paired by query, with
95 % bootstraps; a mark for each field's accuracy: its interval lies above 0. Models stay in the folds' folders as
`teacher` and `teacher_without_FIELD`, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks._own_workspace import accuracy_of, difference_told, figures_told, workspace_argument
from benchmarks._report import Mark, Report, finish
from enrich.errors import BadInput
from enrich.progress import progress
from enrich.workspace import Workspace
from relevance.evaluation import Versus, evaluate
from relevance.judging.figures import Evaluation, Measure
from relevance.judging.predictions import Predictor
from relevance.model_names import TEACHER_MODEL
from relevance.pipeline import Pipeline, RunSettings
from relevance.plan import PlanSettings
from relevance.teaching.checkpoint import TeacherSettings
from relevance.text_fields import Field

PACKAGES = ("torch", "transformers")
MEASURES = (Measure.ACCURACY, Measure.AUROC_4, Measure.KAPPA, Measure.NDCG)


def main() -> int:
    parser = argparse.ArgumentParser(description="A teacher with and without a text field.")
    workspace_argument(parser)
    parser.add_argument("--fields", default=f"{Field.BOARDS},{Field.QUERIES}", help="left out one at a time")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    flags = parser.parse_args()
    try:
        fields = [Field(name) for name in flags.fields.split(",")]
        found = judged(Workspace.open(flags.workspace), PlanSettings(folds=flags.folds, seed=flags.seed), fields)
    except (BadInput, ValueError) as error:
        sys.exit(str(error))
    return finish(reported(found), flags.json)


def judged(workspace: Workspace, plan: PlanSettings, fields: Sequence[Field]) -> Evaluation:
    """A teacher of all fields and those that do without one, on the tested folds."""
    whole = Pipeline(workspace, RunSettings(plan=plan))
    folds = [fold for fold in whole.folds if fold.tested]
    pipelines = {TEACHER_MODEL: whole} | {named(field): without(workspace, plan, field) for field in fields}
    with progress(len(folds) * len(pipelines), "teachers", unit="teacher") as bar:
        for fold in folds:
            for name, pipeline in pipelines.items():
                pipeline.teach(fold, name)
                bar.update(1)
    predictor = Predictor(whole.judged, whole.encoder)
    answers = [predictor.predictions(name, folds) for name in pipelines]
    return evaluate(answers, comparisons=[Versus(TEACHER_MODEL, named(field)) for field in fields])


def named(field: Field) -> str:
    return f"{TEACHER_MODEL}_without_{field}"


def without(workspace: Workspace, plan: PlanSettings, field: Field) -> Pipeline:
    teacher = TeacherSettings()
    kept = [budget.field for budget in teacher.text.fields if budget.field is not field]
    return Pipeline(workspace, RunSettings(plan=plan, teacher=replace(teacher, text=teacher.text.selecting(*kept))))


def reported(found: Evaluation) -> Report:
    report = Report("field_worth", "accuracy", PACKAGES)
    report.figures["pairs"] = f"{found.pairs:,} of {found.queries:,} queries, {found.folds} fold(s)"
    for model in found.models:
        report.figures[model.model] = figures_told(found, model.model, MEASURES)
    for one in found.comparisons:
        if one.measure in MEASURES:
            name, told = difference_told(one)
            report.figures[name] = told
        if one.measure is Measure.ACCURACY:
            report.marks.append(Mark(f"{one.model} - {one.rival}, accuracy, lower end", one.difference.low, ">= 0"))
            report.compare(accuracy_of(found, one.model), accuracy_of(found, one.rival))
    return report


if __name__ == "__main__":
    sys.exit(main())
