"""The bench: arms trained and asked, each model and each answer a stage that is kept and found again.

Reads rows (ground.py); writes below W/experiments, never W/models:

    models/KIND-FINGERPRINT/    a teacher or student, by the fingerprint of all that made it: experiments share them
    answers/FINGERPRINT/        what a model said of a frame of pairs
    arms/FINGERPRINT            an arm of an experiment that was answered in full

A model is trained when an answer that is not kept is wanted of it, and not before: where models/ was removed to free
disk, nothing is trained again for what is in answers/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.errors import BadInput
from enrich.progress import progress
from relevance import stages
from relevance.experiments import students
from relevance.experiments.budget import Clock, OutOfTime
from relevance.experiments.ground import Ground, Unjudged
from relevance.framing.judged import teacher_rows, weak_rows
from relevance.learning.inputs import QueryEncoder
from relevance.metrics import Floats, expected_level
from relevance.student import StudentSettings
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.network import revision_of
from relevance.teaching.training import TEACHING_VERSION, train_teacher
from relevance.text import pin_texts_from_frame
from relevance.text_fields import TABLES

ANSWER_FILE = "probabilities.npy"
TEXTS = tuple(f"{table.name}__" for table in TABLES)
_TOLD = ("level", "votes", "probabilities")  # labels: no part of a question
_LESSON = ("query", "pin_id", *_TOLD)


class Kind(StrEnum):
    TEACHER = "teacher"
    STUDENT = "student"


@dataclass(frozen=True, slots=True)
class Model:
    """One that can be asked; trained once an answer is wanted that is not kept."""

    kind: Kind
    folder: Path
    made_from: str
    train: Callable[[Path], None]
    taught: frozenset[str]


class Scored(NamedTuple):
    """What an arm says of a ground's test rows."""

    probabilities: Floats  # [n, 5]
    scores: Floats  # [n], what it ranks by


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to answer; `answer(ground, seed)` says it of the ground's test rows."""

    name: str
    answer: Callable[[Ground, int], Scored]
    seeded: bool = True  # whether another seed gives another answer
    essential: bool = False  # made whatever the time: the others are compared with it


class Gathered(NamedTuple):
    answers: dict[str, list[pl.DataFrame]]  # of each arm, a frame a seed
    left_out: tuple[str, ...]


