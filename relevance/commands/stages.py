"""`relevance run` and its stages, each for every fold: train-teacher, label, train-student, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enrich import console
from enrich.engine import Engine
from enrich.errors import BadInput
from enrich.workspace import Writing
from relevance.commands import flags
from relevance.commands.student_flags import SIZE, StudentFlags, student_options
from relevance.commands.teaching_flags import TeachingFlags, taught
from relevance.model_names import HUMAN_STUDENT, STUDENT_MODEL
from relevance.teaching import processes

if TYPE_CHECKING:
    from relevance.judging.runs import RunFile
    from relevance.pipeline import Pipeline


@click.command()
@flags.BACKBONE
@flags.PAIRS
@SIZE
@flags.ACCEPT_DRIFT
@flags.planned
@console.common
def run(
    backbone: str | None,
    pairs: int | None,
    size: str | None,
    accept_drift: bool,
    plan: flags.PlanFlags,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Do what is stale, in order: train-teacher, label, train-student, evaluate. Killed, it goes on where it was.

    The teacher is taught as the one last named, be it unfinished, the student as the one that serves, until
    train-teacher, train-student or a flag names others.
    """
    if processes.follows():
        _follow()
        return
    given = flags.Flags(plan, backbone, pairs=pairs, accept_drift=accept_drift, student=StudentFlags(size))
    pipeline = _pipeline(workspace, given, goes_on=True)
    if pipeline.encoder.model:  # a mix of encoders is refused here, before hours of training
        console.say(f"queries embedded by {pipeline.encoder.model}, as the pins are")
    folds = pipeline.folds
    if len(folds) > 1:
        console.say(
            f"{len(folds) - 1} folds, so that each judged query is tested by models that never saw it; then the models "
            "that serve (--folds 1: these alone, tested on a quarter of the queries, 1,000 at most)"
        )
    for place, fold in enumerate(folds, 1):
        if len(folds) > 1:
            console.say(f"fold {fold.name} ({place} of {len(folds)})")
        _said(pipeline.teach(fold), fold.folder / "teacher")
        labelled = pipeline.label(fold)
        console.say(f"soft labels of fold {fold.name}: {labelled.made:,} made, {labelled.fresh:,} fresh")
        if pipeline.was_asked(fold):
            console.say("\n".join(pipeline.drift(fold).lines()))
        else:
            console.say("nothing that the teacher could label is not judged: the student learns from people alone")
        for name in (HUMAN_STUDENT, STUDENT_MODEL):
            _said(pipeline.learn(fold, name), fold.folder / name)
    processes.tell(None)
    _evaluate(pipeline, None, as_json)


