"""Online lookup: what was packed is what is read, from SQLite and from Redis, and a lost store is one clear error."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from redis import Redis
from redis_server import RedisServer
from table_rows import day, use_online_store, write_rows

import relevance.serving.lookup
from enrich import parts
from enrich.errors import BadInput, CorkboardError
from enrich.pin_packing import pack_pins
from enrich.pin_payload import ENGAGEMENT_COLUMNS, PinBatch, unpack_pins
from enrich.query_payload import PAIR_COLUMNS, unpack_query
from enrich.serving import ServingSettings, run_serving
from enrich.tables import (
    DELETIONS,
    PIN_BOARDS,
    PIN_CAPTION,
    PIN_ENGAGEMENT,
    PIN_GRAPH,
    PIN_LINK,
    PIN_QUERIES,
    PIN_SERVING,
    PIN_TEXT,
    PIN_TEXT_EMBEDDING,
    PIN_VISUAL_EMBEDDING,
    PINS,
    QUERY_FEATURES,
    QUERY_PIN_ENGAGEMENT,
)
from enrich.workspace import Catalogue, Workspace
from relevance.feature_definitions import definitions
from relevance.feature_store import apply, fingerprint, materialize, open_store, quiet
from relevance.serving.lookup import OnlineFeatures, StoreUnavailable, _Rest
from relevance.serving.payload_readers import Rows, SqliteReader
from relevance.training_frame import training_frame

PIN_IDS = ["a", "b", "c"]


def fill(workspace: Workspace) -> None:
    write_rows(workspace, PINS, *({"pin_id": pin, "created_at": day(1)} for pin in PIN_IDS))
    at = {"event_timestamp": day(1)}
    write_rows(
        workspace,
        PIN_TEXT,
        {"pin_id": "a", "title": "Red shoes", "description": "canvas, été", "lang": "fr", **at},
        {"pin_id": "b", "title": "old", **at},
        {"pin_id": "b", "title": "new", "event_timestamp": day(2)},
        {"pin_id": "c", **at},
    )
    write_rows(workspace, PIN_CAPTION, {"pin_id": "a", "caption": "a red shoe on a table", **at})
    write_rows(workspace, PIN_LINK, {"pin_id": "b", "link_title": "Shop", "link_description": "all the shoes", **at})
    write_rows(workspace, PIN_BOARDS, {"pin_id": "a", "board_titles": ["My shoes", "赤い靴"], "board_count": 2, **at})
    write_rows(workspace, PIN_QUERIES, {"pin_id": "a", "engaged_queries": ["red shoes"], **at})
    write_rows(workspace, PIN_TEXT_EMBEDDING, {"pin_id": "a", "text_embedding": [0.6, 0.8], **at})
    write_rows(workspace, PIN_GRAPH, {"pin_id": "b", "graph_embedding": [0.0, 1.0, 0.0], **at})
    write_rows(workspace, PIN_ENGAGEMENT, {"pin_id": "b", **dict.fromkeys(ENGAGEMENT_COLUMNS, 3), **at})
    write_rows(workspace, QUERY_FEATURES, {"query": "red shoes", "interests": ["shoes"], "frequency": 4, **at})
    write_rows(
        workspace, QUERY_PIN_ENGAGEMENT, {"query": "red shoes", "pin_id": "a", **dict.fromkeys(PAIR_COLUMNS, 2), **at}
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A small catalogue, packed and materialized into SQLite; the tests that change it use names of their own."""
    workspace = Workspace.at(tmp_path_factory.mktemp("lookup") / "workspace")
    workspace.create(Catalogue("native", "inline"))
    fill(workspace)
    run_serving(workspace, ServingSettings())
    materialize(workspace)
    return workspace


def same(one: PinBatch, other: PinBatch) -> bool:
    """Equal in all but `created_us`, which is no feature."""
    arrays = [name for name in PinBatch.__slots__ if name not in ("texts", "created_us")]
    alike = [np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays]
    return all(alike) and all(np.array_equal(*both) for both in zip(one.texts, other.texts, strict=True))


