"""Requests that the service answered and logged, computed again offline: all equal to the last bit, and how quickly.

    python -m benchmarks.replay [--workspace W] [--requests 1000] [--pins 200] [--small] [--json]

`relevance serve` with two workers answers the requests over HTTP and logs them (W/requests), queries that it knows and
queries that it must encode, pins of the catalogue at random and some that are none; `relevance replay` then computes
the newest of the log again. Without --workspace a catalogue of 20,000 pins is made, with a student of size M whose
weights are random. The rival takes one request at a time, with the payloads of that request alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import numpy as np

from benchmarks._report import FEATURE_STORE, Mark, Report, finish, peak_mb
from benchmarks.scoring import a_student, drawer, prepared, served
from enrich import parts
from enrich.errors import CorkboardError
from enrich.tables import PINS, QUERY_SERVING
from enrich.workspace import Workspace
from relevance.candidates import workspace_index
from relevance.feature_store import materialize
from relevance.serving.lookup import OnlineFeatures
from relevance.serving.replay import PINS_AT_ONCE, Replay, render, replay

_OF_RIVAL = 20  # requests
_Drawn = Callable[[], dict[str, object]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="a catalogue with a student  [default: one is made]")
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--pins", type=int, default=200, help="candidates of a request")
    parser.add_argument("--small", action="store_true", help="a few pins and requests, to see that it runs")
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args(arguments)
    requests, pins = (20, 20) if flags.small else (flags.requests, flags.pins)
    report = Report("replay", "requests/s", (*FEATURE_STORE, "torch", "fastapi"))
    report.figures |= {"candidates of a request": pins}
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = flags.workspace is None
            workspace = made_catalogue(Path(folder), flags.small) if made else Workspace.open(flags.workspace)
            measure(report, workspace, requests, pins)
        except CorkboardError as error:
            sys.exit(str(error))
    return finish(report, flags.json)


def made_catalogue(folder: Path, small: bool) -> Workspace:
    pins = 500 if small else 20_000
    workspace = prepared(folder / "workspace", pins)
    materialize(workspace)
    a_student(workspace, OnlineFeatures.open(workspace), drawer(pins))
    return workspace


def measure(report: Report, workspace: Workspace, requests: int, pins: int) -> None:
    workspace_index(workspace)
    with served(workspace, "--record", "1") as address, httpx.Client(base_url=address, timeout=60) as client:
        draw = drawn(workspace, pins)
        for _ in range(requests):
            client.post("/score", json=draw()).raise_for_status()
    found, seconds = timed(workspace, requests)
    rivals = min(_OF_RIVAL, requests)
    alone, alone_seconds = timed(workspace, rivals, pins_at_once=1)
    print(render(found))
    report.figures |= {"seconds": seconds, "peak memory, MB": peak_mb()}
    report.compare(found.requests / seconds, alone.requests / alone_seconds)
    report.marks += [
        Mark("requests computed again", found.requests, f">= {requests}"),
        Mark("share of pins equal to the last bit", found.equal / max(1, found.pins), ">= 1"),
        Mark("pins that could not be compared", found.left_out.total(), "<= 0"),
        Mark("times one request at a time", report.ratio, ">= 5"),
    ]


def drawn(workspace: Workspace, pins: int, seed: int = 4) -> _Drawn:
    """Makes requests: a query that is known, or words of two of them; pins of the catalogue, and one that is none."""
    random = np.random.default_rng(seed)
    ids = parts.scan(workspace.folder(PINS)).select("pin_id").unique().collect()["pin_id"].sort().to_list()
    known = parts.scan(workspace.folder(QUERY_SERVING)).select("query").unique().collect()["query"].sort().to_list()
    known = known or ["a chair beside a table"]  # where there was no log

    def draw() -> dict[str, object]:
        one, other = random.choice(known, 2)
        query = one if random.random() < 0.5 else f"{one.split()[0]} {other} {random.integers(100)}"
        some = [ids[i] for i in random.choice(len(ids), min(pins, len(ids)), replace=False)]
        return {"query": str(query), "pin_ids": [*some[:-1], "none of the catalogue's"], "deadline_ms": 60_000}

    return draw


def timed(workspace: Workspace, requests: int, pins_at_once: int = PINS_AT_ONCE) -> tuple[Replay, float]:
    start = time.perf_counter()
    found = replay(workspace, limit=requests, pins_at_once=pins_at_once)
    return found, time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