@click.command("train-teacher")
@click.option("--name", default="teacher", show_default=True, help="Of the model; another name is a variant beside it.")
@flags.FIELDS
@flags.BACKBONE
@flags.EPOCHS
@taught
@flags.planned
@console.common
def train_teacher(
    name: str,
    fields: str | None,
    backbone: str | None,
    epochs: int | None,
    teaching: TeachingFlags,
    plan: flags.PlanFlags,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Teach a cross-encoder to grade (query, pin) pairs on five levels; under torchrun by several processes.

    Curves of its losses stay in the model's folder: tensorboard --logdir W/models.
    """
    if processes.follows():
        _follow()
        return
    pipeline = _pipeline(workspace, flags.Flags(plan, backbone, fields, epochs, teaching=teaching))
    made = [_said(pipeline.teach(fold, name), fold.folder / name) for fold in pipeline.folds]
    processes.tell(None)
    _note_no_curves()
    console.finish("", {"model": name, "folds": len(made), "made": sum(made)}, as_json)


@click.command()
@flags.PAIRS
@flags.ENGINE
@console.WORKERS
@console.GPUS
@flags.planned
@console.common
def label(
    pairs: int | None,
    engine: Engine,
    workers: int | None,
    gpus: float | None,
    plan: flags.PlanFlags,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Have the teacher label pairs that nobody judged, then look at what it said: soft_label, drift.json."""
    from enrich.records import to_mapping

    pipeline = _pipeline(workspace, flags.Flags(plan, pairs=pairs, engine=engine, workers=workers, gpus=gpus))
    lines, result = list[str](), list[dict[str, object]]()
    for fold in pipeline.folds:
        one, drift = pipeline.label(fold), pipeline.drift(fold)
        failed = "".join(f", {count:,} {reason}" for reason, count in sorted(one.failed.items()))
        lines += [f"soft labels of fold {fold.name}: {one.made:,} made, {one.fresh:,} fresh{failed}", *drift.lines()]
        made = {"fold": fold.name, "made": one.made, "fresh": one.fresh, "failed": one.failed}
        result.append({**made, "fit": not drift.blocks, "drift": to_mapping(drift)})
    console.finish("\n".join(lines), {"folds": result}, as_json)


@click.command("train-student")
@click.option("--labels", type=click.Choice(["all", "human"]), default="all", show_default=True, help="To learn from.")
@student_options
@flags.ACCEPT_DRIFT
@flags.planned
@console.common
def train_student(
    labels: str,
    size: str | None,
    target_temperature: float | None,
    hard_share: float | None,
    ordinal_margin: float | None,
    query_slips: float | None,
    accept_drift: bool,
    plan: flags.PlanFlags,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Teach a feed-forward net the judged levels and the teacher's soft labels."""
    student = StudentFlags(size, target_temperature, hard_share, ordinal_margin, query_slips)
    pipeline = _pipeline(workspace, flags.Flags(plan, accept_drift=accept_drift, student=student))
    name = HUMAN_STUDENT if labels == "human" else STUDENT_MODEL
    made = [_said(pipeline.learn(fold, name), fold.folder / name) for fold in pipeline.folds]
    console.finish("", {"model": name, "folds": len(made), "made": sum(made)}, as_json)


@click.command("export-student")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File.  [default: model.onnx in the model's folder]"
)
@console.common
def export_student(out: Path | None, workspace: Path | None, as_json: bool) -> None:
    """Write the student that serves as an ONNX graph: calibrated probabilities of its features.

    What goes in and comes out, relevance/exporting/onnx_graph.py says. Needs the extra `onnx`.
    """
    opened = console.open_workspace(workspace, Writing.MODELS)

    from relevance.exporting.onnx_graph import export_onnx
    from relevance.student import Student

    folder = opened.models / STUDENT_MODEL
    made = export_onnx(Student.load(folder), out or folder / "model.onnx")
    shown = f"{made.path}: student {made.fingerprint}, inputs {', '.join(made.inputs)}"
    console.finish(shown, {"path": str(made.path), "fingerprint": made.fingerprint, "inputs": made.inputs}, as_json)


@click.command()
@click.option(
    "--models", metavar="NAMES", help="Comma-separated.  [default: the quick baselines and every trained model]"
)
@click.option(
    "--run",
    "runs",
    metavar="FILE[=NAME]",
    multiple=True,
    help="A TREC run from elsewhere to judge beside them, and what to call it; may be given again.",
)
@click.option(
    "--topics",
    type=click.Path(path_type=Path),
    help="The runs' queries: id, tab, query.  [default: the ids of `relevance export trec`, or the queries' own texts]",
)
@flags.planned
@console.common
def evaluate(
    models: str | None,
    runs: tuple[str, ...],
    topics: Path | None,
    plan: flags.PlanFlags,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Judge every model on held-out pairs; writes W/reports/evaluation/ (index.html, evaluation.json).

    Baselines: bm25, bi_encoder, embedding_lr, and, made when named in --models (minutes), bi_encoder_tuned.
    """
    from relevance.judging.runs import RunFile

    files = [RunFile.parse(run) for run in runs]
    _evaluate(_pipeline(workspace, flags.Flags(plan)), models, as_json, files, topics)


def _note_no_curves() -> None:
    """Say so where the curves of training cannot be drawn."""
    from relevance.teaching.watch import has_curves

    if not has_curves():
        console.say("note: no curves of the losses without tensorboard; pip install 'corkboard[curves]'", err=True)


def _follow() -> None:
    """What a process does that torchrun started beside the first one."""
    from relevance.teaching import training as teacher_training

    teacher_training.follow()


def _pipeline(path: Path | None, given: flags.Flags, goes_on: bool = False) -> Pipeline:
    """The stages of the workspace, its definitions applied and its online store up to date.

    Where it `goes_on`, with a teacher taught as the one last named and a student as the one that serves.
    """
    workspace = console.open_workspace(path, Writing.MODELS)

    from relevance import feature_store
    from relevance.pipeline import Pipeline
    from relevance.plan import described
    from relevance.splits import SplitKind
    from relevance.teaching.last_named import in_words, last_named

    last = last_named(workspace.models) if goes_on else None
    if goes_on:
        given = replace(given, student=given.student.over(StudentFlags.last_given(workspace.models)))
    settings = flags.run_settings(given, last)  # what clashes is refused before anything is made
    if last and given.backbone is None and (named := in_words(settings.teacher)):
        console.say(f"teacher with {named}, as last named; train-teacher or --backbone names another")
    if goes_on and (named := given.student.in_words()):
        console.say(f"student with {named}, as given or last taught; train-student names another")
    for loaded in feature_store.materialize(workspace):
        console.say(f"materialized {loaded.view}: {loaded.rows:,} rows")
    pipeline = Pipeline(workspace, settings)
    chosen = pipeline.settings.plan
    if chosen.split is not SplitKind.QUERY:
        console.say(described(chosen, pipeline.folds[0].split))
    return pipeline


def _evaluate(
    pipeline: Pipeline,
    models: str | None,
    as_json: bool,
    runs: Sequence[RunFile] = (),
    topics: Path | None = None,
) -> None:
    from relevance.judging import judge

    names = [name.strip() for name in models.split(",")] if models else None
    if names is not None and not all(names):
        raise BadInput(f"expected --models as names with commas between, found {models!r}")
    verdict = judge.evaluate_models(pipeline, names, runs, topics)
    for note in verdict.notes():
        console.say(f"note: {note}", err=True)
    console.finish("\n".join(verdict.lines()), verdict.summary(), as_json)


def _said(made: bool, model: Path) -> bool:
    console.say(f"{model}: {'trained' if made else 'fresh'}")
    return made
