"""A training frame with two vectors a row: ours against plain get_historical_features(...).to_arrow().

    python -m benchmarks.training_frame [--small] [--json]

100,000 rows over 50,000 pins of 20 versions each, two vectors of 384 floats, both clocks; then 5,000,000 rows streamed
to a parquet file. Each side runs in a process of its own, so that its peak memory is its own: "extra" is the peak less
what the process held before the join. The frames are compared for equality. Ours is timed as it is from the second
frame on, with the addressed copies of the tables in place; the first one, which makes them, is reported beside it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks._catalogue import AT, vectors
from benchmarks._report import Mark, Report, finish, peak_mb, resident_mb
from enrich import parts
from enrich.tables import PIN_GRAPH, PIN_TEXT_EMBEDDING, Table
from enrich.workspace import FEATURE_REPO, Catalogue, Workspace

VERSIONS = 20
EVERY = timedelta(days=10)  # between versions
SERVICE = "benchmark_v1"
FEATURES = ("pin_text_embedding:text_embedding", "pin_graph:graph_embedding")
NO_GAP = timedelta(0)


class Measured(NamedTuple):
    """What a side's process says."""

    seconds: float
    extra_mb: float
    peak_mb: float
    rows: int
    first_seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="few rows, to see that it runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=["ours", "rival", "stream"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.side:
        print(json.dumps(run_side(flags.side, flags.folder, flags.rows)._asdict()))
        return 0
    pins, rows, many = (500, 1_000, 5_000) if flags.small else (50_000, 100_000, 5_000_000)
    report = Report("training_frame", "rows/s")
    report.figures |= {"rows": rows, "pins": pins, "versions a pin": VERSIONS, "streamed rows": many}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, pins)
        ours, rival = side("ours", folder, rows), side("rival", folder, rows)
        check_equal(folder)
        stream = side("stream", folder, many)
    report.compare(rows / ours.seconds, rows / rival.seconds)
    report.figures |= {
        "ours, s": ours.seconds,
        "ours the first time, copies made, s": ours.first_seconds,
        "rival, s": rival.seconds,
        "ours, extra MB": ours.extra_mb,
        "rival, extra MB": rival.extra_mb,
        "streamed, s": stream.seconds,
    }
    report.marks += [
        Mark("ratio", report.ratio, ">= 3"),
        Mark("extra memory, ours ÷ rival", ours.extra_mb / rival.extra_mb, "<= 0.3334"),
        Mark("streamed rows, peak MB", stream.peak_mb, "<= 6000"),
        Mark("streamed rows", stream.rows, f">= {many}"),
    ]
    return finish(report, flags.json)


def prepare(folder: Path, pins: int) -> None:
    """Two tables of vectors, a part of every version; and a service of both."""
    from feast import FeatureService

    from relevance.feature_store import apply, open_store, quiet

    workspace = Workspace.at(folder / "workspace")
    workspace.create(Catalogue("native", "benchmark"))
    random = np.random.default_rng(0)
    for table, name in ((PIN_TEXT_EMBEDDING, "text_embedding"), (PIN_GRAPH, "graph_embedding")):
        for version in range(VERSIONS):
            write_version(workspace, table, name, version, pins, random)
    apply(workspace)
    store = open_store(workspace)
    with quiet():
        views = [store.get_feature_view(table.name) for table in (PIN_TEXT_EMBEDDING, PIN_GRAPH)]
        store.apply([FeatureService(name=SERVICE, features=views)])


