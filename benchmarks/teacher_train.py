"""Training pairs a second: our teacher's trainer against sentence-transformers' CrossEncoderTrainer.

    python -m benchmarks.teacher_train [--small] [--json]      (about ten minutes)

The same backbone (MiniLM), batch size 32, one epoch a run, bf16 on both sides where the processor computes in it, the
same pairs and texts, at most 128 tokens; each side with its own defaults for all else. Two kinds of text
(benchmarks/_judged_pairs.py): short ones, whose lengths differ widely, and all that is told of a pin, which mostly
fills 128 tokens. Only the training loop is timed; the median of the seeds counts. Accuracy is of test queries which
neither side saw, over the seeds. Needs `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from transformers import TrainerCallback

from benchmarks._judged_pairs import LONG, SHORT, JudgedPairs, judged_pairs, teacher_rows
from benchmarks._report import Mark, Report, finish
from benchmarks.rivals.cross_encoder import BATCH_SIZE, MAX_TOKENS, Lessons, train_cross_encoder
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.training import train_teacher
from relevance.text import TextSettings
from relevance.text_fields import Field

PACKAGES = ("torch", "transformers", "sentence-transformers", "accelerate")
PAIRS = 1_600  # of which 70 % train, so that all seeds of both texts take ten minutes
MARKS = {SHORT: 1.8, LONG: 1.2}
SEEDS = 3


class Ran(NamedTuple):
    pairs_per_second: float
    accuracy: float


def main() -> int:
    parser = argparse.ArgumentParser(description="Training pairs a second, against sentence-transformers.")
    parser.add_argument("--small", action="store_true", help="few pairs and one seed, to see that it runs")
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    flags = parser.parse_args()
    pairs = judged_pairs(300 if flags.small else PAIRS)
    report = Report("teacher_train", "pairs/s", PACKAGES)
    for text in (SHORT, LONG):
        measured(report, pairs, text, 1 if flags.small else SEEDS)
    return finish(report, flags.json)


def measured(report: Report, pairs: JudgedPairs, text: str, seeds: int) -> None:
    """Both sides on this text, in turns; the first text's ratio is the report's."""
    sides: dict[str, list[Ran]] = {"ours": [], "rival": []}
    for seed in range(seeds):
        sides["ours"].append(ours(pairs, text, seed))
        sides["rival"].append(rival(pairs, text, seed))
    speed = {side: statistics.median(run.pairs_per_second for run in runs) for side, runs in sides.items()}
    accuracy = {side: [run.accuracy for run in runs] for side, runs in sides.items()}
    if text == SHORT:
        report.compare(speed["ours"], speed["rival"])
    for side in sides:
        report.figures[f"{text}: {side}, pairs/s"] = speed[side]
        report.figures[f"{text}: {side}, accuracy of each seed"] = " ".join(f"{one:.3f}" for one in accuracy[side])
    report.marks += [
        Mark(f"{text}: ratio", speed["ours"] / speed["rival"], f">= {MARKS[text]}"),
        Mark(f"{text}: mean accuracy, ours less the rival's", difference(accuracy), f">= {-noise(accuracy):.3f}"),
    ]


def difference(accuracy: dict[str, list[float]]) -> float:
    return statistics.mean(accuracy["ours"]) - statistics.mean(accuracy["rival"])


def noise(accuracy: dict[str, list[float]]) -> float:
    """Two standard errors of the difference of the means over seeds; nothing where there is one seed."""
    if len(accuracy["ours"]) < 2:
        return 1.0
    return 2 * sum(statistics.variance(found) / len(found) for found in accuracy.values()) ** 0.5


class _Timed(TrainerCallback):
    """Seconds between the loop's begin and its end."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.seconds = -time.perf_counter()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self.seconds += time.perf_counter()


def ours(pairs: JudgedPairs, text: str, seed: int) -> Ran:
    train, dev, test = pairs.split()
    settings = TeacherSettings(
        text=replace(TextSettings().selecting(Field.TITLE), max_tokens=MAX_TOKENS),
        batch_size=BATCH_SIZE,
        epochs=1,
        seed=seed,
    )
    timed = _Timed()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "teacher"
        train_teacher(teacher_rows(train, text), teacher_rows(dev, text), settings, out, callbacks=[timed])
        asked = teacher_rows(test, text)
        levels = Teacher.load(out).predict(asked.queries, asked.pin_texts).argmax(axis=1) + 1
    return Ran(train.height / timed.seconds, float(np.mean(levels == asked.levels)))


def rival(pairs: JudgedPairs, text: str, seed: int) -> Ran:
    train, _, test = pairs.split()
    timed = _Timed()
    ask = train_cross_encoder(lessons(train, text), epochs=1, seed=seed, bf16=True, callbacks=[timed])
    asked = lessons(test, text)
    levels = ask(asked.queries, asked.texts).argmax(axis=1) + 1
    return Ran(train.height / timed.seconds, float(np.mean(levels == np.asarray(asked.levels))))


def lessons(rows: pl.DataFrame, text: str) -> Lessons:
    return Lessons(rows["query"].to_list(), rows[text].fill_null("").to_list(), rows["level"].to_list())


if __name__ == "__main__":
    sys.exit(main())
