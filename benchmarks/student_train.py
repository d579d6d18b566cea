"""Rows a second of the student's training, from the disk on, against a bare loop of the same matrix products.

    python -m benchmarks.student_train [--small] [--rows N] [--json]

Labelled pairs of 20,000 pins (three vectors of 384, six texts) are gathered and packed as `relevance train-student`
does, then learned from for an epoch at the default size and batch: reading, shuffling, inputs left out, embedding
tables, dropout, loss, optimizer. The rival is what no implementation can do without: the network's linear layers, of
the same widths and on the same number of rows, forward, backward and AdamW, on random tensors that are in memory
already. Both sides in turns; the median counts. Then the peaks of two runs whose rows are in the ratio of 1 to 4, each
in a process of its own: memory that does not grow with the rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import nn

from benchmarks._catalogue import engagement, lists, texts
from benchmarks._report import Mark, Report, finish, peak_mb
from enrich.memory import keep_freed_memory
from enrich.query_payload import PAIR_COLUMNS
from relevance.features import Statistics
from relevance.learning.batches import Batches
from relevance.learning.fit import fit
from relevance.learning.gathered import gather
from relevance.learning.network import StudentNetwork
from relevance.learning.packed import Packed, pack
from relevance.learning.pieces import ROWS_A_PIECE, Pieces
from relevance.learning.resuming import Checkpoint
from relevance.student import StudentSettings

PACKAGES = ("torch", "numpy", "polars")
DIMENSION, PAIRS_A_QUERY = 384, 20
BAR, GROWTH = 0.7, 1.25
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Measured(NamedTuple):
    """What one process says."""

    rows: int
    gather_seconds: float
    pack_seconds: float
    ours: float  # rows/s
    rival: float
    queries: float  # mean distinct queries in a batch
    peak_mb: float  # before the rival


class _NoEncoder:
    """Every query has its stored vector."""

    dimension, producer = DIMENSION, "benchmark"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts), DIMENSION), np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="few rows, to see that it runs")
    parser.add_argument("--rows", type=int, help="of the larger run")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    pins = 2_000 if flags.small else 20_000
    if flags.step:
        print(json.dumps(measured(flags.step, pins, 1 if flags.small else 3)._asdict()))
        return 0
    rows = flags.rows or (4 * ROWS_A_PIECE if flags.small else 32 * ROWS_A_PIECE)
    small, large = (of_process(count, flags.small) for count in (rows // 4, rows))
    report = Report("student_train", "rows/s", PACKAGES)
    report.compare(large.ours, large.rival)
    for name, one in (("fewer rows", small), ("more rows", large)):
        report.figures[f"{name}: rows"] = one.rows
        report.figures[f"{name}: gathered, rows/s"] = one.rows / one.gather_seconds
        report.figures[f"{name}: packed, rows/s"] = one.rows / one.pack_seconds
        report.figures[f"{name}: learned, rows/s"] = one.ours
        report.figures[f"{name}: bare matrix products, rows/s"] = one.rival
        report.figures[f"{name}: distinct queries a batch"] = one.queries
        report.figures[f"{name}: peak MB"] = one.peak_mb
    report.marks = [
        Mark("rows/s ÷ those of the bare loop", large.ours / large.rival, f">= {BAR}"),
        Mark("peak of four times the rows ÷ peak", large.peak_mb / small.peak_mb, f"<= {GROWTH}"),
    ]
    return finish(report, flags.json)


def of_process(rows: int, small: bool) -> Measured:
    command = [sys.executable, "-m", "benchmarks.student_train", "--step", str(rows), *(["--small"] if small else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


def measured(rows: int, pins: int, rounds: int) -> Measured:
    keep_freed_memory()  # as every command does
    settings = replace(StudentSettings(), epochs=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        catalogue = _catalogue(pins)
        pieces = Pieces(-(-rows // ROWS_A_PIECE), lambda number: piece(catalogue, number, rows))
        begin = time.perf_counter()
        gathered = gather(pieces, _NoEncoder(), settings, folder / "gathered", "gather")
        counted = gathered.statistics
        between = time.perf_counter()
        packed = pack(gathered, counted, settings, folder / "packed", "pack")
        end = time.perf_counter()
        batches = Batches(packed, settings)
        queries = statistics.mean(
            len(batch.inputs.query_vector) for batch, _ in zip(batches.of(0, 0), range(20), strict=False)
        )
        for once in (
            packed.number_moments,
            packed.query_moments,
            packed.constant_numbers,
            packed.constant_query_numbers,
        ):
            once()  # as train_student does beside the epochs
        learned(packed, counted, replace(settings, seed=rounds), folder)  # what is loaded at the first step is, now
        peak, speeds = peak_mb(), list[tuple[float, float]]()
        for turn in range(rounds):
            ours = learned(packed, counted, replace(settings, seed=turn), folder)
            speeds.append((ours, bare(counted, settings, round(queries), min(len(packed), 100_000))))
        return Measured(
            len(packed),
            between - begin,
            end - between,
            statistics.median(ours for ours, _ in speeds),
            statistics.median(rival for _, rival in speeds),
            queries,
            peak,
        )


def learned(packed: Packed, counted: Statistics, settings: StudentSettings, folder: Path) -> float:
    """Rows a second of one epoch."""
    torch.manual_seed(0)
    network = StudentNetwork(replace(settings.network, low_rank=False), counted.dimensions, len(counted.interests))
    batches, checkpoint = Batches(packed, settings), Checkpoint(folder / f"training-{settings.seed}", "benchmark")
    begin = time.perf_counter()
    fit(network, batches, None, settings, checkpoint)
    return len(packed) / (time.perf_counter() - begin)


class _Layer(NamedTuple):
    linear: nn.Linear
    rows: torch.Tensor
    back: torch.Tensor  # the gradient of what it gives


def bare(counted: Statistics, settings: StudentSettings, queries: int, rows: int) -> float:
    """Rows a second of the linear layers alone."""
    torch.manual_seed(0)
    network = StudentNetwork(replace(settings.network, low_rank=False), counted.dimensions, len(counted.interests))
    layers = list(_layers(network, settings.batch_size, queries))
    parameters = [weight for layer in layers for weight in layer.linear.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )  # fmt: skip
    steps = -(-rows // settings.batch_size)
    begin = time.perf_counter()
    for _ in range(steps):
        given = [layer.linear(layer.rows) for layer in layers]
        optimizer.zero_grad()
        torch.autograd.backward(given, [layer.back for layer in layers])
        optimizer.step()
    return steps * settings.batch_size / (time.perf_counter() - begin)


def _layers(network: StudentNetwork, pairs: int, queries: int) -> Iterator[_Layer]:
    """Each with random rows; those above the first pass a gradient on."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            rows = queries if name.startswith("query") else pairs
            above = name in ("pair_hidden", "tower", "logits")
            given = torch.randn(rows, layer.in_features, requires_grad=above)
            yield _Layer(layer, given, torch.randn(rows, layer.out_features))


