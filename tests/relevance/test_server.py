"""The service answers what the scorer says, refuses what it must, and never with a 5xx."""

from __future__ import annotations

import json

import pytest
import torch
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import enrich
from enrich.pin_payload import pack_pins
from relevance.online import Scorer
from relevance.server import MAX_BODY_BYTES, MAX_PINS, create_app
from relevance.student import StudentSettings
from relevance.student_inputs import pin_columns
from relevance.student_network import NetworkSettings, Size
from relevance.student_training import train_student
from tests.relevance.students import MemoryStore, WordEncoder, labelled_frame

FRAME = labelled_frame(2, 6, 31)
PINS = FRAME["pin_id"].to_list()


@pytest.fixture(scope="module")
def store():
    return MemoryStore(dict(zip(PINS, pack_pins(pin_columns(FRAME)), strict=True)), {})


@pytest.fixture(scope="module")
def scorer(tmp_path_factory, store):
    torch.set_num_threads(1)
    chosen = StudentSettings(network=NetworkSettings(Size.S), epochs=2)
    student = train_student(FRAME, FRAME, chosen, tmp_path_factory.mktemp("m"), WordEncoder())
    return Scorer(student, store, WordEncoder())


@pytest.fixture(scope="module")
def client(scorer):
    with TestClient(create_app(scorer, lambda query, limit: PINS[:limit]), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(autouse=True)
def store_up(store):
    yield
    store.down = False


def test_score_says_what_the_scorer_says(client, scorer):
    answer = client.post("/score", json={"query": "blue chair", "pin_ids": [*PINS[:3], "unknown"]})
    assert answer.status_code == 200
    body = answer.json()
    assert not body["degraded"] and body["model"] == scorer.student.record.fingerprint
    for got, expected in zip(body["pins"], scorer.score("blue chair", [*PINS[:3], "unknown"]), strict=True):
        assert got["pin_id"] == expected.pin_id and tuple(got["missing"]) == expected.missing
        assert got["probabilities"] == pytest.approx(expected.probabilities)
        assert got["relevance"] == pytest.approx(expected.relevance)


def test_rank_orders_given_pins_or_finds_its_own(client):
    given_pins = client.post("/rank", json={"query": "blue chair", "pin_ids": PINS, "floor": 1}).json()
    found = client.post("/rank", json={"query": "blue chair", "floor": 1, "limit": 12}).json()
    assert [pin["rank"] for pin in given_pins["pins"]] == list(range(1, 13))
    assert {pin["pin_id"] for pin in found["pins"]} == set(PINS)
    best = client.post("/rank", json={"query": "blue chair", "floor": 1, "limit": 2}).json()
    assert best["pins"] == found["pins"][:2]  # few are returned, all are ranked
    utilities = [pin["utility"] for pin in given_pins["pins"] if not pin["guarded"]]
    assert utilities == sorted(utilities, reverse=True)
    lifted = {"query": "q", "pin_ids": PINS, "engagement": [*[0.0] * 11, 9.0], "weights": {"caller": 5}, "floor": 1}
    assert any(
        pin["pin_id"] == PINS[-1] and pin["engagement"] == 45
        for pin in client.post("/rank", json=lifted).json()["pins"]
    )


def test_own_candidates_that_are_gone_are_left_out_but_asked_ones_and_a_lost_stores_are_not(client, store):
    gone = store.held_pins.pop(PINS[0])
    request = {"query": "blue chair", "floor": 1, "limit": 12}
    try:
        assert {pin["pin_id"] for pin in client.post("/rank", json=request).json()["pins"]} == set(PINS[1:])
        asked = client.post("/rank", json={**request, "pin_ids": PINS}).json()
        assert {pin["pin_id"] for pin in asked["pins"]} == set(PINS)
        store.down = True
        assert len(client.post("/rank", json=request).json()["pins"]) == len(PINS)
    finally:
        store.held_pins[PINS[0]] = gone


def test_a_lost_store_is_flagged_and_not_ready_and_comes_back(client, store):
    store.down = True
    answer = client.post("/score", json={"query": "blue chair", "pin_ids": PINS[:2]})
    assert answer.status_code == 200 and answer.json()["degraded"]
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    store.down = False
    assert client.get("/readyz").status_code == 200


def test_metrics_count_what_was_answered(client):
    client.post("/score", json={"query": "blue chair", "pin_ids": ["unknown"]})
    text = client.get("/metrics").text
    assert 'relevance_requests_total{path="/score",status="200"}' in text
    assert 'relevance_missing_inputs_total{input="pin"}' in text
    assert "relevance_request_seconds_bucket" in text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/score", {}),
        ("/score", {"query": 3, "pin_ids": []}),
        ("/score", {"query": "q", "pin_ids": [None]}),
        ("/score", {"query": "q", "pin_ids": ["\ud800"]}),
        ("/score", {"query": "\udfff", "pin_ids": ["a"]}),
        ("/score", {"query": "q", "pin_ids": ["a"] * (MAX_PINS + 1)}),
        ("/score", {"query": "q" * 5000, "pin_ids": ["a"]}),
        ("/score", {"query": "q", "pin_ids": ["a"], "typo": 1}),
        ("/rank", {"query": "q", "pin_ids": ["a"], "floor": 9}),
        ("/rank", {"query": "q", "pin_ids": ["a"], "engagement": [1.0, 2.0]}),
        ("/rank", {"query": "q", "pin_ids": ["a"], "weights": {"relevance": -1}}),
    ],
)
def test_bad_requests_get_one_line(client, path, body):
    answer = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "\n" not in answer.json()["error"]


