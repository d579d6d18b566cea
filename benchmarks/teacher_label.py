"""Pairs labelled a second: `Teacher.predict` against sentence-transformers' `CrossEncoder.predict`.

    python -m benchmarks.teacher_label [--small] [--json]

Both sides hold the same weights (MiniLM, CLS to five logits, taught for one epoch here) and are given the same pairs of
real text (benchmarks/_judged_pairs.py), tokenised to the same ids, at most 128. The rival runs as its documentation
shows, in fp32, at the best of several batch sizes; ours as `relevance label` runs it. Each has a process of its own,
and the median of its turns counts; each turn tokenises all texts anew, ours each distinct one once.
Ours is also measured with the head that is the default, which reads more than CLS.
Needs `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch import nn

from benchmarks._judged_pairs import LONG, JudgedPairs, judged_pairs, teacher_rows
from benchmarks._report import Mark, Report, finish
from enrich.matrices import fast_dtype
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.choices import Targets
from relevance.teaching.network import HeadInput
from relevance.teaching.training import train_teacher
from relevance.text import TextSettings
from relevance.text_fields import Field

PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers")
BATCH_SIZES = (8, 16, 32, 64, 128)
TURNS = 3
PAIRS, SMALL = 1_200, 200  # that both sides are taught with and asked about
CLS, RIVAL, USUAL = "cls", "rival", "default"  # the sides
TEXT = TextSettings().selecting(Field.TITLE)  # one field, so that the rival's plain truncation gives the same ids
CLS_ALONE = TeacherSettings(head_inputs=HeadInput.TOKEN, hidden=(), targets=Targets.LEVEL, text=TEXT, epochs=1)
DEFAULT_HEAD = TeacherSettings(text=TEXT, epochs=1)

Predict = Callable[[list[str], list[str]], npt.NDArray[np.float32]]


class Ran(NamedTuple):
    """A side's pairs/s, the median of its turns, and its answers."""

    pairs_per_second: float
    probabilities: npt.NDArray[np.float32]


def main() -> int:
    parser = argparse.ArgumentParser(description="Pairs labelled a second, against sentence-transformers.")
    parser.add_argument("--small", action="store_true", help="few pairs, to see that it runs")
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    parser.add_argument("--side", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    pairs = judged_pairs(SMALL if flags.small else PAIRS)
    if flags.side:
        run_side(flags.side[0], Path(flags.side[1]), pairs, 1 if flags.small else TURNS)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        teach(pairs, CLS_ALONE, folder / CLS)
        teach(pairs, DEFAULT_HEAD, folder / USUAL)
        ours, rival, usual = (side(one, folder, flags.small) for one in (CLS, RIVAL, USUAL))
    report = Report("teacher_label", "pairs/s", PACKAGES)
    report.compare(ours.pairs_per_second, rival.pairs_per_second)
    report.figures |= {
        "pairs": f"{pairs.rows.height:,} of {pairs.origin}",
        "ours with the default head, pairs/s": usual.pairs_per_second,
        "ours computes in": str(fast_dtype(torch.device("cpu"))).removeprefix("torch."),
    }
    report.marks = [
        Mark("ratio", report.ratio, ">= 3"),
        Mark("ratio with the default head", usual.pairs_per_second / rival.pairs_per_second, ">= 3"),
        *agreement(ours.probabilities, rival.probabilities),
    ]
    return finish(report, flags.json)


def side(name: str, folder: Path, small: bool) -> Ran:
    """Measured in a process of its own, so that no side gains or loses by what another set."""
    arguments = ["--side", name, str(folder), *(["--small"] if small else [])]
    subprocess.run([sys.executable, "-m", "benchmarks.teacher_label", *arguments], check=True)
    found = np.load(folder / f"{name}.npz")
    return Ran(float(found["pairs_per_second"]), found["probabilities"])


def run_side(name: str, folder: Path, pairs: JudgedPairs, turns: int) -> None:
    queries, texts = pairs.rows["query"].to_list(), pairs.rows[LONG].to_list()
    if name == RIVAL:
        size = best_batch_size(folder / CLS, queries[:200], texts[:200])
        predict = cross_encoder(folder / CLS, size)
    else:
        predict = anew(Teacher.load(folder / name))
    predict(queries[:64], texts[:64])  # what is loaded at first use is not measured
    ran = [_timed(predict, queries, texts) for _ in range(turns)]
    speed = len(queries) / statistics.median(seconds for _, seconds in ran)
    np.savez(folder / f"{name}.npz", pairs_per_second=speed, probabilities=ran[0][0])


def anew(teacher: Teacher) -> Predict:
    """Its answers, each text tokenised again: a turn does not gain by the one before."""

    def predict(queries: list[str], texts: list[str]) -> npt.NDArray[np.float32]:
        teacher.forget_texts()
        return teacher.predict(queries, texts)

    return predict


def teach(pairs: JudgedPairs, settings: TeacherSettings, folder: Path) -> None:
    train, dev, _ = pairs.split()
    train_teacher(teacher_rows(train, LONG), teacher_rows(dev, LONG), settings, folder)


class _Logits(nn.Module):
    """The head's layers on CLS, as the last module of a CrossEncoder."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        features["scores"] = self.layers(features["token_embeddings"][:, 0])
        return features


def cross_encoder(folder: Path, batch_size: int) -> Predict:
    """sentence-transformers' CrossEncoder with the checkpoint's weights. Exits with what to install where it lacks."""
    try:
        from sentence_transformers import CrossEncoder
        from sentence_transformers.base.modules import Transformer
    except ImportError:
        sys.exit("expected sentence-transformers to compare with, found none; pip install -e '.[bench]'")
    transformers.utils.logging.set_verbosity_error()  # or it reports the pooler, which neither side uses, as missing
    teacher = Teacher.load(folder, torch.float32)
    transformer = Transformer(str(folder), max_seq_length=TEXT.max_tokens)
    transformer.tokenizer.model_input_names = ["input_ids", "attention_mask"]  # the weights know no token types
    model = CrossEncoder(modules=[transformer, _Logits(teacher.network.head.layers)], num_labels=5, device="cpu")
    marker = TEXT.fields[0].marker

    def predict(queries: list[str], texts: list[str]) -> npt.NDArray[np.float32]:
        inputs = [(query, f"{marker} {text}") for query, text in zip(queries, texts, strict=True)]
        logits = model.predict(inputs, batch_size=batch_size, activation_fn=nn.Identity(), show_progress_bar=False)
        return teacher.record.calibration.probabilities(np.asarray(logits))

    return predict


def best_batch_size(folder: Path, queries: list[str], texts: list[str]) -> int:
    def seconds(size: int) -> float:
        predict = cross_encoder(folder, size)
        predict(queries[:32], texts[:32])
        return _timed(predict, queries, texts)[1]

    return min(BATCH_SIZES, key=seconds)


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
