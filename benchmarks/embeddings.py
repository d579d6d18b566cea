"""Texts embedded a second: `TextEncoder.encode_in_bulk` against sentence-transformers' `SentenceTransformer.encode`.

    python -m benchmarks.embeddings [--small] [--json]

Both sides have the same weights (all-MiniLM-L6-v2) and the same pins' texts (benchmarks/_judged_pairs.py), cut at 256
tokens. The rival runs as its documentation shows, in fp32, at the best of several batch sizes; ours as `enrich
embeddings` runs it. Each has a process of its own, and the median of its turns counts. What bfloat16 changes is told by
the cosine of both sides' vectors, and by the ten nearest texts of each text. Where the processor does not compute in
bfloat16 both sides are float32, and there is no mark for speed.
Needs `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from benchmarks._judged_pairs import pin_texts
from benchmarks._report import Mark, Report, finish
from enrich.embeddings import EmbeddingSettings
from enrich.matrices import fast_dtype
from enrich.text_encoder import TextEncoder, default_model_path

PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers")
BATCH_SIZES = (8, 16, 32, 64, 128)
TURNS = 3
TEXTS, SMALL = 3_000, 100
NEAREST = 10
OURS, RIVAL = "ours", "rival"  # the sides

Vectors = npt.NDArray[np.float32]
Encode = Callable[[list[str]], Vectors]


class Ran(NamedTuple):
    """A side's texts/s, the median of its turns, and its vectors."""

    texts_per_second: float
    vectors: Vectors


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Texts embedded a second, against sentence-transformers.")
    parser.add_argument("--small", action="store_true", help="few texts, to see that it runs")
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    parser.add_argument("--side", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    origin, texts = pin_texts(SMALL if flags.small else TEXTS)
    if flags.side:
        run_side(flags.side[0], Path(flags.side[1]), texts, 1 if flags.small else TURNS)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        ours, rival = (side(one, Path(folder), flags.small) for one in (OURS, RIVAL))
    computed = fast_dtype(torch.device("cpu"))
    report = Report("embeddings", "texts/s", PACKAGES)
    report.compare(ours.texts_per_second, rival.texts_per_second)
    apart = 1 - (ours.vectors.astype(np.float64) * rival.vectors).sum(axis=1)
    report.figures |= {
        "texts": f"{len(texts):,} of {origin}",
        "ours computes in": str(computed).removeprefix("torch."),
        "mean |1 - cos|": float(np.abs(apart).mean()),
    }
    report.marks = [
        *([Mark("ratio", report.ratio, ">= 2")] if computed is torch.bfloat16 else []),
        Mark("greatest |1 - cos|", float(np.abs(apart).max()), "<= 0.001"),
        Mark(f"the {NEAREST} nearest the same, share", same_nearest(ours.vectors, rival.vectors), ">= 0.99"),
    ]
    return finish(report, flags.json)


def side(name: str, folder: Path, small: bool) -> Ran:
    """Measured in a process of its own, so that no side gains or loses by what another set."""
    arguments = ["--side", name, str(folder), *(["--small"] if small else [])]
    subprocess.run([sys.executable, "-m", "benchmarks.embeddings", *arguments], check=True)
    found = np.load(folder / f"{name}.npz")
    return Ran(float(found["texts_per_second"]), found["vectors"])


def run_side(name: str, folder: Path, texts: list[str], turns: int) -> None:
    encode = in_bulk(TextEncoder(device="cpu")) if name == OURS else sentence_transformer(texts[: len(texts) // 10])
    encode(texts[:64])  # what is loaded at first use is not measured
    ran = [_timed(encode, texts) for _ in range(turns)]
    speed = len(texts) / statistics.median(seconds for _, seconds in ran)
    np.savez(folder / f"{name}.npz", texts_per_second=speed, vectors=ran[0][0])


def in_bulk(encoder: TextEncoder) -> Encode:
    """As many texts at once as the job hands over."""
    at_once = EmbeddingSettings().job.batch_size

    def encode(texts: list[str]) -> Vectors:
        starts = range(0, len(texts), at_once)
        return np.concatenate([encoder.encode_in_bulk(texts[start : start + at_once]) for start in starts])

    return encode


def sentence_transformer(trial: list[str]) -> Encode:
    """sentence-transformers' encoder at the batch size that is best for `trial`. Exits with what to install where it
    lacks.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        sys.exit("expected sentence-transformers to compare with, found none; pip install -e '.[bench]'")
    model = SentenceTransformer(str(default_model_path()), device="cpu")

    def of_size(size: int) -> Encode:
        return lambda texts: np.asarray(model.encode(texts, batch_size=size, show_progress_bar=False))

    model.encode(trial[:32], show_progress_bar=False)
    return of_size(min(BATCH_SIZES, key=lambda size: _timed(of_size(size), trial)[1]))


def _timed(encode: Encode, texts: list[str]) -> tuple[Vectors, float]:
    started = time.perf_counter()
    vectors = encode(texts)
    return vectors, time.perf_counter() - started


def same_nearest(one: Vectors, other: Vectors) -> float:
    """The share of each text's nearest others, by cosine, that both sides' vectors name."""
    shared = [len(set(a) & set(b)) for a, b in zip(_nearest(one), _nearest(other), strict=True)]
    return float(np.mean(shared)) / NEAREST


def _nearest(vectors: Vectors) -> npt.NDArray[np.int64]:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]


if __name__ == "__main__":
    sys.exit(main())