def write_version(
    workspace: Workspace, table: Table, name: str, version: int, pins: int, random: np.random.Generator
) -> None:
    """The pins in another order each time, true from some moment within the version's days and known up to 10 later."""
    us = int(AT.timestamp() * 1e6) + (version * EVERY) // timedelta(microseconds=1)
    event = us + random.integers(0, EVERY // timedelta(microseconds=1), pins)
    known = event + random.integers(0, EVERY // timedelta(microseconds=1), pins)
    columns = {
        "pin_id": pa.array([f"pin{i:08d}" for i in random.permutation(pins)]),
        name: vectors(random, pins),
        "event_timestamp": pa.array(event, pa.timestamp("us", "UTC")),
        "created_timestamp": pa.array(known, pa.timestamp("us", "UTC")),
        "written_at": pa.array(known, pa.timestamp("us", "UTC")),
        "backfilled": pa.repeat(False, pins),
    }
    columns |= {name: pa.repeat("0", pins) for name in ("producer", "code_version", "input_hash")}
    parts.append(workspace.folder(table), table, pa.table(columns))


def pairs(folder: Path, rows: int) -> pl.DataFrame:
    """Pins and moments at random, the same for both sides."""
    workspace, random = Workspace.at(folder / "workspace"), np.random.default_rng(1)
    pins = parts.scan(workspace.folder(PIN_GRAPH)).select(pl.col("pin_id").n_unique()).collect().item()
    span = (VERSIONS * EVERY) // timedelta(microseconds=1)
    moments = int(AT.timestamp() * 1e6) + random.integers(0, span, rows)
    return pl.DataFrame({"pin": random.integers(0, pins, rows), "at": moments}).select(
        query=pl.lit("q"),
        pin_id=pl.format("pin{}", pl.col("pin").cast(pl.String).str.zfill(8)),
        event_timestamp=pl.col("at").cast(pl.Datetime("us", "UTC")),
    )


def side(name: str, folder: Path, rows: int) -> Measured:
    command = [sys.executable, "-m", "benchmarks.training_frame", "--side", name, "--folder", str(folder)]
    done = subprocess.run([*command, "--rows", str(rows)], stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


def run_side(name: str, folder: Path, rows: int) -> Measured:
    """One side's work in this process, after a join of ten rows that loads what both need."""
    from feast import FeatureStore

    from relevance.feature_store import quiet
    from relevance.training_frame import training_frame, write_training_frame

    workspace, wanted = Workspace.at(folder / "workspace"), pairs(folder, rows)
    plain = folder / "rival.yaml"
    plain.write_text(re.sub(r"(offline_store:\n  type: )\S+", r"\1duckdb", workspace.feature_store_yaml.read_text()))
    store = FeatureStore(repo_path=str(FEATURE_REPO), fs_yaml_file=plain)

    def rival(some: pl.DataFrame) -> pa.Table:
        frame = some.with_row_index("row_id").to_pandas()
        with quiet():
            job = store.get_historical_features(
                frame, list(FEATURES), full_feature_names=True, filter_by_created_timestamp=True
            )
            return job.to_arrow()

    def ours(some: pl.DataFrame) -> pl.DataFrame:
        return training_frame(workspace, some, SERVICE, gap=NO_GAP)

    work = rival if name == "rival" else ours
    if name == "stream":
        start = time.perf_counter()
        write_training_frame(workspace, wanted, SERVICE, folder / "stream.parquet", gap=NO_GAP)
        seconds = time.perf_counter() - start
        count = pl.scan_parquet(folder / "stream.parquet").select(pl.len()).collect().item()
        (folder / "stream.parquet").unlink()
        return Measured(seconds, 0.0, peak_mb(), count, seconds)
    work(wanted.head(10))
    before, taken = resident_mb(), []
    for _ in range(2 if name == "ours" else 1):  # our first one makes the copies
        frame, start = None, time.perf_counter()
        frame = work(wanted)
        taken.append(time.perf_counter() - start)
    extra = peak_mb() - before
    arrow = frame.to_arrow() if isinstance(frame, pl.DataFrame) else frame.sort_by("row_id")
    pl.DataFrame(pl.from_arrow(arrow)).select(pl.col("^.*__.*$")).write_ipc(folder / f"{name}.arrow")
    return Measured(taken[-1], extra, peak_mb(), len(arrow), taken[0])


def check_equal(folder: Path) -> None:
    """Stops where the frames differ."""
    ours, rival = (pl.read_ipc(folder / f"{name}.arrow") for name in ("ours", "rival"))
    assert ours.select(rival.columns).equals(rival.cast(dict(ours.schema)))


if __name__ == "__main__":
    sys.exit(main())
