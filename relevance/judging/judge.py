"""`relevance evaluate`: every model, and runs from elsewhere, on the judged pairs it was not taught, in one report.

Reads the folds' models, TREC runs and the workspace's status; writes W/reports/evaluation/ (index.html,
evaluation.json), of a split by time or language W/reports/evaluation-NAME/, and, for each fold, its predictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isnan
from pathlib import Path

import polars as pl

from enrich import parts
from enrich.errors import BadInput
from enrich.status import Status, status
from enrich.tables import PINS
from relevance import stages
from relevance.baselines.baselines import QUICK, Baseline, encoder_note
from relevance.baselines.tuned_bi_encoder import TunedSettings
from relevance.evaluation import evaluate
from relevance.framing.judged import of_queries
from relevance.intervals import p_text
from relevance.judging.coverage import field_coverage
from relevance.judging.field_drop import input_drops
from relevance.judging.figures import PEOPLE, Evaluation, EvaluationSettings, Measure, ModelFigures, Versus
from relevance.judging.gold import Predictions
from relevance.judging.predictions import Predictor
from relevance.judging.runs import Run, RunFile, read_run
from relevance.judging.segments import SEGMENTS, segment_columns, with_segments
from relevance.judging.showcase import showcase
from relevance.model_names import HUMAN_STUDENT, STUDENT_MODEL, TEACHER_MODEL
from relevance.pipeline import Pipeline
from relevance.plan import Fold, described
from relevance.report import Heading, write_report
from relevance.splits import SplitKind

_COMPARED = (
    *(Versus(TEACHER_MODEL, baseline) for baseline in Baseline),
    Versus(STUDENT_MODEL, HUMAN_STUDENT),
    Versus(STUDENT_MODEL, Baseline.BM25),
    Versus(STUDENT_MODEL, TEACHER_MODEL),
)
_FAITHFUL = (
    Versus(TEACHER_MODEL, PEOPLE),
    Versus(STUDENT_MODEL, PEOPLE),
    Versus(STUDENT_MODEL, TEACHER_MODEL),
)
_SHOWN = (Measure.ACCURACY, Measure.AUROC_3, Measure.AUROC_4, Measure.AUROC_5, Measure.NDCG)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evaluation found, and where its report is."""

    evaluation: Evaluation
    report: Path
    runs: tuple[Run, ...] = ()

    def lines(self) -> list[str]:
        """A table of the headline figures, the differences in accuracy, and the report's place."""
        return [*self._table(), *self._differences(), f"report: {self.report}"]

    def summary(self) -> dict[str, object]:
        """For --json."""
        models = {
            model.model: {figure.measure.value: _or_null(figure.estimate.value) for figure in model.figures}
            for model in self.evaluation.models
        }
        return {"report": str(self.report), "pairs": self.evaluation.pairs, "models": models}

    def notes(self) -> tuple[str, ...]:
        """What was not known of runs from elsewhere; for standard error."""
        return tuple(note for run in self.runs if (note := run.note()))

    def _table(self) -> Iterator[str]:
        found = self.evaluation
        yield f"{found.pairs:,} judged pairs of {found.queries:,} held-out queries, {found.folds} fold(s)"
        wide = max(16, *(len(model.model) + 1 for model in found.models))
        yield f"{'model':<{wide}}" + "".join(f"{measure.value:>24}" for measure in _SHOWN)
        for model in found.models:
            yield f"{model.model:<{wide}}" + "".join(f"{_figure(model, measure):>24}" for measure in _SHOWN)

    def _differences(self) -> Iterator[str]:
        for one in self.evaluation.comparisons:
            if one.measure in (Measure.ACCURACY, Measure.NDCG):
                d = one.difference
                p_value = "" if isnan(d.p_value) else f", p {p_text(one.p_holm)} (Holm)"
                interval = _interval(d.low, d.high, "+.3f")
                yield f"{one.model} - {one.rival}: {one.measure.value} {d.value:+.3f} {interval}{p_value}"


def evaluate_models(
    pipeline: Pipeline,
    names: Sequence[str] | None = None,
    runs: Sequence[RunFile] = (),
    topics: Path | None = None,
) -> Verdict:
    """Judge `names` (all there are by default), and `runs`, and write the report.

    Raises BadInput for a model that is not there, and for a run that is none.
    """
    folds = tested_folds(pipeline)
    chosen = list(names) if names is not None else trained_models(folds)
    gold = held_out_pairs(pipeline)
    others = _read_runs(pipeline, gold, runs, topics, chosen)
    tuned = TunedSettings(seed=pipeline.settings.plan.seed)
    predictor = Predictor(pipeline.judged, pipeline.encoder, tuned)
    asked = [predictor.predictions(name, folds) for name in chosen]
    asked += [one for run in others for one in run.predictions(gold)]
    segments = segment_columns(pipeline.judged)
    predictions = [Predictions(one.model, with_segments(one.rows, segments)) for one in asked]
    found, there = status(pipeline.workspace), {one.model for one in predictions}
    evaluation = evaluate(
        predictions,
        comparisons=[one for one in _compared(predictions) if {*one} <= there],
        coverage=field_coverage(found),
        caveats=[*_caveats(found, pipeline, folds, chosen), *_notes_on(others)],
        settings=EvaluationSettings(segments=SEGMENTS),
        faithful=[one for one in _FAITHFUL if {*one} <= {*there, PEOPLE}],
    )
    evaluation = replace(evaluation, made_from=_made_from(pipeline, chosen))
    if STUDENT_MODEL in chosen:
        evaluation = replace(evaluation, drops=input_drops(pipeline.judged, folds, pipeline.encoder))
    examples = showcase(pipeline.workspace, _best_first(predictions))
    report = write_report(report_folder(pipeline), evaluation, examples, _heading(pipeline))
    return Verdict(evaluation, report, tuple(others))