def test_what_is_read_online_equals_the_typed_views_offline(served: Workspace):
    pairs = pl.DataFrame({"query": ["red shoes"] * 3, "pin_id": PIN_IDS, "event_timestamp": [day(60)] * 3})
    frame = training_frame(served, pairs, "student_v1")
    offline = pack_pins(frame.rename(lambda name: name.split("__")[-1] if name.startswith("pin_") else name))
    online = OnlineFeatures.open(served).pins(PIN_IDS)
    assert same(unpack_pins(offline), unpack_pins(online))
    assert unpack_pins(online).lengths[:, 0].tolist() == [2, 1, 0]


def test_a_query_is_read_with_its_pairs(served: Workspace):
    query = unpack_query(OnlineFeatures.open(served).query("red shoes"), "red shoes")
    assert query.known and query.interests == ("shoes",) and query.rates_of(PIN_IDS)[1].tolist() == [True, False, False]
    assert OnlineFeatures.open(served).query("unseen") is None


def test_order_repetitions_unknown_ids_and_numpy_strings(served: Workspace):
    features = OnlineFeatures.open(served)
    a, b = features.pins(["a", "b"])
    assert a and b and a != b
    assert features.pins(["b", "unseen", "a", "b", "", "' OR 1=1 --"]) == [b, None, a, b, None, None]
    assert features.pins(list(np.array(["a", "b"]))) == [a, b] and features.pins(np.array(["b"])) == [b]
    assert features.pins([]) == []


def test_a_thousand_and_more_than_one_read_of_keys(served: Workspace):
    features = OnlineFeatures.open(served)
    asked = [f"unseen {i}" for i in range(10_500)] + ["a"]
    found = features.pins(asked)
    assert len(found) == len(asked) and found[-1] and not any(found[:-1])


def test_threads_may_share_it(served: Workspace):
    features = OnlineFeatures.open(served)
    expected, seen = features.pins(PIN_IDS), []
    readers = [threading.Thread(target=lambda: seen.append(features.pins(PIN_IDS))) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert seen == [expected] * 8


def test_only_new_rows_are_materialized_and_late_ones_do_not_replace_newer(workspace: Workspace):
    payload = {"pin_id": "a", "payload": b"newer", "event_timestamp": day(9)}
    write_rows(workspace, PIN_SERVING, payload)
    assert [(done.view, done.rows) for done in materialize(workspace)] == [("pin_serving", 1)]
    assert materialize(workspace) == []
    late = {"pin_id": "a", "payload": b"late", "event_timestamp": day(3)}
    write_rows(workspace, PIN_SERVING, late, {"pin_id": "b", "payload": b"b", "event_timestamp": day(2)})
    (done,) = materialize(workspace)
    assert (done.start, done.rows) == (day(2), 2)
    assert OnlineFeatures.open(workspace).pins(["a", "b"]) == [b"newer", b"b"]


def test_a_failed_materialization_leaves_what_was_served_and_is_done_again(workspace: Workspace):
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"good", "event_timestamp": day(1)})
    materialize(workspace)
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"better", "event_timestamp": day(2)})
    with closing(sqlite3.connect(workspace.root / "online.db")) as online, online:
        refusal = "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        online.execute(f"CREATE TRIGGER refuse BEFORE UPDATE ON corkboard_pin_serving {refusal}")
    with pytest.raises(CorkboardError, match=r"pin_serving .* disk full"):
        materialize(workspace)
    assert OnlineFeatures.open(workspace).pins(["a"]) == [b"good"]
    with closing(sqlite3.connect(workspace.root / "online.db")) as online, online:
        online.execute("DROP TRIGGER refuse")
    assert [done.rows for done in materialize(workspace)] == [1]
    assert OnlineFeatures.open(workspace).pins(["a"]) == [b"better"]


def test_a_row_of_the_future_waits_until_it_is_due(workspace: Workspace):
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    write_rows(
        workspace,
        PIN_SERVING,
        {"pin_id": "a", "payload": b"due", "event_timestamp": day(1)},
        {"pin_id": "a", "payload": b"soon", "event_timestamp": tomorrow},
    )
    assert [done.rows for done in materialize(workspace)] == [1]
    assert OnlineFeatures.open(workspace).pins(["a"]) == [b"due"]


