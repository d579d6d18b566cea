"""Scorer.score of 1,000 random candidates, and the service around it, against the straightforward way.

    python -m benchmarks.scoring [--small] [--pins N] [--json]

A catalogue of 200,000 pins in SQLite and in Redis, a student of size M with three vectors of 384 entries (its weights
random: they cost the same), a known query. Every call asks for other candidates, uniformly at random, and reads the
store. Rivals (rivals/scoring_plain.py): get_online_features().to_dict() of the typed views, pandas features and the
same network, the views filled and asked for 20,000 of the pins alone, which is in its favour; and the MiniLM
cross-encoder on such candidates' whole texts. Apart: each stage's share, a query that
must be encoded, a warm cache of pins, the cost from 10 to 10,000 candidates, HTTP at 30 requests/s with Poisson
arrivals and two workers on this machine, and the slope of resident memory over 20,000 requests.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import pyarrow as pa
import torch

from benchmarks._catalogue import AT, DIMENSION, PINS_AT_ONCE, SAFE, redis_server, use_stores, write_catalogue
from benchmarks._poisson import poisson
from benchmarks._report import FEATURE_STORE, Mark, Report, finish, percentile, resident_mb
from benchmarks.rivals.scoring_plain import VIEWS, CrossEncoder, PlainScorer, whole_texts
from enrich import parts
from enrich.pin_payload import PinBatch, unpack_pins
from enrich.query_payload import PAIR_COLUMNS
from enrich.serving import ServingSettings, run_serving
from enrich.tables import QUERY_FEATURES, QUERY_PIN_ENGAGEMENT
from enrich.text_encoder import TextEncoder
from enrich.workspace import Workspace
from relevance.calibration import Calibration
from relevance.candidates import workspace_index
from relevance.feature_store import EPOCH, apply, open_store, quiet
from relevance.features import Statistics
from relevance.learning.network import StudentNetwork
from relevance.online import STAGES, Scorer
from relevance.serving.kept import CachedStore
from relevance.serving.lookup import OnlineFeatures
from relevance.serving.steady_memory import steady_memory
from relevance.student import Student, StudentRecord, StudentSettings

ASKED = 1_000
QUERY = "w1 w20 w300"
PAIRS = 2_000  # pins of which the known query has rates of its own
CANDIDATES = (10, 100, 1_000, 10_000)
OF_RIVAL = PINS_AT_ONCE  # pins in the typed views: all of them would take ten minutes to load, twice


class Sizes:
    """How much is measured."""

    def __init__(self, small: bool, pins: int | None) -> None:
        self.pins = pins or (2_000 if small else 200_000)
        self.calls, self.rival_calls, self.encoder_calls = (10, 2, 1) if small else (500, 20, 2)
        self.encoder_pairs = 32 if small else ASKED
        self.seconds, self.rate = (2.0, 5.0) if small else (60.0, 30.0)
        self.requests, self.request_pins = (200, 20) if small else (20_000, 100)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a few pins and calls, to see that it runs")
    parser.add_argument("--pins", type=int, help="in the catalogue  [default: 200,000]")
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args(arguments)
    sizes = Sizes(flags.small, flags.pins)
    report = Report("scoring", "pins/s", (*FEATURE_STORE, "torch", "fastapi", "uvicorn"))
    report.figures |= {"pins": sizes.pins, "candidates": ASKED, "calls": sizes.calls}
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as redis:
        workspace = prepared(Path(folder) / "workspace", sizes.pins)
        addresses = {"sqlite": f"{workspace.root}/online.db"} | ({"redis": redis} if redis else {})
        for kind, address in addresses.items():
            measure_store(report, workspace, kind, address, sizes)
        report.marks.append(Mark("stores measured", len(addresses), ">= 2"))
        measure_http(report, workspace, sizes)
        measure_memory(report, workspace, sizes)
    report.marks.insert(0, Mark("ratio", report.ratio, ">= 12"))
    return finish(report, flags.json)


def prepared(root: Path, pins: int) -> Workspace:
    """The catalogue packed, its query known, a student and an index of candidates beside it."""
    workspace = write_catalogue(root, pins, newest=OF_RIVAL)
    vector = unit(np.random.default_rng(7))
    row = {"query": [QUERY], "query_embedding": [vector.tolist()], "lang": ["en"], "frequency": [9]}
    same = {"event_timestamp": AT, "created_timestamp": AT, "written_at": AT, "backfilled": False}
    same |= {"producer": "benchmark", "code_version": "0", "input_hash": "0"}
    columns = {f.name: pa.array(row.get(f.name, [same.get(f.name)]), f.type) for f in QUERY_FEATURES.schema}
    parts.append(workspace.folder(QUERY_FEATURES), QUERY_FEATURES, pa.table(columns))
    some = np.random.default_rng(8).choice(pins, min(PAIRS, pins), replace=False)
    shared = same | {"query": QUERY} | {name: 0.5 if "_rate_" in name else 9 for name in PAIR_COLUMNS}
    pairs = [shared | {"pin_id": f"pin{i:08d}"} for i in some.tolist()]
    table = pa.Table.from_pylist(pairs, QUERY_PIN_ENGAGEMENT.schema)
    parts.append(workspace.folder(QUERY_PIN_ENGAGEMENT), QUERY_PIN_ENGAGEMENT, table)
    run_serving(workspace, ServingSettings())
    return workspace


def unit(random: np.random.Generator) -> np.ndarray:
    vector = random.standard_normal(DIMENSION).astype(np.float32)
    rounded: np.ndarray = (vector / np.linalg.norm(vector)).astype(np.float16).astype(np.float32)
    return rounded


def untrained(pins: PinBatch) -> Student:
    """A student of the catalogue's dimensions and words; its weights are random."""
    settings, statistics = StudentSettings(), Statistics.of(pins, ("home", "food"), DIMENSION)
    torch.manual_seed(0)
    network = StudentNetwork(settings.network, statistics.dimensions, len(statistics.interests))
    record = StudentRecord(
        settings=settings,
        dimensions=statistics.dimensions,
        interests=statistics.interests,
        catalogue_pins=statistics.pins,
        calibration=Calibration(),
        prior=(0.2,) * 5,
        encoder="benchmark",
        human_rows=0,
        teacher_rows=0,
        epochs=0,
        dev_loss=None,
        fingerprint="benchmark",
        data_fingerprint="benchmark",
        feature_service=None,
    )
    return Student(record, statistics, network)


