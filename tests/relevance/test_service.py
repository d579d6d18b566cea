"""The service answers what the scorer says, refuses what it must, and never with a 5xx."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import enrich
from enrich.workspace import Workspace
from relevance.online import Scorer
from relevance.ranking import RankSettings, UtilityWeights
from relevance.service.app import Parts
from relevance.service.desk import Desk
from relevance.service.gate import Gate
from relevance.service.keys import ApiKeys
from relevance.service.live import Engine, Found, Live
from relevance.service.meters import Meters
from relevance.service.settings import MAX_BODY_BYTES, MAX_PINS, ServiceSettings
from relevance.serving.request_log import RequestLog
from tests.relevance.services import PINS, QUIET, client_of, engine_of, memory_store, parts_of, tiny_student
from tests.relevance.students import WordEncoder


@pytest.fixture(scope="module")
def store():
    return memory_store()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory, store):
    return Scorer(tiny_student(tmp_path_factory.mktemp("m")), store, WordEncoder())


@pytest.fixture(scope="module")
def client(scorer):
    with client_of(parts_of(scorer)) as client:
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


def test_own_candidates_whose_payloads_are_damaged_stay_and_are_flagged(client, store):
    whole = dict(store.held_pins)
    store.held_pins.update({pin: payload[:-1] for pin, payload in whole.items()})
    try:
        answer = client.post("/rank", json={"query": "blue chair", "floor": 1, "limit": 12}).json()
    finally:
        store.held_pins.update(whole)
    assert {pin["pin_id"] for pin in answer["pins"]} == set(PINS) and answer["degraded"]
    assert all(pin["missing"][-2:] == ["pin", "corrupt"] for pin in answer["pins"])


def test_weights_that_are_not_given_are_the_tuned_ones(scorer):
    tuned = RankSettings(UtilityWeights(relevance=0.7, click=0.2, long_click=0.5, save=0.9, hide=-0.3, caller=0.6))
    engine = Engine(scorer, lambda query, limit: Found(PINS[:limit]), "f1", tuned)
    with client_of(Parts(Live(engine), QUIET)) as client:

        def utilities(**weights: float) -> list[tuple[str, float]]:
            body = {"query": "blue chair", "pin_ids": PINS, "floor": 1, "engagement": [0.1] * 6 + [0.2] * 6}
            body |= {"weights": weights} if weights else {}
            return [(pin["pin_id"], pin["utility"]) for pin in client.post("/rank", json=body).json()["pins"]]

        whole = {"relevance": 0.7, "click": 0.2, "long_click": 0.5, "save": 0.9, "hide": -0.3, "caller": 0.1}
        assert utilities(click=0.2) == utilities()
        assert utilities(caller=0.1) == utilities(**whole) != utilities()
        shown = client.post("/inspect", json={"query": "blue chair", "weights": {"caller": 0.1}}).json()
        assert shown["weights"] == whole  # so a link of the one slider that was moved leads back to what is shown


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


def test_readiness_says_the_versions_of_model_features_and_code(client, scorer):
    assert client.get("/readyz").json() == {
        "status": "ready",
        "reasons": [],
        "model": scorer.student.record.fingerprint,
        "features": "f1",
        "shadow": None,
        "corkboard": enrich.__version__,
    }
    version = f'model="{scorer.student.record.fingerprint}"'
    assert any(
        line.startswith("relevance_model{") and version in line and line.endswith(" 1.0")
        for line in client.get("/metrics").text.splitlines()
    )


def test_what_breaks_inside_is_counted_as_a_500_and_says_its_id_alone(scorer):
    def broken(query: str, limit: int) -> Found:
        raise OSError("secret disk")

    with client_of(Parts(Live(Engine(scorer, broken)), QUIET)) as client:
        answer = client.post("/rank", json={"query": "q"}, headers={"x-request-id": "mine-1"})
        assert answer.status_code == 500 and answer.headers["x-request-id"] == "mine-1"
        assert "mine-1" in answer.json()["error"] and "secret" not in answer.text
        assert 'relevance_requests_total{path="/rank",status="500"}' in client.get("/metrics").text


def test_without_an_index_rank_asks_for_pins(scorer):
    with client_of(Parts(Live(Engine(scorer)), QUIET)) as client:
        assert client.post("/rank", json={"query": "q"}).status_code == 422


def test_every_answer_has_a_request_id_the_callers_where_it_is_plain(client):
    body = {"query": "blue chair", "pin_ids": PINS[:1]}
    mine = client.post("/score", json=body, headers={"x-request-id": "abc-1.2"})
    assert mine.headers["x-request-id"] == mine.json()["request_id"] == "abc-1.2"
    other = client.post("/score", json=body, headers={"x-request-id": "a b" * 50})
    assert other.headers["x-request-id"] == other.json()["request_id"] and " " not in other.headers["x-request-id"]
    assert len(client.get("/nowhere").headers["x-request-id"]) == 32


def test_a_line_of_json_a_request_without_query_or_key(scorer, tmp_path, capsys):
    from relevance.service.logs import LOGGERS, write_json_lines

    (tmp_path / "keys").write_text("# callers\nshop 0123456789abcdef0123\n")
    parts = Parts(Live(engine_of(scorer)), QUIET, keys=ApiKeys.read(tmp_path / "keys"))
    before = [(logger.handlers, logger.propagate, logger.level) for logger in LOGGERS]
    try:
        write_json_lines()
        with client_of(parts) as client:
            sent = {"x-api-key": "0123456789abcdef0123", "x-request-id": "r1"}
            client.post("/score", json={"query": "hidden words", "pin_ids": PINS[:2]}, headers=sent)
            client.post("/score", json={"query": "hidden words"}, headers={"x-api-key": "wrong-but-long-enough"})
            (tmp_path / "requests").touch()  # where the folder would be: nothing can be written, as on a full disk
            log = RequestLog(Workspace.at(tmp_path), share=1.0)
            for _ in range(3):
                Scorer(scorer.student, memory_store(), WordEncoder(), log).score("hidden words", PINS[:1])
    finally:
        for logger, (handlers, propagate, level) in zip(LOGGERS, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
    said = capsys.readouterr().err
    lines = [json.loads(line) for line in said.splitlines() if '"event": "request"' in line]
    assert [(line["status"], line["path"], line.get("caller"), line.get("pins")) for line in lines] == [
        (200, "/score", "shop", 2),
        (401, "other", None, None),
    ]
    (unlogged,) = [json.loads(line) for line in said.splitlines() if "not logged" in line]  # one of three
    assert unlogged["level"] == "warning" and unlogged["event"].startswith("1 requests were answered but not logged")
    assert lines[0]["request_id"] == "r1" and lines[0]["model"] == scorer.student.record.fingerprint
    assert not {"hidden", "0123456789abcdef0123", "wrong-but-long-enough"} & set(said.replace('"', " ").split())


def test_a_body_that_is_not_said_to_be_json_is_told_how(client):
    answer = client.post("/score", data={"query": "q"})
    assert answer.status_code == 422 and "expected a body of JSON under Content-Type" in answer.json()["error"]


def test_with_keys_configured_only_their_holders_are_answered(scorer, tmp_path):
    (tmp_path / "keys").write_text("shop 0123456789abcdef0123\nlab fedcba98765432100000\n")
    parts = Parts(Live(engine_of(scorer)), QUIET, keys=ApiKeys.read(tmp_path / "keys"))
    with client_of(parts) as client:
        body = {"query": "blue chair", "pin_ids": PINS[:1]}
        for headers, status in (
            ({}, 401),
            ({"x-api-key": "0123456789abcdef012"}, 401),
            ({"authorization": "Bearer "}, 401),
            ({"x-api-key": "0123456789abcdef0123"}, 200),
            ({"authorization": "Bearer fedcba98765432100000"}, 200),
        ):
            assert client.post("/score", json=body, headers=headers).status_code == status, headers
        assert client.get("/metrics").status_code == client.get("/openapi.json").status_code == 401
        described = client.get("/openapi.json", headers={"x-api-key": "0123456789abcdef0123"}).json()
        assert described["security"] == [{"key": []}, {"bearer": []}]
        assert described["components"]["securitySchemes"]["key"]["name"] == "X-API-Key"
        assert described["paths"]["/healthz"]["get"]["security"] == []
        assert "security" not in described["paths"]["/score"]["post"]
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        assert client.get("/").status_code == 200  # the page asks for the key


@pytest.mark.parametrize("content", ["", "shop short\n", "shop\n", "a 0123456789abcdef\na 0123456789abcdef\n", None])
def test_a_file_of_keys_that_is_none_is_refused_without_showing_one(tmp_path, content):
    from enrich.errors import BadInput

    if content is not None:
        (tmp_path / "keys").write_text(content)
    with pytest.raises(BadInput) as refused:
        ApiKeys.read(tmp_path / "keys")
    assert "0123456789abcdef" not in str(refused.value)


class HeldStore:
    """A store whose reads wait until they are let go; `asked` is set when one waits."""

    def __init__(self, store) -> None:
        self._store, self.go, self.asked = store, threading.Event(), threading.Event()

    def read_pins(self, pin_ids):
        self.asked.set()
        self.go.wait(60)
        return self._store.read_pins(pin_ids)

    def query(self, query):
        return self._store.query(query)


def test_a_full_queue_is_a_429_and_a_hung_store_a_partial_answer_in_time(scorer, store):
    held = HeldStore(store)
    parts = Parts(
        Live(engine_of(Scorer(scorer.student, held, WordEncoder()))),
        ServiceSettings(threads=1, waiting=1, reload_seconds=0, deadline_ms=60_000),
    )
    body, answers = {"query": "blue chair", "pin_ids": PINS[:3]}, []
    with client_of(parts) as client:
        before = counted(client)
        ask = threading.Thread(target=lambda: answers.append(client.post("/score", json=body)))
        ask.start()
        assert held.asked.wait(60)
        timed_out = client.post("/score", json={**body, "deadline_ms": 5})  # waits for the one thread, in the queue
        assert timed_out.status_code == 200 and timed_out.json()["partial"] and timed_out.json()["degraded"]
        assert all(pin["missing"] == ["deadline", "pin"] for pin in timed_out.json()["pins"])
        unfound = client.post("/rank", json={"query": "blue chair", "deadline_ms": 5}).json()
        assert unfound["pins"] == [] and unfound["partial"] and unfound["degraded"]  # no time to find any
        waits = threading.Thread(target=lambda: answers.append(client.post("/score", json=body)))
        waits.start()
        while b"relevance_waiting_requests 1.0" not in parts.meters.page():  # as another worker shows it
            pass
        refused = client.post("/score", json=body)
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        held.go.set()
        ask.join()
        waits.join()
        assert [answer.json()["partial"] for answer in answers] == [False, False]
        assert [after - was for after, was in zip(counted(client), before, strict=True)] == [1, 2, 2]


def test_a_short_deadline_leaves_most_of_itself_for_scoring(scorer, monkeypatch):
    desk = Desk(parts_of(scorer).live, Gate(1, 1), Meters(), deadline_ms=60_000)
    monkeypatch.setattr("relevance.service.desk.time.monotonic", lambda: 100.0)
    assert desk._times(40) == pytest.approx((100.03, 100.04))
    assert desk._times(1_000) == pytest.approx((100.95, 101.0))
    assert desk._times(None) == pytest.approx((159.95, 160.0))


def counted(client) -> list[float]:
    """Refused requests, partial and degraded answers; figures may be shared by all apps of a process."""
    lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
    return [float(lines[f"relevance_{name}_total"]) for name in ("refused", "partial_answers", "degraded_answers")]


def test_metrics_show_each_stage_and_where_query_vectors_came_from(client):
    for _ in range(2):
        client.post("/score", json={"query": "a query of this test", "pin_ids": PINS})
    text = client.get("/metrics").text
    for stage in ("query", "encode", "lookup", "unpack", "features", "predict"):
        assert f'relevance_stage_seconds_count{{stage="{stage}"}}' in text
    assert 'relevance_query_vectors_total{source="encoded"}' in text
    assert 'relevance_query_vectors_total{source="cached"}' in text


def test_the_vector_that_candidates_are_found_by_is_counted_once_and_so_is_each_stage(scorer):
    fresh = Scorer(scorer.student, memory_store(), WordEncoder())

    def candidates(query: str, limit: int) -> Found:
        vector, work = fresh.vector_and_work(query)
        assert vector is not None
        return Found(PINS[:limit], work)

    stages = ("candidates", "query", "lookup", "encode", "unpack", "features", "predict", "rank", "write")
    vectors = [f'relevance_query_vectors_total{{source="{source}"}}' for source in ("encoded", "cached")]
    names = [*vectors, *(f'relevance_stage_seconds_count{{stage="{stage}"}}' for stage in stages)]
    with client_of(Parts(Live(Engine(fresh, candidates)), QUIET)) as client:

        def counted() -> list[float]:
            lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines())
            return [float(lines.get(name, 0)) for name in names]

        for _ in range(2):  # a figure that is shared by all apps of a process shows when it is first counted
            client.post("/rank", json={"query": "another query"})
        for encoded, cached in ((1, 0), (0, 1)):
            before = counted()
            client.post("/rank", json={"query": "a query that is ranked alone"})
            assert [now - was for now, was in zip(counted(), before, strict=True)] == [encoded, cached, *[1] * 9]


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


def test_openapi_describes_every_answer_with_examples(client):
    described = client.get("/openapi.json").json()
    for path in ("/score", "/rank", "/explain", "/inspect", "/teacher"):
        responses = described["paths"][path]["post"]["responses"]
        assert {"200", "401", "413", "422", "429"} <= set(responses)
        assert "Problem" in json.dumps(responses["422"]) and "$ref" in json.dumps(responses["200"])
    assert "blue velvet armchair" in json.dumps(described["components"]["schemas"]["ScoreRequest"])
    assert {"/pins/{pin_id}", "/pins/{pin_id}/image", "/healthz", "/readyz", "/metrics"} <= set(described["paths"])
