"""Redis, the registry and the model die in turn under load: every answer is right or flagged, and all recovers."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from redis_server import RedisServer
from table_rows import day, use_online_store, write_rows

from enrich.serving import ServingSettings, run_serving
from enrich.tables import PIN_TEXT, PINS
from enrich.workspace import Workspace
from relevance.feature_store import applied_fingerprint, materialize
from relevance.framing.judged import STUDENT_SERVICE
from relevance.online import Scorer
from relevance.service.app import Parts
from relevance.service.live import Live, Loader
from relevance.service.meters import Meters
from relevance.service.settings import ServiceSettings
from relevance.service.shadow import Shadow
from relevance.serving.payload_readers import KeyBytes
from relevance.serving.replay import replay
from relevance.serving.request_log import folder_of, read_entries
from relevance.student import Student
from tests.relevance.services import IDS, QUERY, QUIET, client_of, fill, memory_store, parts_of, tiny_student
from tests.relevance.services import PINS as KNOWN
from tests.relevance.students import WordEncoder

BODY = {"query": QUERY, "pin_ids": [*IDS, "unseen"]}
REDIS = "enrich.stores.safe_redis.SafeRedisOnlineStore"
MANY = 100_000  # requests after which a test gives up waiting for what must come


@pytest.fixture(scope="module")
def students(tmp_path_factory) -> list[Path]:
    """Two models, saved."""
    folders = [tmp_path_factory.mktemp("models") / name for name in ("one", "two")]
    for seed, folder in enumerate(folders):
        tiny_student(folder, seed)
    return folders


@contextmanager
def served(workspace: Workspace, settings: ServiceSettings = QUIET) -> Iterator[tuple[TestClient, Live]]:
    loader = Loader(workspace, settings)
    live = Live(loader.first(), loader)
    with client_of(Parts(live, settings)) as client:
        yield client, live


def until(done: Callable[[], bool]) -> None:
    assert any(done() for _ in range(MANY))


class Load:
    """Asks without a pause, from another thread, and keeps what it was answered."""

    def __init__(self, client: TestClient) -> None:
        self._client, self._stop = client, threading.Event()
        self.answers: list[tuple[int, dict]] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            answer = self._client.post("/score", json=BODY)
            self.answers.append((answer.status_code, answer.json()))

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def more(self) -> None:
        """Wait for two answers that were begun from now on."""
        seen = len(self.answers)
        while len(self.answers) < seen + 3 and self._thread.is_alive():
            pass


def levels(answer: dict) -> list[float]:
    return [pin["relevance"] for pin in answer["pins"]]


def test_redis_registry_and_model_die_in_turn_under_load(workspace: Workspace, redis: RedisServer, students):
    use_online_store(workspace, REDIS, redis.address)
    fill(workspace, students[0])
    registry, weights = workspace.root / "registry.db", workspace.models / "student" / "model.safetensors"
    with served(workspace) as (client, live):

        def ask() -> dict:
            return client.post("/score", json=BODY).json()

        right = ask()
        assert not right["degraded"]
        with Load(client) as load:
            load.more()
            redis.stop()
            until(lambda: ask()["degraded"])
            assert client.get("/readyz").status_code == 503
            redis.start()
            until(lambda: not ask()["degraded"])
            assert client.get("/readyz").json()["status"] == "ready"
            for file in (registry, weights):
                aside = file.rename(file.with_name("aside"))
                assert not live.look() and live.fault
                assert "the old stays" in client.get("/readyz").json()["reasons"][0]
                load.more()
                aside.rename(file)
                live.look()
                assert live.fault is None
                load.more()
    assert {status for status, _ in load.answers} == {200}
    for _, answer in load.answers:
        assert levels(answer) == pytest.approx(levels(right), abs=1e-6)  # in the outage by the last good values
        assert all("store" in pin["missing"] for pin in answer["pins"]) == answer["degraded"]
    assert {answer["degraded"] for _, answer in load.answers} == {False, True}


def gone(file: Path) -> None:
    file.unlink()


def garbage(file: Path) -> None:
    file.with_name("garbage").write_bytes(b"no database" * 4_000)
    file.with_name("garbage").replace(file)


@pytest.mark.parametrize("harm", [gone, garbage])
def test_an_embedded_store_whose_file_is_harmed_under_load_is_flagged_and_comes_back(
    workspace: Workspace, students, harm: Callable[[Path], None]
):
    fill(workspace, students[0])
    file, kept = workspace.root / "online.db", workspace.root / "kept.db"
    with served(workspace) as (client, _):

        def ask() -> dict:
            return client.post("/score", json=BODY).json()

        right = ask()
        with Load(client) as load:
            load.more()
            shutil.copy2(file, kept)
            harm(file)
            until(lambda: ask()["degraded"])
            assert client.get("/readyz").status_code == 503
            kept.replace(file)
            until(lambda: not ask()["degraded"])
            assert client.get("/readyz").status_code == 200
            load.more()
    assert {status for status, _ in load.answers} == {200}
    for _, answer in load.answers:
        assert levels(answer) == pytest.approx(levels(right), abs=1e-6)


def test_an_emptied_redis_is_not_ready_and_is_answered_by_what_it_held(
    workspace: Workspace, redis: RedisServer, students
):
    use_online_store(workspace, REDIS, redis.address)
    fill(workspace, students[0])
    with served(workspace) as (client, _):
        right = client.post("/score", json=BODY).json()
        connection = Redis.from_url(f"redis://{redis.address}")
        connection.flushall()
        assert client.get("/readyz").status_code == 503
        during = client.post("/score", json=BODY).json()
        assert during["degraded"] and levels(during) == pytest.approx(levels(right), abs=1e-6)
        assert client.post("/rank", json={"query": QUERY}).json()["degraded"]
        materialize(workspace)
        assert client.get("/readyz").status_code == 200
        again = client.post("/score", json=BODY).json()
        assert not again["degraded"] and levels(again) == levels(right)
        connection.close()


@pytest.mark.parametrize("protocol", ["", ",protocol=3"])
def test_a_key_of_another_kind_costs_its_own_pin_alone(workspace: Workspace, redis: RedisServer, students, protocol):
    use_online_store(workspace, REDIS, redis.address + protocol)
    fill(workspace, students[0])
    with served(workspace) as (client, _):
        right = client.post("/score", json=BODY).json()
        connection = Redis.from_url(f"redis://{redis.address}")
        key = KeyBytes("pin_id", 3).of("b") + b"corkboard"
        assert connection.delete(key) == 1
        connection.set(key, "someone else's")
        answer = client.post("/score", json=BODY).json()
        assert [pin["missing"] for pin in answer["pins"]][1] == ["pin", "corrupt"]
        assert [levels(answer)[i] for i in (0, 2, 3)] == pytest.approx([levels(right)[i] for i in (0, 2, 3)])
        assert answer["degraded"] and client.get("/readyz").status_code == 200
        connection.close()


def test_another_model_is_taken_up_with_no_request_failed_and_a_cut_one_is_not(workspace: Workspace, students):
    fill(workspace, students[0])
    model, models = workspace.models / "student", [Student.load(folder).record.fingerprint for folder in students]
    with served(workspace) as (client, live), Load(client) as load:
        load.more()
        cut = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(cut[: len(cut) // 2])
        assert not live.look() and "does not load" in str(live.fault)
        load.more()
        shutil.rmtree(model)
        shutil.copytree(students[1], model)
        assert live.look() and live.engine.model == models[1]
        load.more()
    assert {status for status, _ in load.answers} == {200}
    asked = [answer["model"] for _, answer in load.answers]
    assert asked == sorted(asked, key=models.index) and set(asked) == set(models)
    assert not any(answer["degraded"] for _, answer in load.answers)


def test_a_student_of_other_features_answers_whole_and_readiness_says_so(workspace: Workspace, students, caplog):
    fill(workspace, students[0])
    one, model = Student.load(students[0]), workspace.models / "student"

    def learned_from(features: str) -> None:
        Student(replace(one.record, feature_service=features), one.statistics, one.network).save(model)

    learned_from("others")
    with served(workspace) as (client, live):
        ready = client.get("/readyz")
        assert ready.status_code == 200 and ready.json()["status"] == "ready"
        (reason,) = ready.json()["reasons"]
        assert "learned from other features" in reason
        assert [line.message for line in caplog.records if line.levelname == "WARNING"] == [reason]
        assert not client.post("/score", json=BODY).json()["degraded"]
        learned_from(applied_fingerprint(workspace, STUDENT_SERVICE))
        assert live.look() and client.get("/readyz").json()["reasons"] == []


def test_new_features_are_seen_by_the_next_request(workspace: Workspace, students):
    fill(workspace, students[0])
    with served(workspace) as (client, live):
        assert "pin" in client.post("/score", json=BODY).json()["pins"][3]["missing"]
        at = {"event_timestamp": day(2)}
        write_rows(workspace, PINS, {"pin_id": "unseen", "created_at": day(1)})
        write_rows(workspace, PIN_TEXT, {"pin_id": "unseen", "title": "red chair", "lang": "en", **at})
        run_serving(workspace, ServingSettings())
        materialize(workspace)
        assert "pin" not in client.post("/score", json=BODY).json()["pins"][3]["missing"]
        live.look()
        assert live.fault is None


def test_what_the_service_logged_is_the_same_offline(workspace: Workspace, students):
    fill(workspace, students[0])
    with served(workspace, ServiceSettings(reload_seconds=0, deadline_ms=60_000, record=1.0)) as (client, _):
        sent = [client.post("/score", json=BODY).json()["request_id"] for _ in range(3)]
        client.post("/rank", json={"query": QUERY, "pin_ids": IDS}, headers={"x-request-id": "ranked"})
    found = replay(workspace, encoder=WordEncoder())
    assert found.exact and (found.requests, found.pins) == (4, 15)
    (file,) = folder_of(workspace).glob("*.jsonl")
    assert [entry.request_id for entry in read_entries(file)] == [*sent, "ranked"]


def test_the_shadow_rests_while_the_model_that_answers_reads_other_vectors(tmp_path: Path, students, caplog):
    first, second = (Student.load(folder) for folder in students)
    answer = Scorer(first, memory_store(), WordEncoder()).answer("blue chair", KNOWN[:2])
    dimensions = first.record.dimensions._replace(text=first.record.dimensions.text + 1)
    other = Student(replace(first.record, dimensions=dimensions), first.statistics, first.network)
    shadow = Shadow(second, WordEncoder(), tmp_path / "shadow", Meters())
    shadow.start()
    for place, answering in enumerate((other, first, other)):  # as it is reloaded, and back
        shadow.saw(f"r{place}", answering, answer)
    shadow.stop()
    (file,) = (tmp_path / "shadow").glob("*.jsonl")
    assert [json.loads(line)["request_id"] for line in file.read_text().splitlines()] == ["r1"]
    assert [record.levelname for record in caplog.records if "the shadow rests" in record.message] == ["WARNING"]


def test_the_shadow_scores_and_logs_what_was_answered_and_changes_nothing(tmp_path: Path, students):
    first, second = (Student.load(folder) for folder in students)
    scorer, meters = Scorer(first, memory_store(), WordEncoder()), Meters()
    body = {"query": "blue chair", "pin_ids": [*KNOWN, "unknown"]}
    with client_of(parts_of(scorer)) as client:
        plain = client.post("/score", json=body).json()
    shadow = Shadow(second, WordEncoder(), tmp_path / "shadow", meters)
    live = parts_of(scorer).live
    with client_of(Parts(live, QUIET, meters, shadow=shadow)) as client:
        answer = client.post("/score", json=body, headers={"x-request-id": "r1"}).json()
        assert client.get("/readyz").json()["shadow"] == second.record.fingerprint
    assert answer["pins"] == plain["pins"] and answer["model"] == first.record.fingerprint
    (file,) = (tmp_path / "shadow").glob("*.jsonl")
    (line,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (line["request_id"], line["shadow"]) == ("r1", second.record.fingerprint)
    assert line["levels"] == pytest.approx(levels(plain), abs=1e-6)
    expected = [
        pin.relevance for pin in Scorer(second, memory_store(), WordEncoder()).score("blue chair", body["pin_ids"])
    ]
    assert line["shadow_levels"] == pytest.approx(expected, abs=1e-5) and line["shadow_levels"] != line["levels"]
