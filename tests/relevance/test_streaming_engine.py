"""Views streamed into the online stores: what Feast's own engine loads, in bounded memory, killed and loaded again."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_server import RedisServer
from table_rows import day, use_online_store, write_rows

from enrich import parts
from enrich.errors import CorkboardError
from enrich.stores import late_latest, row_files
from enrich.stores.late_latest import LatestJob
from enrich.stores.streaming_engine import StreamingComputeEngine
from enrich.tables import PIN_BOARDS, PIN_SERVING, QUERY_PIN_ENGAGEMENT, Table
from enrich.workspace import Catalogue, Workspace
from relevance.feature_store import apply, open_store, quiet

SAFE = {
    "sqlite": "enrich.stores.safe_sqlite.SafeSqliteOnlineStore",
    "redis": "enrich.stores.safe_redis.SafeRedisOnlineStore",
}
VIEWS = (PIN_SERVING, PIN_BOARDS, QUERY_PIN_ENGAGEMENT)
Content = dict[Any, Any]  # what a store holds, by key (and feature), as it lies there


class Loaded(NamedTuple):
    """A Feast store, and what its online store holds of the project."""

    store: FeatureStore
    content: Callable[[], Content]
    clear: Callable[[], None]

    def load(self, start: datetime, end: datetime, table: Table) -> Content:
        with quiet():
            self.store.materialize(start, end, feature_views=[table.name])
        return self.content()


def opened(workspace: Workspace, name: str, kind: str, store_type: str, address: str, feasts: bool) -> Loaded:
    """A store beside others over the same tables, with a registry of its own; `feasts`: offline and engine too."""
    written = workspace.feature_store_yaml.read_text()
    use_online_store(workspace, store_type, address)
    text = workspace.feature_store_yaml.read_text().replace("registry.db", f"{name}.registry.db")
    if feasts:
        text = re.sub(r"batch_engine:\n(?:  .*\n)+", "", text)
        text = text.replace("enrich.stores.late_duckdb.LateDuckDBOfflineStore", "duckdb")
    text = text.replace("overlap_minutes: 60", "overlap_minutes: 0")
    workspace.feature_store_yaml.write_text(text)
    apply(workspace)
    store = open_store(workspace)
    workspace.feature_store_yaml.write_text(written)
    if kind == "sqlite":
        return Loaded(store, lambda: sqlite_content(address), lambda: sqlite_clear(address))
    client = redis_client(address)
    return Loaded(store, lambda: {key: client.hgetall(key) for key in client.keys("*")}, client.flushdb)


def sqlite_content(path: str) -> Content:
    found: Content = {}
    with closing(sqlite3.connect(path)) as online:
        for table in VIEWS:
            rows = online.execute(f"SELECT * FROM corkboard_{table.name}")
            found |= {(table.name, *row[:2]): row[2:] for row in rows}
    return found


def sqlite_clear(path: str) -> None:
    with closing(sqlite3.connect(path)) as online:
        for table in VIEWS:
            online.execute(f"DELETE FROM corkboard_{table.name}")
        online.commit()


def redis_client(address: str) -> Any:
    from redis import Redis

    server, _, number = address.partition(",db=")
    host, port = server.split(":")
    return Redis(host=host, port=int(port), db=int(number or 0))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.stop()


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workspace, Loaded, Loaded, Loaded]:
    """Ours; our online store behind Feast's engine and offline store; Feast's own three."""
    folder, kind = tmp_path_factory.mktemp("engine"), request.param
    workspace = Workspace.at(folder / "workspace")
    workspace.create(Catalogue("native", "inline"))
    if kind == "redis":
        base = request.getfixturevalue("server").address
        ours, behind, own = (f"{base},db={number}" for number in range(3))
    else:
        ours, behind, own = (str(folder / f"{name}.db") for name in ("ours", "behind", "own"))
    return (
        workspace,
        opened(workspace, "ours", kind, SAFE[kind], ours, False),
        opened(workspace, "behind", kind, SAFE[kind], behind, True),
        opened(workspace, "own", kind, kind, own, True),
    )


def fill(workspace: Workspace, table: Table, rows: list[dict[str, Any]], a_part: int) -> None:
    parts.replace(workspace.folder(table), table, table.schema.empty_table())
    for first in range(0, len(rows), a_part):
        write_rows(workspace, table, *rows[first : first + a_part])


values: dict[Table, st.SearchStrategy[dict[str, Any]]] = {
    PIN_SERVING: st.fixed_dictionaries({"payload": st.none() | st.binary(min_size=1, max_size=200)}),
    PIN_BOARDS: st.fixed_dictionaries(
        {
            "board_titles": st.none() | st.lists(st.text("aé花", max_size=3), max_size=3),
            "board_count": st.none() | st.integers(0, 2**31),
        }
    ),
    QUERY_PIN_ENGAGEMENT: st.fixed_dictionaries({"saves_365d": st.none() | st.integers(0, 99)}),
}
moments = st.integers(0, 8).map(lambda hour: day(2).replace(hour=hour))
names = st.sampled_from(["", "a", "b", "花瓶" * 40, "a b"])


@st.composite
def histories(draw: st.DrawFn, table: Table) -> list[dict[str, Any]]:
    """Rows whose event times tie with others', some known late, some there twice; (key, event, created) is unique."""
    drawn = draw(st.lists(st.tuples(names, names, moments, st.integers(0, 3), values[table]), max_size=12))
    rows = {}
    for query, pin, at, late, value in drawn:
        key = {name: {"query": query, "pin_id": pin}[name] for name in table.key}
        known = at.replace(day=2 + late)
        rows[(*key.values(), at, known)] = {**key, "event_timestamp": at, "created_timestamp": known, **value}
    return [*rows.values(), *list(rows.values())[:2]]