def measure_store(report: Report, workspace: Workspace, kind: str, address: str, sizes: Sizes) -> None:
    use_stores(workspace, SAFE[kind], address)
    apply(workspace)
    with quiet():
        for views, since in ((["pin_serving", "query_serving"], EPOCH), (VIEWS, AT)):
            open_store(workspace).materialize(since, datetime.now(UTC), feature_views=views)
    store, features = open_store(workspace), OnlineFeatures.open(workspace)
    draw, draw_rival = drawer(sizes.pins), drawer(min(OF_RIVAL, sizes.pins))
    student = a_student(workspace, features, draw)
    scorer, encoder = Scorer(student, features, TextEncoder()), CrossEncoder()
    plain, vector = PlainScorer(store, student), np.asarray(scorer.query_vector(QUERY), np.float32)
    for _ in range(3):
        assert not scorer.score(QUERY, draw(ASKED))[0].degraded
        assert all(whole_texts(store, ids := draw_rival(ASKED))) and len(plain.score(QUERY, vector, ids)) == len(ids)
    steady_memory()
    ours, rival, every = [], [], max(1, sizes.calls // sizes.rival_calls)
    for i in range(sizes.calls):  # in turn, so that what else the machine does falls on both
        ours.append(timed(lambda ids: scorer.score(QUERY, ids), draw(ASKED)))
        if i % every == 0:
            rival.append(timed(lambda ids: plain.score(QUERY, vector, ids), draw_rival(ASKED)))
    asked = min(ASKED, sizes.pins)
    report.compare(asked / median(ours), asked / median(rival))
    report.figures[f"{kind}: the straightforward way, median ms"] = median(rival) * 1000
    report.marks.append(Mark(f"{kind}: p50 ms", percentile(ours, 0.50), "<= 10"))
    report.marks.append(Mark(f"{kind}: p99 ms", percentile(ours, 0.99), "<= 20"))
    cross = median(
        timed(lambda ids: encoder.score(QUERY, whole_texts(store, ids)), draw_rival(sizes.encoder_pairs))
        / sizes.encoder_pairs
        for _ in range(sizes.encoder_calls)
    )
    report.figures[f"{kind}: MiniLM cross-encoder, ms a pin"] = cross * 1000
    report.marks.append(Mark(f"{kind}: times the cross-encoder", cross / (median(ours) / asked), ">= 100"))
    report.figures |= apart(kind, scorer, features, draw, sizes)


def apart(
    kind: str, scorer: Scorer, features: OnlineFeatures, draw: Callable[[int], list[str]], sizes: Sizes
) -> dict[str, float | str]:
    """Stages, a new query, a warm cache, and the cost by candidates: medians in ms."""
    works = [scorer.answer(QUERY, draw(ASKED)).work.seconds for _ in range(max(5, sizes.calls // 5))]
    shares = np.median(works, axis=0) / np.median(works, axis=0).sum()
    found: dict[str, float | str] = {
        f"{kind}: share of each stage": ", ".join(f"{s} {x:.0%}" for s, x in zip(STAGES, shares, strict=True))
    }
    new = [timed(partial(scorer.score, f"w{i} w{i + 1} new"), draw(ASKED)) for i in range(5)]
    found[f"{kind}: a new query, encoded here, ms"] = median(new[1:]) * 1000
    cached = Scorer(scorer.student, CachedStore(features, 3600.0), scorer.encoder)
    warm = draw(ASKED)
    cached.score(QUERY, warm)
    found[f"{kind}: pins cached, ms"] = (
        median(timed(lambda ids: cached.score(QUERY, ids), warm) for _ in range(9)) * 1000
    )
    for size in CANDIDATES:
        some = min(size, sizes.pins)
        found[f"{kind}: {some:,} candidates, ms"] = (
            median(timed(lambda ids: scorer.score(QUERY, ids), draw(some)) for _ in range(5)) * 1000
        )
    return found


def measure_http(report: Report, workspace: Workspace, sizes: Sizes) -> None:
    workspace_index(workspace)
    draw = drawer(sizes.pins)
    with served(workspace) as address:
        for _ in range(20):  # both workers have answered before anything is timed
            httpx.post(f"{address}/score", json={"query": QUERY, "pin_ids": draw(ASKED)}, timeout=60)
        load = asyncio.run(
            poisson(address, lambda: {"query": QUERY, "pin_ids": draw(ASKED)}, sizes.rate, sizes.seconds)
        )
    report.figures["http: requests"] = len(load.seconds)
    report.figures["http: p50 ms"] = percentile(load.seconds, 0.50)
    report.marks.append(Mark("http: p99 ms", percentile(load.seconds, 0.99), "<= 40"))
    report.marks.append(Mark("http: errors and flagged answers", load.errors + load.flagged, "<= 0"))


def measure_memory(report: Report, workspace: Workspace, sizes: Sizes) -> None:
    """Growth over the requests, from a line through the last three quarters of them, beside its standard error."""
    draw, seen = drawer(sizes.pins), []
    scorer = Scorer.open(workspace)
    steady_memory()
    for i in range(sizes.requests):
        scorer.score(QUERY, draw(sizes.request_pins))
        if i % max(1, sizes.requests // 80) == 0:
            seen.append((i, resident_mb()))
    at, held = np.array(seen[len(seen) // 4 :]).T
    (slope, level), covariance = np.polyfit(at, held, 1, cov=True)
    grown, noise = float(slope * sizes.requests), 3 * float(np.sqrt(covariance[0, 0])) * sizes.requests
    report.figures["memory: held at the end, MB"] = float(level + slope * at[-1])
    report.figures["memory: three standard errors of the growth, MB"] = noise
    report.marks.append(
        Mark(f"memory: growth over {sizes.requests:,} requests, MB", grown, f"<= {max(noise, 2.0):.1f}")
    )


@contextmanager
def served(workspace: Workspace, *flags: str) -> Iterator[str]:
    """`relevance serve` with two workers and these flags; its address, once both may answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "relevance", "serve", "--workspace", str(workspace.root), "--port", str(port)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen([*command, "--workers", "2", *flags], env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                if server.poll() is not None:
                    raise
            time.sleep(0.5)
        else:
            raise RuntimeError(f"expected an answer from {' '.join(command)}, found none; run it by hand to see why")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def a_student(workspace: Workspace, features: OnlineFeatures, draw: Callable[[int], list[str]]) -> Student:
    """Saved where `relevance serve` looks for it."""
    student = untrained(unpack_pins(features.pins(draw(2_000))))
    student.save(workspace.models / "student")
    return Student.load(workspace.models / "student")


def drawer(pins: int) -> Callable[[int], list[str]]:
    random = np.random.default_rng(1)
    return lambda n: [f"pin{i:08d}" for i in random.choice(pins, min(n, pins), replace=False)]


def timed(call: Callable[[list[str]], object], ids: list[str]) -> float:
    start = time.perf_counter()
    call(ids)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