def test_a_lost_online_store_is_filled_again(workspace: Workspace):
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"x", "event_timestamp": day(1)})
    materialize(workspace)
    for file in workspace.root.glob("online.db*"):
        file.unlink()
    with pytest.raises(StoreUnavailable):
        OnlineFeatures.open(workspace).pins(["a"])
    materialize(workspace)
    assert OnlineFeatures.open(workspace).pins(["a"]) == [b"x"]


@pytest.mark.parametrize("removed", [None, "online.db*", "*.db*"])
def test_a_store_that_the_plain_commands_made_anew_is_filled_again(workspace: Workspace, removed: str | None):
    """As `feast teardown`, or the removal of its files, and then `feast apply`."""
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"x", "event_timestamp": day(1)})
    materialize(workspace)
    assert materialize(workspace) == []
    with quiet():
        if removed is None:
            open_store(workspace).teardown()
        else:
            for file in workspace.root.glob(removed):
                file.unlink()
        open_store(workspace).apply(definitions(workspace))
    assert [loaded.view for loaded in materialize(workspace)] == ["pin_serving"]
    assert OnlineFeatures.open(workspace).pins(["a"]) == [b"x"]
    assert materialize(workspace) == []


def test_definitions_applied_with_another_workspaces_sources_are_applied_again(workspace: Workspace, tmp_path: Path):
    """As `feast -f W/feature_store.yaml apply` does where CORKBOARD_WORKSPACE was forgotten."""
    other = Workspace.at(tmp_path / "other")
    other.create(Catalogue("native", "other"))
    for place, pin in ((workspace, "mine"), (other, "theirs")):
        write_rows(place, PIN_SERVING, {"pin_id": pin, "payload": b"x", "event_timestamp": day(1)})
    materialize(workspace)
    with quiet():
        open_store(workspace).apply(definitions(other))
    write_rows(workspace, PIN_SERVING, {"pin_id": "new", "payload": b"y", "event_timestamp": day(2)})
    materialize(workspace)
    assert OnlineFeatures.open(workspace).pins(["mine", "theirs", "new"]) == [b"x", None, b"y"]


def test_a_reader_follows_a_store_that_was_made_anew(workspace: Workspace):
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"old", "event_timestamp": day(1)})
    materialize(workspace)
    reader = OnlineFeatures.open(workspace)
    assert reader.pins(["a"]) == [b"old"]
    for file in workspace.root.glob("online.db*"):
        file.unlink()
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"new", "event_timestamp": day(2)})
    materialize(workspace)
    assert reader.pins(["a"]) == [b"new"]


def test_a_cut_state_is_as_none_and_a_cut_registry_says_so(workspace: Workspace):
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"x", "event_timestamp": day(1)})
    materialize(workspace)
    state, registry = workspace.root / "feature_store_state.json", workspace.root / "registry.db"
    state.write_text(state.read_text()[:20])
    assert [loaded.view for loaded in materialize(workspace)] == ["pin_serving"]
    registry.write_bytes(registry.read_bytes()[:200])
    with pytest.raises(CorkboardError, match="expected Feast's registry"):
        materialize(workspace)


def test_readers_of_the_registry_never_find_it_half_written(workspace: Workspace):
    apply(workspace)
    stop, failed = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            try:
                OnlineFeatures.open(workspace)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is what must not be
                failed.append(error)

    looking = threading.Thread(target=look)
    looking.start()
    store = open_store(workspace)
    for number in range(30):
        with quiet():
            store.materialize(day(0), day(1) + timedelta(hours=number), feature_views=["pin_serving"])
    stop.set()
    looking.join()
    assert failed == []


def test_a_deleted_pin_is_unknown_online(served: Workspace):
    write_rows(served, PINS, {"pin_id": "doomed", "created_at": day(1)})
    write_rows(served, PIN_TEXT, {"pin_id": "doomed", "title": "x", "event_timestamp": day(1)})
    run_serving(served, ServingSettings())
    materialize(served)
    assert OnlineFeatures.open(served).pins(["doomed"])[0]
    write_rows(served, DELETIONS, {"kind": "pin", "id": "doomed", "deleted_at": day(2)})
    run_serving(served, ServingSettings())
    materialize(served)
    assert OnlineFeatures.open(served).pins(["doomed", "a"])[0] is None


