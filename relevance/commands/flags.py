"""The flags of the stages of `relevance`: who is taught and who is asked, and the settings that they become."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from enrich import console
from enrich.engine import Engine
from relevance.commands.student_flags import StudentFlags
from relevance.commands.teaching_flags import TeachingFlags
from relevance.text_fields import Field

if TYPE_CHECKING:
    from relevance.pipeline import RunSettings
    from relevance.teaching.checkpoint import TeacherSettings

SEED = click.IntRange(0, 2**31 - 1)  # what numpy, torch and transformers all take, and a few above it

_PLAN = console.options(
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
    click.option("--seed", type=SEED, default=0, show_default=True, help="Of splits, sampling and training."),
)
FIELD_NAMES = ", ".join(Field)
BACKBONE = click.option(
    "--backbone", metavar="MODEL", help="Teacher's backbone: a folder or hub id.  [default: MiniLM]"
)
FIELDS = click.option(
    "--fields",
    metavar="NAMES",
    help=f"Text fields the teacher reads, comma-separated, of {FIELD_NAMES}.  [default: all]",
)
EPOCHS = click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Passes over the judged pairs, at most.  [default: 3; of few pairs up to 8]",
)
PAIRS = click.option("--pairs", type=click.IntRange(min=1), help="Pairs for the teacher to label.  [default: 20000]")
ENGINE = console.engine_option(
    Engine, "Where pairs are labelled: this process, or a Ray cluster (RAY_ADDRESS), each worker with its own teacher."
)
ACCEPT_DRIFT = click.option(
    "--accept-drift", is_flag=True, help="Learn from soft labels even where `relevance label` found gross faults."
)


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
    engine: Engine = Engine.LOCAL
    workers: int | None = None
    gpus: float | None = None
    accept_drift: bool = False
    teaching: TeachingFlags = field(default_factory=TeachingFlags)
    student: StudentFlags = field(default_factory=StudentFlags)


def planned(command: console.Command) -> console.Command:
    """Give a command --folds, --split, --train-lang and --seed, as one argument `plan: PlanFlags`."""

    @wraps(command)
    def collected(folds: int | None, split: str, train_lang: str, seed: int, **own: object) -> object:
        return command(plan=PlanFlags(folds, split, train_lang, seed), **own)

    return _PLAN(collected)


def _located(model: str | None) -> str | None:
    """A backbone's folder by its full path, which names it from everywhere; a hub id as it is."""
    folder = Path(model).expanduser() if model else None
    return str(folder.resolve()) if folder and folder.is_dir() else model


def run_settings(flags: Flags, last: TeacherSettings | None = None) -> RunSettings:
    """The stages' settings, with what was given. Raises BadInput where flags clash or name nothing.

    `last` is how a teacher was taught that is gone on with, unless another backbone was given.
    """
    from relevance.pipeline import RunSettings
    from relevance.plan import PlanSettings
    from relevance.splits import SplitKind

    base, seed = RunSettings(), flags.plan.seed
    backbone = _located(flags.backbone)
    if last is None or backbone not in (None, _located(last.backbone)):
        last = base.teacher.on(backbone)
    teacher = replace(last, seed=seed, backbone=backbone or last.backbone)
    if flags.epochs:
        teacher = replace(teacher, epochs=flags.epochs)
    if flags.fields:
        from relevance import text_fields

        teacher = replace(teacher, text=teacher.text.selecting(*text_fields.named(flags.fields)))
    teacher = flags.teaching.applied(teacher)
    sample = replace(base.sample, seed=seed, pairs=flags.pairs or base.sample.pairs)
    return RunSettings(
        plan=PlanSettings(
            folds=flags.plan.folds, seed=seed, split=SplitKind(flags.plan.split), train_lang=flags.plan.train_lang
        ),
        teacher=teacher,
        weak=replace(base.weak, seed=seed),
        sample=sample,
        labels=replace(base.labels, engine=flags.engine, workers=flags.workers, gpus=flags.gpus),
        student=replace(flags.student.applied(base.student), seed=seed),
        accept_drift=flags.accept_drift,
    )