@pytest.mark.parametrize("table", VIEWS, ids=lambda table: table.name)
@given(data=st.data(), window=st.lists(moments, min_size=4, max_size=4), a_part=st.integers(1, 5))
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_every_load_leaves_what_feasts_engine_leaves(
    stores: tuple[Workspace, Loaded, Loaded, Loaded],
    table: Table,
    data: st.DataObject,
    window: list[datetime],
    a_part: int,
):
    workspace, ours, behind, _ = stores
    fill(workspace, table, data.draw(histories(table)), a_part)
    ours.clear(), behind.clear()
    for ends in (window[:2], window[2:]):  # the second may be older, and must take nothing back
        assert ours.load(min(ends), max(ends), table) == behind.load(min(ends), max(ends), table)


def test_a_first_load_is_byte_for_byte_feasts_own_three_classes(stores: tuple[Workspace, Loaded, Loaded, Loaded]):
    workspace, ours, _, own = stores
    at = day(1, 123_456)
    boards = [
        {"pin_id": p, "board_titles": [p, ""], "board_count": n, "event_timestamp": at} for n, p in enumerate("ab")
    ]
    fill(workspace, PIN_BOARDS, boards, 1)
    payloads = [b"x", b"y" * 127, b"z" * 20_000, None]
    fill(
        workspace,
        PIN_SERVING,
        [{"pin_id": f"花{n}", "payload": payload, "event_timestamp": at} for n, payload in enumerate(payloads)],
        2,
    )
    ours.clear(), own.clear()
    for table, size in ((PIN_BOARDS, 2), (PIN_SERVING, 4)):
        mine, theirs = ours.load(day(0), day(9), table), own.load(day(0), day(9), table)
        assert [_without_knowing(cells) for _, cells in sorted(mine.items())] == [
            cells for _, cells in sorted(theirs.items())
        ]
        assert mine.keys() == theirs.keys() and len({key[1] if isinstance(key, tuple) else key for key in mine}) >= size


def _without_knowing(cells: Any) -> Any:
    """Without the second clock that our Redis store keeps beside Feast's fields."""
    return {f: v for f, v in cells.items() if not f.startswith(b"_created:")} if isinstance(cells, dict) else cells


def test_of_rows_alike_in_both_clocks_the_last_counts_and_an_empty_window_loads_nothing(
    stores: tuple[Workspace, Loaded, Loaded, Loaded],
):
    workspace, ours, _, _ = stores
    fill(workspace, PIN_SERVING, [{"pin_id": "a", "payload": p, "event_timestamp": day(1)} for p in (b"1", b"2")], 2)
    ours.clear()
    assert ours.load(day(2), day(3), PIN_SERVING) == {}
    (cells,) = ours.load(day(1), day(1), PIN_SERVING).values()
    assert b"\x0a\x012" in (cells.values() if isinstance(cells, dict) else cells)


def test_only_plain_views_of_local_files_are_streamed(workspace: Workspace):
    apply(workspace)
    with_engine, streamed = open_store(workspace), []
    text = workspace.feature_store_yaml.read_text()
    as_older_imports_wrote_it = re.sub(r"batch_engine:\n(?:  .*\n)+", "", text)
    workspace.feature_store_yaml.write_text(as_older_imports_wrote_it)
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"x", "event_timestamp": day(1)})
    apply(workspace)
    older = open_store(workspace)
    for store, kind in ((with_engine, StreamingComputeEngine), (older, LocalComputeEngine)):
        with quiet():
            store.materialize(day(0), day(2), feature_views=["pin_serving"])
        streamed.append(type(store._get_provider().batch_engine) is kind)
    assert streamed == [True, True]


