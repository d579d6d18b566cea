"""1,000 pins from the online store: our adapter against Feast's get_online_features, SQLite and Redis.

    python -m benchmarks.online_lookup [--small] [--json]

Both sides return the same twelve typed features of the same pins: a text embedding of 384 floats and eleven counts and
rates. The rival is `get_online_features(...).to_dict()` with Feast's own store class; ours reads the packed payload,
which holds two more vectors and the pin's terms besides, and unpacks those twelve into arrays, in a process that has
relevance.online loaded, as a scorer is. What unpacking all of it costs, as a scorer does, stands beside it. Every call
asks for other pins, uniformly at random, and reads the store; the first few of each side are not counted. The floor is
one HMGET of one field a pin in a redis-py pipeline.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks._catalogue import SAFE, redis_server, use_stores, write_catalogue
from benchmarks._report import Mark, Report, finish, percentile
from enrich.pin_payload import ENGAGEMENT_COLUMNS, PinBatch, Wanted, unpack_pins
from enrich.serving import ServingSettings, run_serving
from enrich.workspace import Workspace
from relevance import online
from relevance.feature_store import EPOCH, apply, open_store, quiet
from relevance.serving.lookup import OnlineFeatures
from relevance.serving.payload_readers import KeyBytes
from relevance.serving.steady_memory import steady_memory

TYPED = ("pin_text_embedding:text_embedding", *(f"pin_engagement:{name}" for name in ENGAGEMENT_COLUMNS[:11]))
TWELVE = Wanted(vectors=("text_embedding",), texts=False)  # the same of a payload
ASKED = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a few pins and calls, to see that it runs")
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args(arguments)
    pins, ours, rival = (2_000, 10, 3) if flags.small else (20_000, 300, 30)
    report = Report("online_lookup", "pins/s")
    assert online.Scorer  # loaded, and torch with it
    torch.set_num_threads(1)  # as `relevance serve` has it: a second thread would spin where the store wants to run
    report.figures |= {"pins": pins, "asked at once": ASKED, "calls of ours": ours, "calls of the rival": rival}
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as redis:
        workspace = write_catalogue(Path(folder) / "workspace", pins)
        run_serving(workspace, ServingSettings())
        addresses = {"sqlite": f"{workspace.root}/online.db"} | ({"redis": redis} if redis else {})
        for kind, address in addresses.items():
            measure(report, workspace, kind, address, pins, ours, rival)
        report.marks.append(Mark("stores measured", len(addresses), ">= 2"))
    report.marks.insert(0, Mark("ratio", report.ratio, ">= 8"))
    return finish(report, flags.json)


def measure(report: Report, workspace: Workspace, kind: str, address: str, pins: int, ours: int, rival: int) -> None:
    load(workspace, SAFE[kind], address)
    features = OnlineFeatures.open(workspace)
    use_stores(workspace, kind, address)
    store = open_store(workspace)
    random = np.random.default_rng(1)

    def some() -> list[str]:
        return [f"pin{i:08d}" for i in random.choice(pins, min(ASKED, pins), replace=False)]

    def by_feast(ids: list[str]) -> dict[str, list[object]]:
        rows = [{"pin_id": pin} for pin in ids]
        return store.get_online_features(list(TYPED), rows).to_dict()  # type: ignore[no-any-return]  # Feast does not say

    def by_us(ids: list[str]) -> PinBatch:
        read = features.read_pins(ids)
        return unpack_pins(read.payloads, wanted=TWELVE, whole=read.whole)

    def whole(ids: list[str]) -> PinBatch:
        read = features.read_pins(ids)
        return unpack_pins(read.payloads, whole=read.whole)

    for _ in range(3):
        ids = some()
        check_equal(by_us(ids), by_feast(ids))
        check_equal(whole(ids), by_feast(ids))
    steady_memory()  # as `relevance serve` does; both sides gain
    ours_s, rival_s = [], []
    for i in range(ours):  # in turn, so that what else the machine does falls on both
        ours_s.append(seconds(by_us, some()))
        if i % (ours // rival) == 0:
            rival_s.append(seconds(by_feast, some()))
    report.compare(ASKED / median(ours_s), ASKED / median(rival_s))
    report.figures[f"{kind}: ours, median ms"] = median(ours_s) * 1000
    report.figures[f"{kind}: get_online_features, median ms"] = median(rival_s) * 1000
    report.figures[f"{kind}: the whole payload, median ms"] = median(seconds(whole, some()) for _ in ours_s) * 1000
    report.figures[f"{kind}: reading alone, median ms"] = median(seconds(features.pins, some()) for _ in ours_s) * 1000
    if kind == "redis":
        report.figures["redis: floor, one HMGET field a pin, median ms"] = floor(address, some) * 1000
    report.marks.append(Mark(f"{kind}: p50 ms", percentile(ours_s, 0.50), "<= 10"))
    report.marks.append(Mark(f"{kind}: p99 ms", percentile(ours_s, 0.99), "<= 20"))


def load(workspace: Workspace, online: str, address: str) -> None:
    """The packed view and the two typed ones of the twelve features into the online store."""
    use_stores(workspace, online, address)
    apply(workspace)
    views = ["pin_serving", "query_serving", "pin_text_embedding", "pin_engagement"]
    with quiet():
        open_store(workspace).materialize(EPOCH, datetime.now(UTC), feature_views=views)


def seconds(call: Callable[[list[str]], object], ids: list[str]) -> float:
    start = time.perf_counter()
    call(ids)
    return time.perf_counter() - start


def check_equal(ours: PinBatch, rival: dict[str, list[object]]) -> None:
    """Stops where a value differs."""
    assert np.array_equal(ours.text_embedding, np.array(rival["text_embedding"], np.float32))
    for i, name in enumerate(ENGAGEMENT_COLUMNS[:11]):
        assert np.array_equal(ours.engagement[:, i], np.array(rival[name], np.float32)), name


def floor(address: str, some: Callable[[], list[str]]) -> float:
    """Seconds of the plainest read that there is: one field of each hash, by redis-py, nothing decoded."""
    from feast.infra.online_stores.helpers import _mmh3
    from redis import Redis

    host, port = address.split(":")
    client, taken = Redis(host=host, port=int(port)), []
    to_bytes, field = KeyBytes("pin_id", 3), _mmh3("pin_serving:payload")
    for _ in range(30):
        keys = [to_bytes.of(pin) + b"corkboard" for pin in some()]
        start = time.perf_counter()
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(key, [field])
            assert all(pipe.execute()[0])
        taken.append(time.perf_counter() - start)
    return median(taken)


if __name__ == "__main__":
    sys.exit(main())
