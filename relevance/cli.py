"""The `relevance` command: features in, graded models, scores and reports out.

relevance run                                       what is stale: train-teacher, label, train-student, evaluate
relevance train-teacher|label|train-student         one stage, for every fold
relevance evaluate                                  every model on held-out judged pairs: a report
relevance score --query Q --pins ID ...             five probabilities and an expected level a pin
relevance rank --query Q                            the catalogue's best pins, relevance with engagement
relevance serve                                     the same over HTTP
relevance replay                                    logged requests computed again: are they the same?
relevance frame                                     a training frame, its coverage, what a careless join would leak
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from enrich import console
from enrich.errors import BadInput
from relevance import processes
from relevance.teacher_choices import Adapter, Loss
from relevance.teacher_flags import TeachingFlags, teaching_options

if TYPE_CHECKING:
    from enrich.workspace import Workspace
    from relevance.online import Scorer
    from relevance.pipeline import Pipeline, RunSettings
    from relevance.text import Field

_COMMANDS = {"max_content_width": 110, "help_option_names": ["-h", "--help"]}
_PLAN = (
    click.option(
        "--folds",
        type=click.IntRange(min=1),
        help="1: one split by query; more: every query tested by a fold.  [default: by the number of judged queries]",
    ),
    click.option(
        "--split",
        type=click.Choice(["query", "time", "language"]),
        default="query",
        show_default=True,
        help="What is tested: queries drawn, judged later, or in other languages; all but query only measure.",
    ),
    click.option("--train-lang", metavar="LANG", default="en", show_default=True, help="Of --split language."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of splits, sampling and training."),
)
_backbone = click.option(
    "--backbone", metavar="MODEL", help="Teacher's backbone: a folder or hub id.  [default: MiniLM]"
)
_fields = click.option(
    "--fields", metavar="NAMES", help="Text fields the teacher reads, comma-separated.  [default: all]"
)
_epochs = click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training pairs, at most.")
_pairs = click.option("--pairs", type=click.IntRange(min=1), help="Pairs for the teacher to label.  [default: 20000]")
_engine = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where pairs are labelled: this process, or a Ray cluster (RAY_ADDRESS), each worker with its own teacher.",
)
_workers = click.option(
    "--workers", type=click.IntRange(min=1), help="On Ray.  [default: one a GPU, or one a core where there is none]"
)
_gpus = click.option(
    "--gpus", type=click.FloatRange(min=0), help="Of each worker on Ray; 0.5: two share one.  [default: 1 if there is]"
)
_accept_drift = click.option(
    "--accept-drift", is_flag=True, help="Learn from soft labels even where `relevance label` found gross faults."
)
_query = click.option("--query", required=True, help="The search query.")


class PlanFlags(NamedTuple):
    """The flags that say who is taught and who is asked, of every stage."""

    folds: int | None
    split: str
    train_lang: str
    seed: int


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of the stages; each command declares those that concern it."""

    plan: PlanFlags
    backbone: str | None = None
    fields: str | None = None
    epochs: int | None = None
    pairs: int | None = None
    engine: str = "local"
    workers: int | None = None
    gpus: float | None = None
    accept_drift: bool = False
    teaching: TeachingFlags = field(default_factory=TeachingFlags)


def _planned(command: Callable[..., object]) -> Callable[..., object]:
    """Give a command --folds, --split, --train-lang and --seed, as one argument `plan: PlanFlags`."""

    @wraps(command)
    def collected(folds: int | None, split: str, train_lang: str, seed: int, **own: object) -> object:
        return command(plan=PlanFlags(folds, split, train_lang, seed), **own)

    for option in reversed(_PLAN):
        collected = option(collected)
    return collected


@click.group(context_settings=_COMMANDS)
def relevance() -> None:
    """Train, judge and serve search relevance on the feature store."""


