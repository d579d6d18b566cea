"""What both online stores promise: nothing newer is taken back, corrections arrive, readers never see a half."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st
from redis_server import RedisServer
from table_rows import day, use_online_store, write_rows

from enrich import parts
from enrich.boards import BoardSettings, run_boards
from enrich.engagement import EngagementSettings, run_engagement
from enrich.errors import CorkboardError
from enrich.importers import import_catalogue, sample
from enrich.pin_packing import pack_pins
from enrich.pin_payload import unpack_pins
from enrich.serving import PIN_INPUTS, ServingSettings, run_serving
from enrich.tables import (
    DELETIONS,
    PIN_BOARDS,
    PIN_CAPTION,
    PIN_GRAPH,
    PIN_LINK,
    PIN_QUERIES,
    PIN_SERVING,
    PIN_TEXT,
    PIN_TEXT_EMBEDDING,
    PIN_VISUAL_EMBEDDING,
    PINS,
)
from enrich.texts import TextSettings, run_texts
from enrich.workspace import Workspace
from relevance.feature_store import apply, materialize, open_store, quiet
from relevance.learning.inputs import pin_columns
from relevance.pin_rows import take
from relevance.serving.lookup import OnlineFeatures, Presence
from relevance.serving.payload_readers import KeyBytes, bytes_of
from relevance.training_frame import training_frame

SQLITE = "enrich.stores.safe_sqlite.SafeSqliteOnlineStore"
REDIS = "enrich.stores.safe_redis.SafeRedisOnlineStore"
BATCH = [f"p{i}" for i in range(40)]


@pytest.fixture(params=[SQLITE, REDIS])
def store_type(request: pytest.FixtureRequest, workspace: Workspace) -> Iterator[str]:
    """Each of the two stores in turn, configured for `workspace`; Redis skips without its server."""
    if request.param == REDIS:
        use_online_store(workspace, REDIS, request.getfixturevalue("redis").address)
    yield request.param


def load(workspace: Workspace, start: datetime, end: datetime, view: str = "pin_text") -> None:
    """As `feast materialize START END -v VIEW`."""
    apply(workspace)
    with quiet():
        open_store(workspace).materialize(start, end, feature_views=[view])


def titles(workspace: Workspace, *pins: str) -> list[Any]:
    rows = [{"pin_id": pin} for pin in pins]
    with quiet():
        return open_store(workspace).get_online_features(["pin_text:title"], rows).to_dict()["title"]


def test_a_corrected_value_with_an_equal_event_time_arrives(workspace: Workspace, store_type: str):
    write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": "wrong", "event_timestamp": day(1)})
    load(workspace, day(0), day(9))
    corrected = {"event_timestamp": day(1), "created_timestamp": day(1, 1)}
    write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": "right", **corrected})
    load(workspace, day(0), day(9))
    assert titles(workspace, "a") == ["right"]


def test_an_older_window_loaded_again_takes_nothing_back(workspace: Workspace, store_type: str):
    for number, title in enumerate(("first", "second"), start=1):
        write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": title, "event_timestamp": day(number)})
    write_rows(workspace, PIN_TEXT, {"pin_id": "b", "title": "late", "event_timestamp": day(1)})
    load(workspace, day(0), day(9))
    load(workspace, day(0), day(1, 1))
    assert titles(workspace, "a", "b") == ["second", "late"]


def test_what_is_newer_is_so_in_every_zone(workspace: Workspace, store_type: str, monkeypatch: pytest.MonkeyPatch):
    spring = datetime(2026, 3, 29, 2, 30, tzinfo=UTC)  # digits that Berlin's clocks skip
    try:
        for minutes, zone, title in ((0, "Europe/Berlin", "a"), (40, "UTC", "b"), (80, "America/New_York", "c")):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            at = {"event_timestamp": spring + timedelta(minutes=minutes)}
            write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": title, **at})
            load(workspace, day(0), spring + timedelta(days=1))
            assert titles(workspace, "a") == [title]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_no_row_of_a_table_in_many_parts_is_lost_and_big_integers_survive(workspace: Workspace, store_type: str):
    big = 2**62 + 1
    for i in range(7):
        rows = [{"pin_id": f"{i}.{j}", "board_count": big + j, "event_timestamp": day(1)} for j in range(5)]
        write_rows(workspace, PIN_BOARDS, *rows)
    load(workspace, day(0), day(9), "pin_boards")
    pins = [f"{i}.{j}" for i in range(7) for j in range(5)]
    with quiet():
        rows = [{"pin_id": pin} for pin in pins]
        found = open_store(workspace).get_online_features(["pin_boards:board_count"], rows).to_dict()["board_count"]
    assert found == [big + j for _ in range(7) for j in range(5)]


def test_missing_stale_and_never_materialized_are_told_apart(workspace: Workspace, store_type: str):
    apply(workspace)
    nothing = OnlineFeatures.open(workspace).read_pins(["a"])
    assert (nothing.presence, nothing.never_materialized) == ([Presence.MISSING], True)
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"x", "event_timestamp": day(1)})
    write_rows(workspace, PIN_SERVING, {"pin_id": "b", "payload": b"y", "event_timestamp": day(3)})
    write_rows(workspace, PIN_SERVING, {"pin_id": "gone", "payload": None, "event_timestamp": day(3)})
    materialize(workspace)
    features = OnlineFeatures.open(workspace)
    forever = features.read_pins(["a", "b", "gone", "unseen"])
    assert forever.payloads == [b"x", b"y", None, None] and not forever.never_materialized
    store = open_store(workspace)
    view = store.get_feature_view("pin_serving")
    view.ttl = timedelta(days=2)
    with quiet():
        store.apply([view])
    read = OnlineFeatures.open(workspace).read_pins(["a", "b", "gone", "unseen"], now=day(4))
    assert read.payloads == [None, b"y", None, None]
    assert read.presence == [Presence.STALE, Presence.FOUND, Presence.MISSING, Presence.MISSING]
    assert not OnlineFeatures.open(workspace).read_pins(["unseen"]).never_materialized


def versions(workspace: Workspace, number: int) -> None:
    """Every pin of BATCH with a payload that says which version it is, from beginning to end."""
    payload = bytes([number]) * 20_000
    rows = [{"pin_id": pin, "payload": payload, "event_timestamp": day(1, number)} for pin in BATCH]
    write_rows(workspace, PIN_SERVING, *rows)


def test_a_reader_under_load_sees_whole_pins_and_no_error(
    workspace: Workspace, store_type: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("enrich.stores.safe_redis._IMPATIENT_RETRIES", 100)  # a restart may take a busy machine long
    runs = 50
    versions(workspace, 0)
    materialize(workspace)
    features, done, wrong = OnlineFeatures.open(workspace), threading.Event(), []

    def read() -> None:
        while not done.is_set():
            try:
                payloads = features.pins(BATCH)
            except CorkboardError as error:
                wrong.append(repr(error))
                return
            wrong.extend(f"{p and p[:1]!r}" for p in payloads if p is None or len(p) != 20_000 or len({*p}) != 1)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        store = open_store(workspace)
        for number in range(1, runs + 1):
            versions(workspace, number)
            with quiet():
                store.materialize(day(0), day(2), feature_views=["pin_serving"])
            if number == runs // 2 and store_type == REDIS:
                server: RedisServer = request.getfixturevalue("redis")
                server.stop()
                server.start()
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert wrong == []
    assert {payload[0] for payload in features.pins(BATCH) if payload} == {runs}


@given(st.text())
def test_key_bytes_are_feasts(key: str):
    expected = serialize_entity_key(EntityKey(join_keys=["pin_id"], entity_values=[Value(string_val=key)]), 3)
    assert KeyBytes("pin_id", 3).of(key) == expected


@given(st.binary() | st.just(b"x" * 200) | st.just(b"y" * 20_000))
def test_payload_bytes_are_protobufs(payload: bytes):
    assert bytes_of(Value(bytes_val=payload).SerializeToString()) == payload
    assert bytes_of(Value().SerializeToString()) is None and bytes_of(None) is None


@given(st.binary(min_size=1))
def test_damaged_cells_are_bytes_that_no_payload_has(cell: bytes):
    found = bytes_of(cell)
    batch = unpack_pins([found])
    assert not batch.present[0] and (found is None or batch.corrupt[0])


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The whole sample: its own texts, boards and log, and values made up where a model would have made them."""
    workspace = Workspace.at(tmp_path_factory.mktemp("sample") / "workspace")
    import_catalogue("sample", sample.DEFAULT, workspace)
    run_texts(workspace, TextSettings())
    run_boards(workspace, BoardSettings())
    run_engagement(workspace, EngagementSettings())
    pins = parts.scan(workspace.folder(PINS)).select("pin_id").collect()["pin_id"].to_list()
    random, at = np.random.default_rng(0), {"event_timestamp": day(1)}
    some = [pin for pin in pins if random.random() < 0.8]
    write_rows(workspace, PIN_CAPTION, *({"pin_id": p, "caption": f"a picture of {p}", **at} for p in some))
    write_rows(workspace, PIN_LINK, *({"pin_id": p, "link_title": f"page {p}", "site_name": "été", **at} for p in some))
    write_rows(workspace, PIN_QUERIES, *({"pin_id": p, "engaged_queries": ["花 瓶", p], **at} for p in some[::2]))
    for table, name in (
        (PIN_TEXT_EMBEDDING, "text_embedding"),
        (PIN_VISUAL_EMBEDDING, "visual_embedding"),
        (PIN_GRAPH, "graph_embedding"),
    ):
        vectors = random.normal(size=(len(some), 8)).astype(np.float32)
        rows = [{"pin_id": pin, name: v.tolist(), **at} for pin, v in zip(some, vectors, strict=True)]
        write_rows(workspace, table, *rows)
    run_serving(workspace, ServingSettings())
    return workspace


