"""What an experiment is given: the bench, its ground at the planned scale, and what was asked of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich.errors import BadInput
from enrich.tables import Table
from enrich.text_encoder import TextEncoder
from relevance.experiments.arms import Arm, Bench, Gathered, Model, Scored
from relevance.experiments.budget import DEFAULT_MINUTES, Demand, Scale
from relevance.experiments.ground import Ground
from relevance.experiments.names import Name
from relevance.experiments.records import Found
from relevance.learning.inputs import QueryEncoder
from relevance.splits import Split, primary_language
from relevance.teaching.checkpoint import TeacherSettings
from relevance.text_fields import Field

Rows = Callable[[pl.DataFrame], pl.DataFrame]  # a frame changed: a field left out, labels made wrong
Fields = Sequence[Field]
_DEFAULT_BACKBONE = "MiniLM"
TEACHER_ARM, STUDENT_ARM, HUMAN_ARM = "teacher", "student", "student, people's labels"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the flags say."""

    minutes: float = DEFAULT_MINUTES
    seeds: int | None = None  # None: the experiment's own number
    seed: int = 0  # the first one, and that of splits and samples
    folds: int | None = None  # None: by the number of judged queries, as `relevance run`
    backbones: tuple[str, ...] = ()  # the teacher's, or, where an experiment compares them, others beside the default
    fields: tuple[Field, ...] = ()  # of an ablation; all where empty
    train_lang: str = "en"  # of a transfer

    def label(self, backbone: str) -> str:
        """The backbone as arms are named for it: by its last name, whole where two share that one."""
        names = [_last_name(one) for one in ("", *self.backbones)]
        return backbone if backbone and names.count(_last_name(backbone)) > 1 else _last_name(backbone)

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise BadInput(f"expected --budget in minutes, above 0, found {self.minutes:g}")
        if self.seeds is not None and self.seeds < 1:
            raise BadInput(f"expected --seeds of 1 or more, found {self.seeds}")
        repeated = [one for one in self.backbones if self.backbones.count(one) > 1]
        if repeated:
            raise BadInput(f"expected each --backbone once, found {repeated[0]} more often")


def _last_name(backbone: str) -> str:
    return Path(backbone.partition("@")[0]).name if backbone else _DEFAULT_BACKBONE


@dataclass(frozen=True)
class Site:
    name: Name
    bench: Bench
    grounds: list[Ground]
    scale: Scale
    wanted: Wanted
    judged: pl.DataFrame  # every judged row, student_v1 columns
    catalogue: Callable[[], pl.Series]  # every pin's text
    votes: Callable[[], pl.DataFrame]  # the judgments table, one row a vote
    table: Callable[[Table], pl.LazyFrame]  # of the workspace; no columns where there is none
    audiences: Callable[[pl.DataFrame], pl.DataFrame] = lambda _: pl.DataFrame()  # of pairs, by whom they are seen
    encoder_of: Callable[[str], TextEncoder] = TextEncoder

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.wanted.seed + i for i in range(self.scale.seeds))

    @property
    def encoder(self) -> QueryEncoder:
        return self.bench.encoder

    @cached_property
    def learns_from_log(self) -> bool:
        """Whether teachers learn from behaviour first: there is some, and the plan has room for it."""
        return any(self.bench.weak(ground, self.scale.weak_pairs).height for ground in self.grounds)

    def gather(self, arms: Sequence[Arm]) -> Gathered:
        return self.bench.gather(self.name, arms, self.grounds, self.seeds)

    def teacher(
        self, ground: Ground, seed: int, change: Rows | None = None, settings: TeacherSettings | None = None
    ) -> Model:
        """One taught on the ground's rows, each changed."""
        chosen = replace(settings or self.bench.teacher_settings, seed=seed)
        rows = (ground.train, ground.dev, self.bench.weak(ground, self.scale.weak_pairs))
        train, dev, weak = (change(one) if change and one.height else one for one in rows)
        return self.bench.teacher(train, dev, weak, chosen)

    def student(self, ground: Ground, seed: int, teacher: Model | None = None, change: Rows | None = None) -> Model:
        """One of the ground's human rows and, with a teacher, the scale's soft labels, the student's inputs changed."""
        settings = replace(self.bench.student_settings, seed=seed)
        human, dev = ((change(rows) if change else rows) for rows in (ground.train, ground.dev))
        soft = self.soft_labels(ground, teacher) if teacher is not None else None
        if soft is not None and change is not None and soft.height:
            soft = change(soft)
        return self.bench.student(human, dev, soft if soft is not None and soft.height else None, settings)

    def soft_labels(self, ground: Ground, teacher: Model, pairs: int | None = None) -> pl.DataFrame:
        """The ground's unjudged rows, at most so many (the scale's), with the teacher's probabilities."""
        wanted = self.scale.soft_pairs if pairs is None else pairs
        soft = self.bench.soft(ground, wanted) if wanted else ground.train.head(0)
        return self.bench.labelled(teacher, soft) if soft.height else soft


def plain_arms(site: Site, student: bool = True) -> list[Arm]:
    """The teacher and the students as `relevance run` makes them, at the scale's size."""

    def of_teacher(ground: Ground, seed: int) -> Scored:
        return site.bench.answered(site.teacher(ground, seed), ground.test)

    def of_student(ground: Ground, seed: int) -> Scored:
        return site.bench.answered(site.student(ground, seed, site.teacher(ground, seed)), ground.test)

    def of_human(ground: Ground, seed: int) -> Scored:
        return site.bench.answered(site.student(ground, seed), ground.test)

    arms = [Arm(TEACHER_ARM, of_teacher, essential=True)]
    if student:
        arms += [Arm(HUMAN_ARM, of_human, essential=True), Arm(STUDENT_ARM, of_student)]
    return arms


class Experiment(NamedTuple):
    """One experiment: what it has to do at a scale, and doing it."""

    demand: Callable[[Scale, Wanted, Fields], Demand]  # of judged pins that have these text fields
    run: Callable[[Site], Found]
    seeds: int = 1  # where none are asked for
    soft_pairs: int | None = None  # that a teacher is to label at full size; None: as `relevance run`, 0: none
    weak_pairs: int | None = None  # of the log that a teacher learns from first; None and 0 as above
    precious: str | None = None  # what of the scale the experiment is about
    groups: int = 1  # of arms, that a plan may leave out from the last
    compares_backbones: bool = False
    splits: Callable[[pl.DataFrame, Wanted], list[tuple[str, Split]]] | None = None  # None: by query
    others: Callable[[pl.DataFrame, Split, Wanted], pl.DataFrame] | None = None  # judged rows that some arms add


def runs(scale: Scale) -> int:
    """How often each arm is made."""
    return scale.seeds * scale.folds


def languages(rows: pl.DataFrame) -> pl.Series:
    """Each row's primary language; null without one."""
    if "lang" not in rows.columns:
        return pl.Series("lang", [None] * rows.height, dtype=pl.String)
    return pl.Series("lang", [primary_language(one) for one in rows["lang"]], dtype=pl.String)