@relevance.command()
@_backbone
@_pairs
@_accept_drift
@_planned
@console.common
def run(
    backbone: str | None,
    pairs: int | None,
    accept_drift: bool,
    plan: PlanFlags,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Do what is stale, in order: train-teacher, label, train-student, evaluate. Killed, it goes on where it was."""
    if processes.follows():
        _follow()
        return
    from relevance.pipeline import HUMAN_STUDENT, STUDENT_MODEL

    pipeline = _pipeline(workspace, Flags(plan, backbone, pairs=pairs, accept_drift=accept_drift))
    for fold in pipeline.folds:
        _said(pipeline.teach(fold), fold.folder / "teacher")
        click.echo(f"soft labels of fold {fold.name}: {pipeline.label(fold).made:,} made")
        click.echo("\n".join(pipeline.drift(fold).lines()))
        for name in (HUMAN_STUDENT, STUDENT_MODEL):
            _said(pipeline.learn(fold, name), fold.folder / name)
    processes.tell(None)
    _evaluate(pipeline, None, as_json)


@relevance.command("train-teacher")
@click.option("--name", default="teacher", show_default=True, help="Of the model; another name is a variant beside it.")
@_fields
@_backbone
@_epochs
@teaching_options
@_planned
@console.common
def train_teacher(
    name: str,
    fields: str | None,
    backbone: str | None,
    epochs: int | None,
    loss: Loss | None,
    label_smoothing: float | None,
    layer_decay: float | None,
    r_drop: float | None,
    field_dropout: float | None,
    adapter: Adapter | None,
    gradient_checkpointing: bool | None,
    plan: PlanFlags,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Teach a cross-encoder to grade (query, pin) pairs on five levels; under torchrun by several processes.

    Curves of its losses stay in the model's folder: tensorboard --logdir W/models.
    """
    if processes.follows():
        _follow()
        return
    teaching = TeachingFlags(loss, label_smoothing, layer_decay, r_drop, field_dropout, adapter, gradient_checkpointing)
    pipeline = _pipeline(workspace, Flags(plan, backbone, fields, epochs, teaching=teaching))
    made = [_said(pipeline.teach(fold, name), fold.folder / name) for fold in pipeline.folds]
    processes.tell(None)
    _note_no_curves()
    console.finish("", {"model": name, "folds": len(made), "made": sum(made)}, as_json)


@relevance.command()
@_pairs
@_engine
@_workers
@_gpus
@_planned
@console.common
def label(
    pairs: int | None,
    engine: str,
    workers: int | None,
    gpus: float | None,
    plan: PlanFlags,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Have the teacher label pairs that nobody judged, then look at what it said: soft_label, drift.json."""
    from enrich.records import to_mapping

    pipeline = _pipeline(workspace, Flags(plan, pairs=pairs, engine=engine, workers=workers, gpus=gpus))
    lines, result = list[str](), list[dict[str, object]]()
    for fold in pipeline.folds:
        one, drift = pipeline.label(fold), pipeline.drift(fold)
        failed = "".join(f", {count:,} {reason}" for reason, count in sorted(one.failed.items()))
        lines += [f"soft labels of fold {fold.name}: {one.made:,} made, {one.fresh:,} fresh{failed}", *drift.lines()]
        made = {"fold": fold.name, "made": one.made, "fresh": one.fresh, "failed": one.failed}
        result.append({**made, "fit": not drift.blocks, "drift": to_mapping(drift)})
    console.finish("\n".join(lines), {"folds": result}, as_json)


@relevance.command("train-student")
@click.option("--labels", type=click.Choice(["all", "human"]), default="all", show_default=True, help="To learn from.")
@_accept_drift
@_planned
@console.common
def train_student(labels: str, accept_drift: bool, plan: PlanFlags, workspace: Path | None, as_json: bool) -> None:
    """Teach a feed-forward net the judged levels and the teacher's soft labels."""
    from relevance.pipeline import HUMAN_STUDENT, STUDENT_MODEL

    pipeline = _pipeline(workspace, Flags(plan, accept_drift=accept_drift))
    name = HUMAN_STUDENT if labels == "human" else STUDENT_MODEL
    made = [_said(pipeline.learn(fold, name), fold.folder / name) for fold in pipeline.folds]
    console.finish("", {"model": name, "folds": len(made), "made": sum(made)}, as_json)


@relevance.command()
@click.option(
    "--models", metavar="NAMES", help="Comma-separated.  [default: the quick baselines and every trained model]"
)
@_planned
@console.common
def evaluate(models: str | None, plan: PlanFlags, workspace: Path | None, as_json: bool) -> None:
    """Judge every model on held-out pairs; writes W/reports/evaluation/ (index.html, evaluation.json).

    Baselines: bm25, bi_encoder, embedding_lr, and, made when named in --models (minutes), bi_encoder_tuned.
    """
    _evaluate(_pipeline(workspace, Flags(plan)), models, as_json)


@relevance.command()
@_query
@click.option("--pins", "first", required=True, metavar="ID...", help="Pin ids, as many as wanted.")
@click.argument("rest", nargs=-1, metavar="")
@console.common
def score(query: str, first: str, rest: Sequence[str], workspace: Path | None, as_json: bool) -> None:
    """Five probabilities and an expected level for each pin, in the order asked."""
    from relevance.online import Scorer

    served = _served(workspace)
    scorer = Scorer.open(served)
    _note_other_features(served, scorer)
    scored = scorer.score(query, [first, *rest])
    lines = [
        f"{pin.pin_id}  {pin.relevance:.2f}  {' '.join(f'{p:.3f}' for p in pin.probabilities)}"
        + (f"  without {', '.join(pin.missing)}" if pin.missing else "")
        for pin in scored
    ]
    header = "pin  level  p(1) p(2) p(3) p(4) p(5)"
    console.finish("\n".join([header, *lines]), {"query": query, "pins": [pin._asdict() for pin in scored]}, as_json)


@relevance.command()
@_query
@click.option("--pins", "first", metavar="ID...", help="Pin ids to rank.  [default: the top 200 by BM25 and embedding]")
@click.argument("rest", nargs=-1, metavar="")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Pins to print.")
@console.common
def rank(query: str, first: str | None, rest: Sequence[str], top: int, workspace: Path | None, as_json: bool) -> None:
    """The best pins for a query: relevance with engagement, above a floor."""
    from relevance.candidates import workspace_index
    from relevance.online import Scorer
    from relevance.ranking import rank

    served = _served(workspace)
    scorer = Scorer.open(served)
    _note_other_features(served, scorer)
    pins = [first, *rest] if first else workspace_index(served).search(query, scorer.query_vector(query))
    ranking = rank(scorer, query, pins, keep_unknown=first is not None)
    lines = [
        f"{pin.rank:3d}  {pin.scored.pin_id}  level {pin.scored.relevance:.2f}  utility {pin.utility:.3f}"
        for pin in ranking.pins[:top]
    ]
    shown = f"{len(ranking.pins):,} of {len(pins):,} candidates ranked, {len(ranking.below_floor):,} below the floor"
    result = [{"rank": pin.rank, "utility": pin.utility, **pin.scored._asdict()} for pin in ranking.pins[:top]]
    console.finish("\n".join([*lines, shown]), {"query": query, "pins": result}, as_json)


@relevance.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@console.common
def serve(host: str, port: int, workspace: Path | None, as_json: bool) -> None:
    """Score and rank over HTTP: POST /score, /rank; GET /healthz, /readyz, /metrics, /docs."""
    from relevance.server import serve as run_server

    served = _served(workspace)
    if as_json:
        console.finish("", {"host": host, "port": port, "workspace": str(served.root)}, as_json)
    run_server(served, host, port)


@relevance.command()
@click.option("--log", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="One file of W/requests.")
@click.option("--limit", type=click.IntRange(min=1), help="The newest requests only.")
@console.common
def replay(log: Path | None, limit: int | None, workspace: Path | None, as_json: bool) -> int:
    """Compute logged online requests again offline; exit 1 where a feature or score is not the same to the last bit."""
    from enrich.records import to_mapping
    from relevance import replay as module

    found = module.replay(console.open_workspace(workspace), [log] if log else [], limit)
    console.finish(module.render(found), to_mapping(found), as_json)
    return 0 if found.exact else 1


@relevance.command()
@click.option("--service", default="student_v1", show_default=True, help="The feature service to join.")
@click.option(
    "--pairs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Parquet of query, pin_id, event_timestamp.  [default: the judged pairs]",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Parquet file to write the frame to.")
@click.option(
    "--gap-days",
    type=click.IntRange(min=0),
    default=15,
    show_default=True,
    help="Between what people did and the pair that it may be joined to.",
)
@console.common
def frame(
    service: str, pairs: Path | None, out: Path | None, gap_days: int, workspace: Path | None, as_json: bool
) -> None:
    """Pairs with what was known of them at their time; how much that is, and what a careless join would have leaked."""
    from enrich.records import to_mapping
    from relevance import frame_report

    report = frame_report.made_frame(console.open_workspace(workspace), service, pairs, out, timedelta(days=gap_days))
    console.finish(frame_report.render(report), to_mapping(report), as_json)


def _note_no_curves() -> None:
    """Say so where the curves of training cannot be drawn."""
    from relevance.teacher_watch import has_curves

    if not has_curves():
        click.echo("note: no curves of the losses without tensorboard; pip install 'corkboard[curves]'", err=True)


def _follow() -> None:
    """What a process does that torchrun started beside the first one."""
    from relevance import teacher_training

    teacher_training.follow()


def _served(path: Path | None) -> Workspace:
    """The workspace, its online store up to date."""
    from relevance import feature_store

    workspace = console.open_workspace(path)
    feature_store.materialize(workspace)
    return workspace


def _note_other_features(workspace: Workspace, scorer: Scorer) -> None:
    """Say so where another encoder, captioner or rule made what is stored now than what the student learned from."""
    from relevance.feature_store import fingerprint
    from relevance.frames import STUDENT_SERVICE

    if scorer.student.record.feature_service not in (None, fingerprint(workspace, STUDENT_SERVICE)):
        click.echo("note: the student learned from other features than are stored now; `relevance run`", err=True)


def _pipeline(path: Path | None, flags: Flags) -> Pipeline:
    """The stages of the workspace, its definitions applied and its online store up to date."""
    from enrich.workspace import Writing
    from relevance import feature_store
    from relevance.pipeline import Pipeline
    from relevance.plan import described
    from relevance.splits import SplitKind

    workspace = console.open_workspace(path, Writing.MODELS)
    for loaded in feature_store.materialize(workspace):
        click.echo(f"materialized {loaded.view}: {loaded.rows:,} rows")
    pipeline = Pipeline(workspace, _settings(flags))
    chosen = pipeline.settings.plan
    if chosen.split is not SplitKind.QUERY:
        click.echo(described(chosen, pipeline.folds[0].split))
    return pipeline


def _settings(flags: Flags) -> RunSettings:
    from relevance.pipeline import RunSettings
    from relevance.plan import PlanSettings
    from relevance.soft_labels import Engine
    from relevance.splits import SplitKind

    base, seed = RunSettings(), flags.plan.seed
    teacher = replace(base.teacher, backbone=flags.backbone, seed=seed)
    if flags.epochs:
        teacher = replace(teacher, epochs=flags.epochs)
    if flags.fields:
        teacher = replace(teacher, text=teacher.text.selecting(*_text_fields(flags.fields)))
    teacher = flags.teaching.applied(teacher)
    sample = replace(base.sample, seed=seed, pairs=flags.pairs or base.sample.pairs)
    return RunSettings(
        plan=PlanSettings(
            folds=flags.plan.folds, seed=seed, split=SplitKind(flags.plan.split), train_lang=flags.plan.train_lang
        ),
        teacher=teacher,
        weak=replace(base.weak, seed=seed),
        sample=sample,
        labels=replace(base.labels, engine=Engine(flags.engine), workers=flags.workers, gpus=flags.gpus),
        student=replace(base.student, seed=seed),
        accept_drift=flags.accept_drift,
    )


def _text_fields(names: str) -> list[Field]:
    from relevance.text import Field

    try:
        return [Field(name.strip()) for name in names.split(",")]
    except ValueError as error:
        raise BadInput(f"expected --fields among {', '.join(Field)}, found {names!r}") from error


def _evaluate(pipeline: Pipeline, models: str | None, as_json: bool) -> None:
    from relevance import judge

    names = [name.strip() for name in models.split(",")] if models else None
    if names is not None and not all(names):
        raise BadInput(f"expected --models as names with commas between, found {models!r}")
    verdict = judge.evaluate_models(pipeline, names)
    console.finish("\n".join(verdict.lines()), verdict.summary(), as_json)


def _said(made: bool, model: Path) -> bool:
    click.echo(f"{model}: {'trained' if made else 'fresh'}")
    return made


def main() -> int:
    """Entry point; returns the exit status."""
    return console.run(relevance)