def tested_folds(pipeline: Pipeline) -> list[Fold]:
    return [fold for fold in pipeline.folds if fold.tested]


def held_out_pairs(pipeline: Pipeline) -> pl.DataFrame:
    """The judged pairs of queries that some fold's models never saw."""
    return of_queries(pipeline.judged.pairs, frozenset().union(*(fold.split.test for fold in tested_folds(pipeline))))


def report_folder(pipeline: Pipeline) -> Path:
    """W/reports/evaluation, of a split by time or language W/reports/evaluation-NAME."""
    plan = pipeline.settings.plan
    return pipeline.workspace.reports / ("evaluation" if plan.split is SplitKind.QUERY else f"evaluation-{plan.name}")


def _made_from(pipeline: Pipeline, models: Sequence[str]) -> dict[str, str]:
    """What the models that serve were made from, so that these figures pass for those of no other model."""
    found = {name: stages.made_from_of(pipeline.folds[-1].folder / name) for name in models}
    return {name: made_from for name, made_from in found.items() if made_from is not None}


def _read_runs(
    pipeline: Pipeline, gold: pl.DataFrame, files: Sequence[RunFile], topics: Path | None, models: Sequence[str]
) -> list[Run]:
    """Raises BadInput where two runs, or a run and a model, have one name."""
    names = [*models, *(file.name for file in files)]
    again = next((name for name in names if names.count(name) > 1), None)
    if again is not None:
        raise BadInput(f"expected models and runs of different names, found {again} twice; name it: --run FILE=NAME")
    pins = parts.scan(pipeline.workspace.folder(PINS)).select("pin_id").collect()["pin_id"] if files else pl.Series()
    return [read_run(file, gold["query"].unique().to_list(), pins, topics) for file in files]


def _compared(predictions: Sequence[Predictions]) -> list[Versus]:
    """What is asked of every evaluation, and of the variants and the runs that are in this one."""
    names = [one.model for one in predictions]
    runs = [one.model for one in predictions if "probabilities" not in one.rows.columns]
    return [
        *_COMPARED,
        *(Versus(TEACHER_MODEL, name) for name in names if name.startswith(f"{TEACHER_MODEL}_")),
        *(Versus(STUDENT_MODEL, name) for name in runs),
    ]


def _notes_on(runs: Sequence[Run]) -> list[str]:
    known = [f"{note}." for run in runs if (note := run.note())]
    if not runs:
        return known
    return [
        *known,
        "A run from elsewhere may rank pins that nobody judged, which gain nothing and take places (its Judged@10 says "
        "how many); the models were asked about judged pins alone: hold them against the run's judged pins only.",
    ]


def trained_models(folds: Sequence[Fold]) -> list[str]:
    """The quick baselines, then every model that all tested folds have: teachers first, then students."""
    there = [
        {path.name for path in fold.folder.glob("[!.]*") if stages.made_from_of(path) and _is_model(path)}
        for fold in folds
        if fold.folder.is_dir()
    ]
    common = set.intersection(*there) if there and len(there) == len(folds) else set()
    return [*QUICK, *sorted(common, key=lambda name: (not name.startswith(TEACHER_MODEL), name))]


def _is_model(path: Path) -> bool:
    return (path / "teacher.json").is_file() or (path / "student.json").is_file()


def _best_first(predictions: Sequence[Predictions]) -> list[Predictions]:
    """The model by whose ranking the report shows its examples leads: the student, which serves."""
    leaders = (STUDENT_MODEL, TEACHER_MODEL)
    return sorted(predictions, key=lambda one: leaders.index(one.model) if one.model in leaders else len(leaders))


def _caveats(found: Status, pipeline: Pipeline, folds: Sequence[Fold], models: Sequence[str]) -> list[str]:
    """What a reader must know before believing the figures."""
    embedded = {Baseline.BI_ENCODER, Baseline.EMBEDDING_LR} & {*models}
    note = encoder_note(pipeline.encoder.producer, folds) if embedded else None
    plan = pipeline.settings.plan
    tested = f"Tested on {sum(len(fold.split.test) for fold in folds):,} queries that the models never saw"
    how = f"over {len(folds)} folds" if len(folds) > 1 else "held out in one split"
    split = "split by query" if plan.split is SplitKind.QUERY else described(plan, folds[0].split)
    return [
        f"{tested}, {how} ({split}, seed {plan.seed}).",
        "Intervals are 95 % bootstraps over queries; differences are paired by query.",
        *([note] if note else []),
        *(note[:1].upper() + note[1:] + "." * (not note.endswith(".")) for note in found.notes),
    ]


def _heading(pipeline: Pipeline) -> Heading:
    catalogue = pipeline.workspace.catalogue
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by relevance evaluate"
    return Heading(title=f"Relevance on {catalogue.title}", made=made)


def _or_null(value: float) -> float | None:
    """JSON has no NaN."""
    return None if isnan(value) else value


def _figure(model: ModelFigures, measure: Measure) -> str:
    estimate = model.estimate(measure)
    if estimate is None or isnan(estimate.value):
        return "–"
    return f"{estimate.value:.3f} {_interval(estimate.low, estimate.high, '.3f')}"


def _interval(low: float, high: float, form: str) -> str:
    return "[no interval]" if isnan(low) else f"[{low:{form}}, {high:{form}}]"