def test_limits_on_the_body(client):
    too_big = client.post("/score", content=b"x" * (MAX_BODY_BYTES + 1))
    chunked = client.post("/score", content=iter([b"{}"]))
    assert (too_big.status_code, chunked.status_code) == (413, 411)
    assert "found 4194305" in too_big.json()["error"] and "found chunks" in chunked.json()["error"]


def test_as_many_pins_as_are_allowed_are_all_answered(client):
    pins = [f"unknown-{i}" for i in range(MAX_PINS)]
    answer = client.post("/score", json={"query": "blue chair", "pin_ids": pins})
    assert answer.status_code == 200
    assert [pin["pin_id"] for pin in answer.json()["pins"]] == pins
    assert client.post("/score", json={"query": "q", "pin_ids": []}).json()["pins"] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"query": "q", "pin_ids": ["a"]} x', b"\xff\xfe", b"[" * 100_000, b"9" * 5000],
)
def test_what_is_no_request_gets_one_line(client, body):
    answer = client.post("/score", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error"} and "\n" not in answer.json()["error"]


def test_another_path_or_method_gets_one_line_too(client):
    for answer, status in ((client.get("/nowhere"), 404), (client.get("/score"), 405)):
        assert answer.status_code == status and set(answer.json()) == {"error"}


def test_readiness_says_the_versions_of_model_features_and_code(scorer):
    with TestClient(create_app(scorer, features="f1")) as client:
        assert client.get("/readyz").json() == {
            "status": "ready",
            "model": scorer.student.record.fingerprint,
            "features": "f1",
            "corkboard": enrich.__version__,
        }


def test_what_breaks_inside_is_counted_as_a_500(scorer):
    def broken(query: str, limit: int) -> list[str]:
        raise OSError("disk")

    with TestClient(create_app(scorer, broken), raise_server_exceptions=False) as client:
        assert client.post("/rank", json={"query": "q"}).status_code == 500
        assert 'relevance_requests_total{path="/rank",status="500"} 1.0' in client.get("/metrics").text


def test_without_an_index_rank_asks_for_pins(scorer):
    with TestClient(create_app(scorer)) as client:
        assert client.post("/rank", json={"query": "q"}).status_code == 422


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["query", "pin_ids", "weights", "limit", "floor", "engagement"]), inner)
    ),
    max_leaves=12,
)


@given(st.sampled_from(["/score", "/rank"]), JSON)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_makes_a_5xx(client, path, body):
    answer = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code < 500


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_a_5xx(client, body):
    assert client.post("/score", content=body, headers={"content-type": "application/json"}).status_code < 500