class Bench:
    """Trains and asks; counts what it did, so that a second run can be seen to do nothing."""

    def __init__(
        self,
        room: Path,
        encoder: QueryEncoder,
        teacher: TeacherSettings,
        student: StudentSettings,
        unjudged: Unjudged,
        clock: Clock,
        service: str = "",
    ) -> None:
        self.room = room
        self.encoder = encoder
        self.teacher_settings = teacher
        self.student_settings = student
        self.unjudged = unjudged
        self.clock = clock
        self.done: Counter[str] = Counter()
        self.refused: list[str] = []  # arms that could not be made, and why
        self._service = service
        self._loaded: tuple[Path, Teacher] | None = None
        self._files: dict[str | None, tuple[str, ...]] = {}
        self._weak: dict[tuple[str, int], pl.DataFrame] = {}
        self._soft: dict[tuple[str, int], pl.DataFrame] = {}

    def weak(self, ground: Ground, pairs: int) -> pl.DataFrame:
        """The ground's weak rows, joined once."""
        key = (_of(ground), pairs)
        if key not in self._weak:
            self._weak[key] = self.unjudged.weak(ground, pairs) if pairs else pl.DataFrame()
        return self._weak[key]

    def soft(self, ground: Ground, pairs: int) -> pl.DataFrame:
        """The ground's rows for a teacher to label, joined once."""
        key = (_of(ground), pairs)
        if key not in self._soft:
            self._soft[key] = self.unjudged.soft(ground, pairs)
        return self._soft[key]

    @property
    def drawn(self) -> list[pl.DataFrame]:
        """The rows for a teacher to label that were asked for."""
        return list(self._soft.values())

    def teacher(
        self, train: pl.DataFrame, dev: pl.DataFrame, weak: pl.DataFrame, settings: TeacherSettings | None = None
    ) -> Model:
        """One taught by these rows (weak: none where it is empty)."""
        chosen = settings or self.teacher_settings
        train, dev, weak = (_read(rows) for rows in (train, dev, weak))

        def work(out: Path) -> None:
            lesson = weak_rows(weak) if weak.height else None
            train_teacher(teacher_rows(train), teacher_rows(dev), chosen, out, self._service, lesson)

        files = self.files_of(chosen.backbone)
        made_from = stages.fingerprint(train, dev, weak, chosen, self._service, TEACHING_VERSION, *files)
        return self._model(Kind.TEACHER, made_from, work, train, dev, weak)

    def files_of(self, backbone: str | None) -> tuple[str, ...]:
        """What tells a backbone's files where a folder is named, as in `relevance run`; read once."""
        if backbone not in self._files:
            files = revision_of(backbone) if backbone is not None else None
            self._files[backbone] = () if files is None else (files,)
        return self._files[backbone]

    def student(
        self,
        human: pl.DataFrame,
        dev: pl.DataFrame,
        soft: pl.DataFrame | None = None,
        settings: StudentSettings | None = None,
    ) -> Model:
        """One taught by human rows and, with a second opinion as in the product, soft ones with `probabilities`."""
        chosen = settings or self.student_settings
        rows = human if soft is None else pl.concat([human, soft], how="diagonal_relaxed")

        def work(out: Path) -> None:
            alone = soft is None or human.is_empty() or not chosen.peer_share
            peer = None if alone else self.trained(self.student(human, dev, settings=chosen))
            students.teach(rows, dev, chosen, out, self.encoder, self._service, peer)

        made_from = stages.fingerprint(rows, dev, chosen, self._service, self.encoder.producer, human.height)
        return self._model(Kind.STUDENT, made_from, work, rows, dev)

    def _model(self, kind: Kind, made_from: str, work: Callable[[Path], None], *rows: pl.DataFrame) -> Model:
        taught = frozenset(query for frame in rows if frame.height for query in frame["query"].unique())
        return Model(kind, self.room / "models" / f"{kind}-{made_from}", made_from, work, taught)

    def trained(self, model: Model) -> Path:
        """The model's folder, trained first where it is not. Raises OutOfTime."""
        if not stages.fresh(model.folder, model.made_from):
            self.clock.check()
            stages.make(model.folder, model.made_from, model.train, model.taught)
            self.done[f"{model.kind} trained"] += 1
        return model.folder

    def ask(self, model: Model, frame: pl.DataFrame) -> Floats:
        """The model's probabilities [n, 5] of the frame's pairs, kept. Raises OutOfTime."""
        asked = _read(frame, ("query", "pin_id")) if model.kind is Kind.TEACHER else frame.drop(_TOLD, strict=False)
        made_from = stages.fingerprint(model.made_from, asked)

        def answer(out: Path) -> None:
            np.save(out / ANSWER_FILE, self._ask(model, frame).astype(np.float32))

        return self.kept(made_from, answer)

    def kept(self, made_from: str, work: Callable[[Path], None]) -> Floats:
        """An answer by its fingerprint; `work` writes ANSWER_FILE into a folder. Raises OutOfTime."""
        folder = self.room / "answers" / made_from
        if not stages.fresh(folder, made_from):
            self.clock.check()
            stages.make(folder, made_from, work)
            self.done["answers"] += 1
        found: Floats = np.load(folder / ANSWER_FILE, allow_pickle=False)
        return found

    def _ask(self, model: Model, frame: pl.DataFrame) -> Floats:
        folder = self.trained(model)
        if model.kind is Kind.STUDENT:
            return students.answer(folder, frame, self.encoder)
        found = self.load(folder).predict(frame["query"].to_list(), pin_texts_from_frame(frame))
        return found.astype(np.float64)

    def load(self, folder: Path) -> Teacher:
        """A teacher; the last one stays loaded."""
        if self._loaded is None or self._loaded[0] != folder:
            self._loaded = (folder, Teacher.load(folder))
        return self._loaded[1]

    def answered(self, model: Model, frame: pl.DataFrame) -> Scored:
        """The model's answer about a frame, ranked by expected level."""
        probabilities = self.ask(model, frame)
        return Scored(probabilities, expected_level(probabilities))

    def labelled(self, teacher: Model, soft: pl.DataFrame) -> pl.DataFrame:
        """The rows with the teacher's probabilities."""
        said = self.ask(teacher, soft)
        return soft.with_columns(pl.Series("probabilities", said.tolist(), pl.List(pl.Float32)))

    def gather(self, name: str, arms: Sequence[Arm], grounds: Sequence[Ground], seeds: Sequence[int]) -> Gathered:
        """Every arm's answers; those that time does not allow are left out, and named."""
        answers: dict[str, list[pl.DataFrame]] = {}
        left_out = list[str]()
        with progress(len(arms), f"experiment {name}", unit="arm") as bar:
            for arm in arms:
                bar.set_postfix_str(arm.name)
                self.clock.essential = arm.essential
                receipt = self._receipt(name, arm, grounds, seeds)
                if self.clock.over and not receipt.is_file():  # not even its rows are made: they may need encoding
                    left_out.append(arm.name)
                    continue
                try:
                    answers[arm.name] = [
                        pl.concat([_answers(ground, arm.answer(ground, seed)) for ground in grounds])
                        for seed in (seeds if arm.seeded else seeds[:1])
                    ]
                    receipt.parent.mkdir(parents=True, exist_ok=True)
                    receipt.touch()
                except OutOfTime:
                    left_out.append(arm.name)
                except BadInput as error:  # of one arm's rows: pruned to a single level, for instance
                    if arm.essential:
                        raise
                    self.refused.append(f"{arm.name} could not be made: {error}.")
                bar.update(1)
        self.clock.essential = False
        return Gathered(answers, tuple(left_out))

    def _receipt(self, name: str, arm: Arm, grounds: Sequence[Ground], seeds: Sequence[int]) -> Path:
        """Is there once an arm was answered in full: that it will be found, not what it said."""
        of = [_of(ground) for ground in grounds], self.teacher_settings.epochs, list(seeds)
        return self.room / "arms" / stages.fingerprint(name, arm.name, *of)


def _answers(ground: Ground, said: Scored) -> pl.DataFrame:
    """Beside the test pairs' gold."""
    columns = [name for name in ("query", "pin_id", "level", "lang") if name in ground.test.columns]
    return ground.test.select(columns).with_columns(
        pl.col("level").cast(pl.Int64),
        probabilities=pl.Series(np.asarray(said.probabilities, np.float64).tolist(), dtype=pl.List(pl.Float64)),
        score=pl.Series(np.asarray(said.scores, np.float64)),
        fold=pl.lit(ground.name),
    )


def _read(frame: pl.DataFrame, beside: Sequence[str] = _LESSON) -> pl.DataFrame:
    """The columns that a teacher reads, in an order of their own, so that a fingerprint is of them alone."""
    names = sorted(name for name in frame.columns if name in beside or name.startswith(TEXTS))
    return frame.select(names)


def _of(ground: Ground) -> str:
    """What decides a ground's unjudged rows."""
    return stages.fingerprint(ground.split.train, ground.split.held_out, ground.split.log)
