"""Pairs labelled a second: `Teacher.predict` against sentence-transformers' `CrossEncoder.predict`.

    python -m benchmarks.teacher_label [--small] [--json]

Both sides hold the same weights (MiniLM, CLS to five logits, taught for one epoch here) and are given the same pairs of
real text (benchmarks/_judged_pairs.py), tokenised to the same ids, at most 128. The rival runs as its documentation
shows, in fp32, at the best of several batch sizes; ours as `relevance label` runs it. They take turns and the median
turn of each counts. Ours is also measured with the head that is the default, which reads more than CLS.
Needs `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch import nn

from benchmarks._judged_pairs import LONG, JudgedPairs, judged_pairs, teacher_rows
from benchmarks._report import Mark, Report, finish
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import Targets, TeacherSettings
from relevance.teaching.network import HeadInput, fast_dtype
from relevance.teaching.training import train_teacher
from relevance.text import Field, TextSettings

PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers")
BATCH_SIZES = (8, 16, 32, 64, 128)
TURNS = 3
PAIRS = 1_200  # that both sides are taught with and asked about
TEXT = TextSettings().selecting(Field.TITLE)  # one field, so that the rival's plain truncation gives the same ids
CLS_ALONE = TeacherSettings(head_inputs=HeadInput.TOKEN, hidden=(), targets=Targets.LEVEL, text=TEXT, epochs=1)
DEFAULT_HEAD = TeacherSettings(text=TEXT, epochs=1)

Predict = Callable[[list[str], list[str]], npt.NDArray[np.float32]]


def main() -> int:
    parser = argparse.ArgumentParser(description="Pairs labelled a second, against sentence-transformers.")
    parser.add_argument("--small", action="store_true", help="few pairs, to see that it runs")
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    flags = parser.parse_args()
    pairs = judged_pairs(200 if flags.small else PAIRS)
    queries, texts = pairs.rows["query"].to_list(), pairs.rows[LONG].to_list()
    with tempfile.TemporaryDirectory() as folder:
        teacher, rival = taught(pairs, CLS_ALONE, Path(folder) / "cls")
        usual, _ = taught(pairs, DEFAULT_HEAD, Path(folder) / "default")
        size = best_batch_size(rival, queries[:200], texts[:200])
        sides: dict[str, Predict] = {"ours": teacher.predict, "rival": rival(size), "usual": usual.predict}
        answers, seconds = turns(sides, queries, texts, 1 if flags.small else TURNS)
    report = Report("teacher_label", "pairs/s", PACKAGES)
    report.compare(len(queries) / seconds["ours"], len(queries) / seconds["rival"])
    report.figures |= {
        "pairs": f"{len(queries):,} of {pairs.origin}",
        "rival's best batch size": size,
        "ours with the default head, pairs/s": len(queries) / seconds["usual"],
        "ours computes in": str(fast_dtype(torch.device("cpu"))).removeprefix("torch."),
    }
    report.marks = [
        Mark("ratio", report.ratio, ">= 3"),
        Mark("ratio with the default head", seconds["rival"] / seconds["usual"], ">= 3"),
        *agreement(answers["ours"], answers["rival"]),
    ]
    return finish(report, flags.json)


def taught(pairs: JudgedPairs, settings: TeacherSettings, folder: Path) -> tuple[Teacher, Callable[[int], Predict]]:
    """A teacher of these pairs, and the rival with its weights (where the head is CLS alone)."""
    train, dev, _ = pairs.split()
    train_teacher(teacher_rows(train, LONG), teacher_rows(dev, LONG), settings, folder)
    return Teacher.load(folder), lambda size: cross_encoder(folder, settings, size)


class _Logits(nn.Module):
    """The head's layers on CLS, as the last module of a CrossEncoder."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        features["scores"] = self.layers(features["token_embeddings"][:, 0])
        return features


def cross_encoder(folder: Path, settings: TeacherSettings, batch_size: int) -> Predict:
    """sentence-transformers' CrossEncoder with the checkpoint's weights. Exits with what to install where it lacks."""
    try:
        from sentence_transformers import CrossEncoder
        from sentence_transformers.base.modules import Transformer
    except ImportError:
        sys.exit("expected sentence-transformers to compare with, found none; pip install -e '.[bench]'")
    transformers.utils.logging.set_verbosity_error()  # or it reports the pooler, which neither side uses, as missing
    teacher = Teacher.load(folder, torch.float32)
    transformer = Transformer(str(folder), max_seq_length=settings.text.max_tokens)
    model = CrossEncoder(modules=[transformer, _Logits(teacher.network.head.layers)], num_labels=5, device="cpu")
    marker = settings.text.fields[0].marker

    def predict(queries: list[str], texts: list[str]) -> npt.NDArray[np.float32]:
        inputs = [(query, f"{marker} {text}") for query, text in zip(queries, texts, strict=True)]
        logits = model.predict(inputs, batch_size=batch_size, activation_fn=nn.Identity(), show_progress_bar=False)
        return teacher.record.calibration.probabilities(np.asarray(logits))

    return predict


def best_batch_size(rival: Callable[[int], Predict], queries: list[str], texts: list[str]) -> int:
    def seconds(size: int) -> float:
        predict = rival(size)
        predict(queries[:32], texts[:32])
        return _timed(predict, queries, texts)[1]

    return min(BATCH_SIZES, key=seconds)


def turns(
    sides: dict[str, Predict], queries: list[str], texts: list[str], count: int
) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, float]]:
    """Each side's answers and the median of its seconds."""
    answers: dict[str, npt.NDArray[np.float32]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for predict in sides.values():
        predict(queries[:64], texts[:64])  # what is loaded at first use is not measured
    for _ in range(count):
        for name, predict in sides.items():
            answers[name], taken = _timed(predict, queries, texts)
            seconds[name].append(taken)
    return answers, {name: statistics.median(taken) for name, taken in seconds.items()}


def _timed(predict: Predict, queries: list[str], texts: list[str]) -> tuple[npt.NDArray[np.float32], float]:
    started = time.perf_counter()
    answers = predict(queries, texts)
    return answers, time.perf_counter() - started


def agreement(ours: npt.NDArray[np.float32], rival: npt.NDArray[np.float32]) -> list[Mark]:
    apart = np.abs(ours - rival).max(axis=1)
    same = float(np.mean(ours.argmax(axis=1) == rival.argmax(axis=1)))
    return [
        Mark("greatest |Δp| of 99 % of the pairs", float(np.quantile(apart, 0.99)), "<= 0.01"),
        Mark("greatest |Δp|", float(apart.max()), "<= 0.03"),
        Mark("most probable level the same, share", same, ">= 0.995"),
    ]


if __name__ == "__main__":
    sys.exit(main())