def _catalogue(pins: int) -> pl.DataFrame:
    """A student_v1 row a pin, without the query's part."""
    random = np.random.default_rng(0)
    columns = {
        "pin_text__title": texts(random, pins, 6),
        "pin_text__description": texts(random, pins, 25),
        "pin_text__lang": ["en"] * pins,
        "pin_caption__caption": texts(random, pins, 9),
        "pin_link__link_title": texts(random, pins, 7),
        "pin_boards__board_titles": lists(random, pins, 5),
        "pin_queries__engaged_queries": lists(random, pins, 8),
        **{f"pin_engagement__{name}": values for name, values in engagement(random, pins).items()},
    }
    vectors = {
        name: pl.Series(_unit(random, pins), dtype=pl.Array(pl.Float32, DIMENSION)).arr.to_list()
        for name in ("pin_text_embedding__text_embedding", "pin_visual_embedding__visual_embedding",
                     "pin_graph__graph_embedding")
    }  # fmt: skip
    return pl.DataFrame({"pin_id": [f"pin{i:08d}" for i in range(pins)], **columns}).with_columns(**vectors)


def _unit(random: np.random.Generator, rows: int) -> np.ndarray:
    values = random.standard_normal((rows, DIMENSION), np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def piece(catalogue: pl.DataFrame, number: int, rows: int) -> pl.DataFrame:
    """Pairs of queries with 20 pins each, labelled at random."""
    first = number * ROWS_A_PIECE
    n = min(ROWS_A_PIECE, rows - first)
    random = np.random.default_rng([1, number])
    query = (first + np.arange(n)) // PAIRS_A_QUERY
    own = np.random.default_rng([2, number])
    vectors = _unit(own, int(query[-1] - query[0]) + 1)
    words = texts(own, len(vectors), 3)
    labels = random.dirichlet(np.ones(5), n).astype(np.float32)
    pairs = pl.DataFrame({
        "query": [f"{words[q - query[0]]} {q}" for q in query],
        "event_timestamp": [AT] * n,
        "label_source": ["teacher"] * n,
        "probabilities": pl.Series(labels.tolist(), dtype=pl.List(pl.Float32)),
        "query_features__query_embedding": pl.Series(
            vectors[query - query[0]], dtype=pl.Array(pl.Float32, DIMENSION)
        ).arr.to_list(),
        "query_features__interests": [[f"i{q % 30}"] for q in query],
        "query_features__shopping_intent": pl.Series((query % 5) / 4, dtype=pl.Float32),
        "query_features__lang": ["en"] * n,
        "query_features__frequency": (query % 100).tolist(),
        **{f"query_pin_engagement__{name}": random.random(n, np.float32) for name in PAIR_COLUMNS},
    })  # fmt: skip
    return pl.concat([pairs, catalogue[random.integers(0, catalogue.height, n)]], how="horizontal")


if __name__ == "__main__":
    sys.exit(main())
