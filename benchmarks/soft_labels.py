"""Soft labels of ever more pairs: pairs/s of sampling, of the streaming around the teacher, and memory that stays flat.

    python -m benchmarks.soft_labels [--small] [--json]

A synthetic log (as many distinct pairs as are sampled, and a third more) over 20,000 pins; a sample of 200,000 and one
of 2,000,000 pairs drawn from it; then every pair labelled with its pin's title by what stands in for the teacher's
forward pass: a hash of the texts as five probabilities. So what is timed is ours: reading, joining, writing. The engine
has 512 MB. Each size runs in processes of its own, whose peak is what is compared; the ratio is the small sample's peak
by the large one's, 1 where memory is flat. There is no rival: a frame of all pairs in memory is what this replaces.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks._report import Mark, Report, finish, peak_mb
from enrich import parts
from enrich.backends import BackendLimits
from enrich.tables import ENGAGEMENTS, PINS, SOFT_LABEL
from enrich.workspace import Catalogue, Workspace
from relevance import stages
from relevance.candidates import CandidateIndex
from relevance.labelling.log_pairs import Queries, SampleSettings
from relevance.labelling.negatives import Search
from relevance.labelling.sample import SoftSample, write_sample
from relevance.soft_labels import label
from relevance.text import PinText

AT = datetime(2026, 1, 1, tzinfo=UTC)
PINS_THERE, PAIRS_A_QUERY, ROWS_AT_ONCE = 20_000, 25, 200_000
MEMORY = "512MB"
NEGATIVES = 0.02  # of the pairs: searches are the candidate index's time


class Measured(NamedTuple):
    """What a step's process says."""

    pairs: int
    seconds: float
    peak_mb: float


class StandIn:
    """In the teacher's place."""

    producer = "teacher@standin"

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Five probabilities that follow from the texts."""
        texts = (f"{query}|{pin}" for query, pin in zip(queries, pin_texts, strict=True))
        seeds = np.fromiter((crc32(text.encode()) for text in texts), np.float64, len(queries))
        weights = 1 + (seeds[:, None] % np.array([7.0, 11.0, 13.0, 17.0, 19.0]))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="few pairs, to see that it runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", choices=["sample", "label"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.step:
        step = draw if flags.step == "sample" else label_all
        print(json.dumps(step(Workspace.at(flags.folder), flags.pairs)._asdict()))
        return 0
    sizes = (5_000, 20_000) if flags.small else (200_000, 2_000_000)
    report = Report("soft_labels", "MB at the peak, the smaller sample's and the larger one's", FEATURES)
    measured = [measure(pairs) for pairs in sizes]
    for pairs, steps in zip(sizes, measured, strict=True):
        for name, one in steps.items():
            report.figures[f"{name} of {pairs:,}: pairs"] = one.pairs
            report.figures[f"{name} of {pairs:,}: pairs/s"] = one.pairs / one.seconds
            report.figures[f"{name} of {pairs:,}: peak MB"] = one.peak_mb
    for name in ("sample", "label"):
        small, large = (steps[name].peak_mb for steps in measured)
        report.compare(small, large)
        limit = 1.25 if name == "label" else 2.0  # the engine fills the memory that it may use
        report.marks.append(Mark(f"peak of {name}, larger ÷ smaller", large / small, f"<= {limit}"))
    for steps in measured:
        report.marks.append(Mark("pairs labelled ÷ sampled", steps["label"].pairs / steps["sample"].pairs, ">= 1"))
    return finish(report, flags.json)


FEATURES = ("duckdb", "ibis-framework", "polars", "pyarrow", "numpy")


def measure(pairs: int) -> dict[str, Measured]:
    """Each step of one size, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "workspace"
        write_log(folder, pairs)
        return {step: measured_step(step, folder, pairs) for step in ("sample", "label")}


def measured_step(step: str, folder: Path, pairs: int) -> Measured:
    command = [sys.executable, "-m", "benchmarks.soft_labels", "--step", step, "--folder", str(folder)]
    done = subprocess.run([*command, "--pairs", str(pairs)], stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


def write_log(folder: Path, pairs: int) -> None:
    """Every query with 25 pins of its own, some clicked; pins equally often, so that the caps leave most of them."""
    workspace = Workspace.at(folder)
    workspace.create(Catalogue("native", "benchmark"))
    pins = pl.DataFrame({"pin_id": [f"pin{i:08d}" for i in range(pins_for(pairs))]})
    dated = pins.with_columns(title=pl.format("thing {}", "pin_id"), created_at=pl.lit(AT))
    parts.append(workspace.folder(PINS), PINS, dated.to_arrow())
    total = pairs * 4 // 3
    for start in range(0, total, ROWS_AT_ONCE):
        place = pl.int_range(start, min(total, start + ROWS_AT_ONCE), eager=True)
        rows = pl.DataFrame({"place": place}).select(
            query=pl.format("query {}", pl.col("place") // PAIRS_A_QUERY),
            pin_id=pl.format("pin{}", (pl.col("place") * 7919 % pins.height).cast(pl.String).str.zfill(8)),
            event=pl.when(pl.col("place") % 3 == 0).then(pl.lit("click")).otherwise(pl.lit("impression")),
            lang=pl.lit("en"),
            event_timestamp=pl.lit(AT) + timedelta(seconds=1) * pl.col("place"),
        )
        parts.append(workspace.folder(ENGAGEMENTS), ENGAGEMENTS, rows.to_arrow())


def pins_for(pairs: int) -> int:
    """So many that the cap of 50 a pin leaves the pairs that are wanted."""
    return max(PINS_THERE, pairs // 25)


def draw(workspace: Workspace, pairs: int) -> Measured:
    """Write the sample."""
    pins = parts.scan(workspace.folder(PINS)).select("pin_id", "title").head(PINS_THERE).collect()
    nowhere = np.zeros((pins.height, 0), np.float32)
    index = CandidateIndex.build(pins["pin_id"].to_list(), pins["title"].to_list(), nowhere)
    search = Search(index, lambda queries: np.zeros((len(queries), 0), np.float32))
    chosen = SampleSettings(pairs, hard=NEGATIVES / 2, random=NEGATIVES / 2)
    queries, limits = Queries(frozenset(), frozenset()), BackendLimits(MEMORY)
    start = time.perf_counter()
    folder = workspace.models / "soft_pairs"
    stages.make(folder, "benchmark", lambda aside: write_sample(workspace, queries, search, chosen, aside, limits))
    return Measured(SoftSample(folder).pairs, time.perf_counter() - start, peak_mb())


def label_all(workspace: Workspace, _: int) -> Measured:
    """Label every pair with its pin's id for a title."""

    def texts(pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.with_columns(pin_text__title=pl.format("thing {}", "pin_id"))

    start = time.perf_counter()
    made = label(
        SoftSample(workspace.models / "soft_pairs"), StandIn, StandIn.producer, texts, workspace.folder(SOFT_LABEL)
    )
    return Measured(made.made, time.perf_counter() - start, peak_mb())


if __name__ == "__main__":
    sys.exit(main())
