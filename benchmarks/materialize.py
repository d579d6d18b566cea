"""Pins a second into the online store: the packed views, packing included, against all the typed views they hold.

    python -m benchmarks.materialize [--small] [--json]

Ours is `enrich serving` and then Feast's materialize of pin_serving into the store that feature_store.yaml names. The
rival is Feast's materialize of the nine typed pin views, whose values the payloads hold, by Feast's own stores and
engine alone. Ours loads 200,000 pins. The rival's rate, which does not depend on how many pins there are (each is
loaded for itself), is taken on a tenth of them, or the run would take half an hour.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks._catalogue import SAFE, redis_server, use_stores, write_catalogue
from benchmarks._report import Mark, Report, finish, peak_mb
from enrich.serving import PIN_INPUTS, ServingSettings, run_serving
from enrich.workspace import Workspace
from relevance.feature_store import EPOCH, apply, open_store, quiet
from relevance.serving.lookup import OnlineFeatures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a few pins, to see that it runs")
    parser.add_argument("--pins", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args(arguments)
    pins = 1_000 if flags.small else flags.pins
    rivals = pins // 10
    report = Report("materialize", "pins/s")
    report.figures |= {"pins": pins, "pins of the rival": rivals}
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as redis:
        packed, typed = (write_catalogue(Path(folder) / name, n) for name, n in (("packed", pins), ("typed", rivals)))
        start = time.perf_counter()
        run_serving(packed, ServingSettings())
        packing = time.perf_counter() - start
        report.figures["packing, pins/s"] = pins / packing
        for kind in ("sqlite", "redis") if redis else ("sqlite",):
            ours = load(packed, SAFE[kind], redis or "", ["pin_serving"])
            check_all_there(packed, pins)
            rival = load(typed, kind, redis or "", [table.name for table in PIN_INPUTS], plain=True)
            report.figures[f"{kind}: packed view alone, pins/s"] = pins / ours
            report.figures[f"{kind}: ours with packing, pins/s"] = pins / (ours + packing)
            report.figures[f"{kind}: nine typed views, pins/s"] = rivals / rival
            report.figures[f"{kind}: bytes a pin"] = stored_bytes(packed, kind, redis or "") / pins
            report.compare(pins / (ours + packing), rivals / rival)
        report.marks.append(Mark("stores measured", 2 if redis else 1, ">= 2"))
    report.figures["peak memory, MB"] = peak_mb()
    report.marks.insert(0, Mark("ratio", report.ratio, ">= 6"))
    return finish(report, flags.json)


def load(workspace: Workspace, online: str, redis: str, views: list[str], plain: bool = False) -> float:
    """Seconds of Feast's materialize of `views`, from 1970."""
    address = redis if "redis" in online.lower() else f"{workspace.root}/{online}.db"
    use_stores(workspace, online, address, plain)
    apply(workspace)
    store = open_store(workspace)
    start = time.perf_counter()
    with quiet():
        store.materialize(EPOCH, datetime.now(UTC), feature_views=views)
    return time.perf_counter() - start


def stored_bytes(workspace: Workspace, kind: str, redis: str) -> float:
    """What the packed view takes in the store, with the store's own."""
    if kind == "sqlite":
        return sum(file.stat().st_size for file in workspace.root.glob("*.db*") if file.name != "registry.db")
    from redis import Redis

    host, port = redis.split(":")
    return float(Redis(host=host, port=int(port)).info("memory")["used_memory"])


def check_all_there(workspace: Workspace, pins: int) -> None:
    """Stops where a pin was lost."""
    found = OnlineFeatures.open(workspace).pins([f"pin{i:08d}" for i in range(pins)])
    assert all(payload is not None for payload in found)


if __name__ == "__main__":
    sys.exit(main())
