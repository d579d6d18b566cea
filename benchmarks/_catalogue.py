"""A catalogue of any size, written straight into the enriched tables, and stores for it: what the feature-store
benchmarks measure on. Values are random but of the real ones' kinds and sizes; vectors are rounded as payloads round
them, so that what both sides return can be compared for equality.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from enrich import parts
from enrich.payload import ByteVectors, widen
from enrich.pin_payload import ENGAGEMENT_COLUMNS
from enrich.tables import (
    PIN_BOARDS,
    PIN_CAPTION,
    PIN_ENGAGEMENT,
    PIN_GRAPH,
    PIN_LINK,
    PIN_QUERIES,
    PIN_TEXT,
    PIN_TEXT_EMBEDDING,
    PIN_VISUAL_EMBEDDING,
    PINS,
    Table,
)
from enrich.workspace import Catalogue, Workspace

DIMENSION = 384
AT = datetime(2026, 1, 1, tzinfo=UTC)
PINS_AT_ONCE = 20_000
SAFE = {  # the stores that feature_store.yaml names, and Feast's own
    "sqlite": "enrich.stores.safe_sqlite.SafeSqliteOnlineStore",
    "redis": "enrich.stores.safe_redis.SafeRedisOnlineStore",
}


def write_catalogue(root: Path, pins: int, seed: int = 0, newest: int | None = None) -> Workspace:
    """A workspace with every pin table filled for `pins` pins, one row each, dated AT; past the first `newest` pins (a
    multiple of PINS_AT_ONCE) a day before it, so that what is materialized from AT on is the newest alone.
    """
    workspace = Workspace.at(root)
    workspace.create(Catalogue("native", "benchmark"))
    random = np.random.default_rng(seed)
    for first in range(0, pins, PINS_AT_ONCE):
        ids = [f"pin{i:08d}" for i in range(first, min(first + PINS_AT_ONCE, pins))]
        n, at = len(ids), AT if newest is None or first < newest else AT - timedelta(days=1)
        text = {"title": texts(random, n, 6), "description": texts(random, n, 25), "lang": ["en"] * n}
        append(workspace, PIN_TEXT, ids, text, at)
        append(workspace, PIN_CAPTION, ids, {"caption": texts(random, n, 9)}, at)
        link = {"link_title": texts(random, n, 7), "link_description": texts(random, n, 20)}
        append(workspace, PIN_LINK, ids, link, at)
        boards = {"board_titles": lists(random, n, 5), "board_count": random.integers(0, 99, n)}
        append(workspace, PIN_BOARDS, ids, boards, at)
        append(workspace, PIN_QUERIES, ids, {"engaged_queries": lists(random, n, 8)}, at)
        append(workspace, PIN_ENGAGEMENT, ids, engagement(random, n), at)
        append(workspace, PIN_TEXT_EMBEDDING, ids, {"text_embedding": vectors(random, n)}, at)
        append(workspace, PIN_VISUAL_EMBEDDING, ids, {"visual_embedding": vectors(random, n)}, at)
        append(workspace, PIN_GRAPH, ids, {"graph_embedding": vectors(random, n)}, at)
        parts.append(workspace.folder(PINS), PINS, pa.table({"pin_id": ids, "created_at": [at] * n}))
    return workspace


def append(workspace: Workspace, table: Table, ids: list[str], values: Mapping[str, object], at: datetime = AT) -> None:
    """One part: a row a pin, known at once."""
    n = len(ids)
    same = {"event_timestamp": at, "created_timestamp": at, "written_at": at, "backfilled": False}
    same |= {"producer": "benchmark", "code_version": "0", "input_hash": "0"}
    columns = {name: pa.array(column) for name, column in {"pin_id": ids, **values}.items()}
    columns |= {name: pa.repeat(value, n) for name, value in same.items()}
    parts.append(workspace.folder(table), table, pa.table(columns))


def texts(random: np.random.Generator, n: int, words: int) -> list[str]:
    """Each of some words, of 5,000 that there are, the first of them the commonest."""
    chosen = (5000 * random.random((n, words)) ** 2).astype(int)
    return [" ".join(f"w{word}" for word in row) for row in chosen.tolist()]


def lists(random: np.random.Generator, n: int, most: int) -> list[list[str]]:
    sizes = random.integers(0, most + 1, n)
    flat = iter(texts(random, int(sizes.sum()), 3))
    return [[next(flat) for _ in range(size)] for size in sizes]


def engagement(random: np.random.Generator, n: int) -> dict[str, object]:
    return {
        name: random.random(n, np.float32) if "_rate_" in name else random.integers(0, 1000, n)
        for name in ENGAGEMENT_COLUMNS
    }


def vectors(random: np.random.Generator, n: int) -> pa.Array:
    """Unit length up to a payload's rounding."""
    values = random.standard_normal((n, DIMENSION), np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    held = ByteVectors.rounded(np.full(n, DIMENSION), values.reshape(-1))
    rounded = widen(held.values.reshape(n, DIMENSION), held.scales)
    offsets = pa.array(np.arange(0, n * DIMENSION + 1, DIMENSION, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(rounded.reshape(-1)))


def use_stores(workspace: Workspace, online: str, address: str, plain: bool = False) -> None:
    """Point feature_store.yaml at another online store, and where `plain` at Feast's own offline store and engine."""
    where = "connection_string" if "redis" in online.lower() else "path"
    settings = {"online_store": f"  type: {online}\n  {where}: {address}\n"}
    if plain:
        settings |= {"offline_store": "  type: duckdb\n", "batch_engine": "  type: local\n"}
    text = workspace.feature_store_yaml.read_text()
    for name, lines in settings.items():
        text = re.sub(rf"{name}:\n(?:  .*\n)+", f"{name}:\n{lines}", text)
    workspace.feature_store_yaml.write_text(text)


@contextmanager
def redis_server(folder: Path) -> Iterator[str | None]:
    """The address of a Redis of this run's own; None where redis-server is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if "Ready to accept connections" in line:
            break
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