def latest(workspace: Workspace, table: Table) -> LatestJob:
    apply(workspace)
    store = open_store(workspace)
    source = store.get_feature_view(table.name).batch_source
    assert source is not None
    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config,
        source,
        list(table.key),
        [feature.name for feature in table.features],
        "event_timestamp",
        "created_timestamp",
        day(0),
        day(9),
    )
    assert isinstance(job, LatestJob)
    return job


def test_memory_is_a_batch_whatever_the_table_and_no_copies_are_made(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(row_files, "_MAPPED_FROM", 0)
    random = np.random.default_rng(0)
    for part in range(12):  # 60 MB in all, of which every second row is old
        pins = [f"{part // 2}.{i}" for i in range(1_000)]
        payloads = [random.bytes(5_000) for _ in pins]
        times = {"event_timestamp": day(1 + part % 2)}
        write_rows(
            workspace, PIN_SERVING, *({"pin_id": p, "payload": b, **times} for p, b in zip(pins, payloads, strict=True))
        )
        del payloads
    job, before, sizes, held = latest(workspace, PIN_SERVING), pa.total_allocated_bytes(), [], []
    for batch in job.batches(100):
        sizes.append(len(batch))
        held.append(pa.total_allocated_bytes() - before)
    assert sum(sizes) == 6_000 and max(sizes) <= 100
    assert max(held) < 16e6  # of 60 MB: a batch of 0.5 MB, and of every column a megabyte of pages as they are read
    monkeypatch.setattr(late_latest, "_BATCH_BYTES", 50_000)
    assert max(len(batch) for batch in job.batches(100)) <= 10
    assert job.to_arrow().num_rows == 6_000
    assert not list(workspace.root.rglob(row_files.FOLDER))


def test_a_part_that_was_rewritten_meanwhile_is_noticed(workspace: Workspace):
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"x", "event_timestamp": day(1)})
    job = latest(workspace, PIN_SERVING)
    assert len(job.addresses()) == 1
    (part,) = (p for p in workspace.folder(PIN_SERVING).glob("*.parquet") if "schema" not in p.name)
    rows = parts.read(workspace.folder(PIN_SERVING), PIN_SERVING)
    parts.append(workspace.folder(PIN_SERVING), PIN_SERVING, rows.slice(0, 0), part.stem.removeprefix("part-"))
    with pytest.raises(CorkboardError, match="rewritten since; run this again"):
        list(job.batches())


KILLED = """
import os, signal, sys
from enrich.stores.late_latest import LatestJob
from enrich.workspace import Workspace
from relevance.feature_store import materialize
whole = LatestJob.batches
def three(self, rows):
    for number, batch in enumerate(whole(self, 10)):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch
LatestJob.batches = three
materialize(Workspace.at(sys.argv[1]))
"""


def test_a_load_that_was_killed_is_loaded_whole_by_the_next(workspace: Workspace):
    from relevance.feature_store import materialize

    pins = [f"p{i}" for i in range(100)]
    write_rows(workspace, PIN_SERVING, *({"pin_id": p, "payload": b"x", "event_timestamp": day(1)} for p in pins))
    apply(workspace)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(workspace.root)], cwd=Path.cwd(), capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(workspace.root / "online.db")) as online:
        count = "SELECT count(*) FROM corkboard_pin_serving"
        assert online.execute(count).fetchone() == (30,)
        materialize(workspace)
        assert online.execute(count).fetchone() == (100,)


def test_rows_of_a_packed_view_that_came_into_sight_after_a_load_are_in_the_next(workspace: Workspace):
    apply(workspace)
    store = open_store(workspace)
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"x", "event_timestamp": day(1)})
    with quiet():
        store.materialize(day(0), day(2), feature_views=["pin_serving"])
        packed = {"pin_id": "a", "payload": b"y", "event_timestamp": day(2) - timedelta(minutes=59)}
        write_rows(workspace, PIN_SERVING, packed)
        store.materialize_incremental(day(3), feature_views=["pin_serving"])
        found = store.get_online_features(["pin_serving:payload"], [{"pin_id": "a"}]).to_dict()["payload"]
    assert found == [b"y"]
