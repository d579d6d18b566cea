"""How fast this machine teaches and asks: measured once, kept, and what a plan is made of.

Reads a ground's rows; writes W/experiments/rates/BACKBONE, so that a killed experiment goes on with the plan that it
began with. Removing that folder has it measured again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import polars as pl
from transformers import TrainerCallback

from relevance.experiments import students
from relevance.experiments.arms import Bench
from relevance.experiments.budget import Rates
from relevance.experiments.ground import Ground
from relevance.experiments.remembered import remembered
from relevance.framing.judged import teacher_rows
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.training import train_teacher
from relevance.text import pin_texts_from_frame

_VERSION = 1  # of how it is measured
_STEPS = 4  # of a teacher, of which the first does not count
_ASKED, _STUDIED, _ENCODED = 192, 600, 96  # pairs, rows, texts


def measured(bench: Bench, ground: Ground, backbones: Sequence[str]) -> Rates:
    """The rates, of each backbone ("" is the default one) and of the student. Raises BadInput for one that is none."""
    taught, asked = dict[str, float](), dict[str, float]()
    for backbone in backbones:
        settings = replace(bench.teacher_settings.on(backbone or None), epochs=1)
        files = bench.files_of(settings.backbone)
        found = _kept(bench.room, ("teacher", settings, *files), partial(_teacher, settings, ground))
        taught[backbone], asked[backbone] = found["taught"], found["asked"]
    student = _kept(bench.room, ("student", bench.encoder.producer), partial(_student, bench, ground))
    return Rates(taught, asked, student["student"], student["encoded"])


def _kept(room: Path, of: tuple[object, ...], measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    return remembered(room, "rates", (_VERSION, os.cpu_count(), *of), measure)


def _teacher(settings: TeacherSettings, ground: Ground) -> dict[str, float]:
    """Pairs a second, of a few steps of training and of one round of questions."""
    rows = ground.train.sample(_STEPS * settings.batch_size, with_replacement=True, seed=0)
    if rows["level"].n_unique() < 2:
        rows = pl.concat([rows, ground.train.unique("level")])
    watch = _Watch()
    with tempfile.TemporaryDirectory(prefix="corkboard-rates-") as folder:
        out = Path(folder) / "teacher"
        train_teacher(teacher_rows(rows), teacher_rows(ground.dev.head(32)), settings, out, None, None, (watch,))
        teacher = Teacher.load(out)
        pairs = ground.train.sample(_ASKED, with_replacement=True, seed=1)
        queries, pins = pairs["query"].to_list(), pin_texts_from_frame(pairs)
        teacher.predict(queries[:32], pins[:32])
        begun = perf_counter()
        teacher.predict(queries, pins)
        asked = _ASKED / (perf_counter() - begun)
    return {"taught": settings.batch_size / max(watch.seconds_a_step, 1e-6), "asked": asked}


def _student(bench: Bench, ground: Ground) -> dict[str, float]:
    """Rows a second of a whole training, and texts a second of the encoder."""
    rows = ground.train.head(_STUDIED)
    with tempfile.TemporaryDirectory(prefix="corkboard-rates-") as folder:
        begun = perf_counter()
        settings = bench.student_settings
        students.teach(rows, ground.dev.head(64), settings, Path(folder) / "student", bench.encoder, "")
        student = rows.height / (perf_counter() - begun)
    texts = [f"{query} {i}" for i, query in enumerate(rows["query"].head(_ENCODED))]
    begun = perf_counter()
    bench.encoder.encode(texts)
    return {"student": student, "encoded": len(texts) / max(perf_counter() - begun, 1e-6) / 3}  # pins' texts are longer


class _Watch(TrainerCallback):
    """Times Trainer's steps, but for the first, which also warms up."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._steps: list[float] = []

    def on_step_begin(self, args: object, state: object, control: object, **_: object) -> None:
        self._begun = perf_counter()

    def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
        if self._begun is not None:
            self._steps.append(perf_counter() - self._begun)

    @property
    def seconds_a_step(self) -> float:
        steps = self._steps[1:] or self._steps
        return sum(steps) / max(1, len(steps))