def test_a_store_that_failed_is_asked_once_a_second(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"x", "event_timestamp": day(1)})
    materialize(workspace)
    features, asked, now, read = OnlineFeatures.open(workspace), [], [100.0], SqliteReader.read

    def failing(self: SqliteReader, keys: Sequence[str]) -> Rows:
        asked.append(keys)
        if len(asked) == 1:
            raise TimeoutError("too slow")
        return read(self, keys)

    monkeypatch.setattr(SqliteReader, "read", failing)
    monkeypatch.setattr(relevance.serving.lookup.time, "monotonic", lambda: now[0])
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="too slow"):
            features.pins(["a"])
        with pytest.raises(StoreUnavailable, match="too slow"):
            features.query("chair")
    assert asked == [["a"]]
    now[0] += 1.1
    assert features.pins(["a"]) == [b"x"] and features.pins(["\ud800"]) == [None]


def test_after_a_rest_one_asks_and_the_others_go_on_until_it_knows(monkeypatch: pytest.MonkeyPatch):
    now, rest = [100.0], _Rest()
    monkeypatch.setattr(relevance.serving.lookup.time, "monotonic", lambda: now[0])
    assert rest.fault() is None
    rest.begin("gone")
    assert rest.fault() == "gone"
    now[0] += 1.1
    assert [rest.fault() for _ in range(3)] == [None, "gone", "gone"]  # the first one asks
    now[0] += 1.1  # and hangs: the next one asks
    assert [rest.fault() for _ in range(2)] == [None, "gone"]
    rest.end()
    assert [rest.fault() for _ in range(2)] == [None, None]


def test_a_workspace_without_definitions_and_a_store_without_tables_say_so(workspace: Workspace):
    with pytest.raises(BadInput, match="scoring_v1"):
        OnlineFeatures.open(workspace)
    apply(workspace)
    features = OnlineFeatures.open(workspace)
    (workspace.root / "online.db").write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreUnavailable, match="pin_serving"):
        features.pins(["a"])
    with pytest.raises(CorkboardError, match="remove it"):
        materialize(workspace)


def test_the_fingerprint_changes_with_a_producer_and_not_with_rows(served: Workspace):
    before = fingerprint(served, "student_v1")
    row = {"pin_id": "c", "visual_embedding": None, "event_timestamp": day(1)}
    write_rows(
        served, PIN_TEXT, {"pin_id": "c", "title": None, "event_timestamp": day(1), "created_timestamp": day(1, 9)}
    )
    assert fingerprint(served, "student_v1") == before != fingerprint(served, "teacher_v1")
    write_rows(served, PIN_VISUAL_EMBEDDING, {**row, "producer": "another captioner"})
    assert fingerprint(served, "student_v1") != before


@pytest.mark.parametrize("store_type", ["redis", "enrich.stores.safe_redis.SafeRedisOnlineStore"])
def test_redis_serves_the_same_by_configuration_alone_and_its_loss_is_one_error(
    workspace: Workspace, redis: RedisServer, served: Workspace, store_type: str
):
    use_online_store(workspace, store_type, redis.address)
    fill(workspace)
    run_serving(workspace, ServingSettings())
    materialize(workspace)
    features = OnlineFeatures.open(workspace)
    found = features.pins([*PIN_IDS, "unseen"])
    assert found[-1] is None
    assert same(unpack_pins(found[:-1]), unpack_pins(OnlineFeatures.open(served).pins(PIN_IDS)))
    assert features.query("red shoes") and features.query("unseen") is None
    assert parts.count(workspace.folder(PIN_SERVING)) == 3
    assert materialize(workspace) == []
    with closing(Redis.from_url(f"redis://{redis.address}")) as flushed:
        flushed.flushall()
    assert "pin_serving" in {loaded.view for loaded in materialize(workspace)}
    assert features.pins(["a"]) == found[:1]
    redis.stop()
    with pytest.raises(StoreUnavailable, match="redis"):
        features.pins(["a"])