def test_online_equals_offline_for_every_feature_of_every_sample_pin(
    catalogue: Workspace, store_type: str, workspace: Workspace
):
    catalogue.feature_store_yaml.write_text(
        workspace.feature_store_yaml.read_text().replace(f"{workspace.root}/registry", f"{catalogue.root}/registry")
    )
    pins = parts.scan(catalogue.folder(PINS)).select("pin_id").collect()["pin_id"].sort()
    now = datetime.now(UTC)
    pairs = pl.DataFrame({"query": ["unseen"] * len(pins), "pin_id": pins, "event_timestamp": [now] * len(pins)})
    offline = training_frame(catalogue, pairs, "student_v1", gap=timedelta(0))
    apply(catalogue)
    store = open_store(catalogue)
    with quiet():
        store.materialize(datetime(1970, 1, 1, tzinfo=UTC), now)
        for table in PIN_INPUTS:
            names = [f.name for f in table.features if f"{table.name}__{f.name}" in offline.columns]
            rows = [{"pin_id": pin} for pin in pins]
            online = store.get_online_features([f"{table.name}:{name}" for name in names], rows).to_dict()
            for name in names:
                expected = offline[f"{table.name}__{name}"].to_list()
                assert [_empty(v) for v in online[name]] == [_empty(v) for v in expected], (table.name, name)
    packed = unpack_pins(pack_pins(pin_columns(offline)))
    served = unpack_pins(OnlineFeatures.open(catalogue).pins(pins.to_list()))
    deleted = parts.scan(catalogue.folder(DELETIONS)).filter(pl.col("kind") == "pin").collect()["id"]
    kept = np.flatnonzero(~pins.is_in(deleted.implode()).to_numpy())  # a deleted pin is not served, whatever is known
    assert served.present.sum() == len(kept) > 1000
    packed, served = take(packed, kept), take(served, kept)
    for name in ("present", "text_embedding", "visual_embedding", "graph_embedding", "engagement", "lengths", "langs"):
        assert np.array_equal(getattr(packed, name), getattr(served, name)), name
    for mine, theirs in zip((*packed.terms, packed.trigrams), (*served.terms, served.trigrams), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


def _empty(value: Any) -> Any:
    """Feast's stores keep a null list as an empty one."""
    return None if isinstance(value, list) and not value else value
