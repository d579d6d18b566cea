"""Scoring answers in the order asked, from the store's bytes, whatever is missing or broken."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from enrich import parts
from enrich.errors import BadInput
from enrich.pin_packing import pack_pins
from enrich.query_payload import PAIR_COLUMNS, QueryValues, pack_query
from enrich.tables import PIN_SERVING, QUERY_SERVING, TIMESTAMP
from relevance.feature_store import materialize
from relevance.learning.inputs import pin_columns, student_inputs
from relevance.learning.network import NetworkSettings, Size
from relevance.learning.training import train_student
from relevance.online import Scorer
from relevance.serving.deadline import answer_by
from relevance.serving.lookup import OnlineFeatures
from relevance.student import Student, StudentSettings
from tests.relevance.students import AT, MemoryStore, WordEncoder, labelled_frame

FRAME = labelled_frame(4, 8, 21)


@pytest.fixture(scope="module")
def student(tmp_path_factory) -> Student:
    torch.set_num_threads(1)
    settings = StudentSettings(network=NetworkSettings(Size.S), epochs=20, batch_size=64)
    folder = tmp_path_factory.mktemp("models") / "student"
    return train_student(labelled_frame(25, 20, 1), labelled_frame(5, 20, 2), settings, folder, WordEncoder())


@pytest.fixture
def store() -> MemoryStore:
    pins = dict(zip(FRAME["pin_id"], pack_pins(pin_columns(FRAME)), strict=True))
    queries = {
        row["query"]: pack_query(QueryValues(interests=row["query_features__interests"], lang="en", frequency=3))
        for row in FRAME.iter_rows(named=True)
    }
    return MemoryStore(pins, queries)


@pytest.fixture
def scorer(student, store) -> Scorer:
    return Scorer(student, store, WordEncoder())


def test_serving_answers_equal_offline_predictions(scorer, student):
    offline = student.predict(student_inputs(FRAME, WordEncoder()).features(student.statistics))
    for query in FRAME["query"].unique(maintain_order=True):
        places = np.flatnonzero(FRAME["query"] == query)
        answers = scorer.score(query, FRAME["pin_id"].gather(places).to_list())
        online = np.array([answer.probabilities for answer in answers])
        assert np.allclose(online, offline[places], atol=1e-6)


def test_answers_come_in_the_order_asked_and_repeat_if_asked(scorer):
    query, pins = FRAME["query"][0], FRAME["pin_id"][:3].to_list()
    plain = {answer.pin_id: answer for answer in scorer.score(query, pins)}
    asked = [pins[2], pins[0], pins[2]]
    again = scorer.score(query, asked)
    assert [answer.pin_id for answer in again] == asked
    for answer in again:
        assert answer.probabilities == pytest.approx(plain[answer.pin_id].probabilities, abs=1e-6)
        assert sum(answer.probabilities) == pytest.approx(1, abs=1e-5)
        expected = sum(level * p for level, p in enumerate(answer.probabilities, start=1))
        assert answer.relevance == pytest.approx(expected, abs=1e-5)


def test_a_pin_asked_twice_has_one_answer_whatever_part_it_stands_in(scorer, store, student, monkeypatch):
    monkeypatch.setattr("relevance.serving.deadline.AT_ONCE", 3)
    query, pins = FRAME["query"][0], [*FRAME["pin_id"][:4].to_list(), "nobody's"]
    asked = [*pins, "nobody's", *reversed(pins), pins[3]]
    once = {answer.pin_id: answer for answer in scorer.score(query, pins)}
    assert scorer.score(query, asked) == [once[pin] for pin in asked]
    ticks = iter([0.0, 10.0, 10.0])
    late = answer_by(scorer, query, asked, until=15.0, clock=lambda: next(ticks))
    scored = {answer.pin_id: answer for answer in late.scored_pins()}
    assert late.scored_pins() == [scored[pin] for pin in asked]
    assert {pin for pin, answer in scored.items() if answer.degraded} == {*pins[3:]}  # whose part came too late
    assert late.rates.shape[0] == len(late.pins) == len(asked)


def test_the_query_is_normalised_as_its_key_is(scorer):
    query, pins = FRAME["query"][0], FRAME["pin_id"][:2].to_list()
    assert scorer.score(f"  {query.upper()} ", pins) == scorer.score(query, pins)


def test_an_unknown_pin_gets_the_prior_and_says_so(scorer, student):
    known = FRAME["pin_id"][0]
    answers = scorer.score(FRAME["query"][0], ["nobody's", known])
    assert answers[0].missing == ("pin",) and not answers[0].degraded
    assert answers[0].probabilities == pytest.approx(student.record.prior, abs=1e-6)
    assert "pin" not in answers[1].missing


def test_missing_inputs_are_named(scorer, store):
    store.held_pins["bare"] = pack_pins(pl.DataFrame({"title": ["blue chair"]}))[0]
    (answer,) = scorer.score("never asked before", ["bare"])
    assert answer.missing[0] == "query_features"
    assert {"description", "caption", "text_embedding", "visual_embedding", "engagement", "pair"} < set(answer.missing)
    assert "title" not in answer.missing


def test_corrupt_bytes_are_an_unknown_pin_flagged(scorer, store, student):
    pin = FRAME["pin_id"][0]
    store.held_pins[pin] = store.held_pins[pin][:-3]
    (answer,) = scorer.score(FRAME["query"][0], [pin])
    assert answer.missing == ("pin", "corrupt") and answer.degraded
    assert answer.probabilities == pytest.approx(student.record.prior, abs=1e-6)


def test_while_the_store_is_lost_what_it_gave_last_answers_flagged(scorer, store, student):
    query, pins = FRAME["query"][0], FRAME["pin_id"][:4].to_list()
    before = scorer.score(query, pins[:3])
    store.down = True
    during = scorer.score(query, pins)
    assert all(answer.degraded and "store" in answer.missing for answer in during)
    assert [a.probabilities for a in during[:3]] == [pytest.approx(a.probabilities, abs=1e-6) for a in before]
    assert "pin" not in during[0].missing and "pin" in during[3].missing  # the fourth was never asked for
    assert during[3].probabilities == pytest.approx(student.record.prior, abs=1e-6)
    store.down = False
    assert scorer.score(query, pins[:3]) == before


def test_a_pin_that_a_working_store_took_back_is_not_remembered(scorer, store):
    query, pin = FRAME["query"][0], FRAME["pin_id"][0]
    scorer.score(query, [pin])
    del store.held_pins[pin]
    scorer.score(query, [pin])
    store.down = True
    assert "pin" in scorer.score(query, [pin])[0].missing


def test_a_vector_of_another_length_is_missing_and_costs_no_other_pin(scorer, store, student):
    """While another encoder takes over, pins of both stand in one request."""
    query = FRAME["query"][0]
    usual = FRAME["pin_id"][:2].to_list()
    alone = {answer.pin_id: answer for answer in scorer.score(query, usual)}
    longer = pl.DataFrame({"title": ["blue chair"], "text_embedding": [[0.1] * 12]})
    others = [f"other{i}" for i in range(5)]
    store.held_pins |= dict.fromkeys(others, pack_pins(longer)[0])
    mixed = {answer.pin_id: answer for answer in scorer.score(query, [*others, *usual])}
    for pin in usual:
        assert mixed[pin].missing == alone[pin].missing and "text_embedding" not in mixed[pin].missing
        assert mixed[pin].probabilities == pytest.approx(alone[pin].probabilities, abs=1e-6)
    assert all("text_embedding" in mixed[pin].missing for pin in others)
    assert scorer.score(query, others[:1])[0].missing == mixed[others[0]].missing  # whoever stands beside it


def test_an_unreadable_query_payload_is_flagged_and_known_pins_are_scored(scorer, store):
    query, pin = FRAME["query"][0], FRAME["pin_id"][0]
    store.held_queries[query] = b"-WRONGTYPE Operation against a key"
    (answer,) = scorer.score(query, [pin])
    assert (
        answer.degraded and {"corrupt_query", "query_features"} <= set(answer.missing) and "pin" not in answer.missing
    )


def test_an_answer_in_parts_is_the_answer_at_once_and_what_is_late_is_the_prior(scorer, student, monkeypatch):
    monkeypatch.setattr("relevance.serving.deadline.AT_ONCE", 3)
    query, pins = FRAME["query"][0], [*FRAME["pin_id"][:8].to_list(), "unknown"]
    whole = scorer.answer(query, pins)
    in_parts = answer_by(scorer, query, pins, until=100.0, clock=lambda: 0.0)
    assert np.allclose(in_parts.probabilities, whole.probabilities, atol=1e-6)
    assert [a.missing for a in in_parts.scored_pins()] == [a.missing for a in whole.scored_pins()]
    for name in ("engagement", "lengths", "langs", "text_embedding"):
        assert np.array_equal(getattr(in_parts.pins, name), getattr(whole.pins, name))
    ticks = iter([0.0, 10.0, 10.0, 10.0, 10.0])
    late = answer_by(scorer, query, pins, until=15.0, clock=lambda: next(ticks)).scored_pins()
    assert [a.degraded for a in late] == [False] * 3 + [True] * 6
    assert late[3].missing == ("deadline", "pin")
    assert late[8].probabilities == pytest.approx(student.record.prior, abs=1e-6)
    assert answer_by(scorer, query, [], until=-1.0, clock=lambda: 0.0).lost == ("deadline",)


def test_the_query_vector_is_the_stored_one_or_encoded_here(scorer, store):
    encoded = WordEncoder().encode(["red cake"])[0]
    assert scorer.query_vector(" Red  CAKE") == pytest.approx(encoded, abs=1e-3)
    store.held_queries["red cake"] = pack_query(QueryValues(embedding=[1.0] + [0.0] * 7))
    assert scorer.query_vector("red cake").tolist() == [1.0] + [0.0] * 7


def test_an_encoder_without_weights_leaves_words_to_answer(student, store):
    class Broken(WordEncoder):
        def encode(self, texts):
            raise BadInput("no weights")

    answers = Scorer(student, store, Broken()).score("blue chair", FRAME["pin_id"][:2].to_list())
    assert all("query_embedding" in answer.missing and answer.degraded for answer in answers)


@pytest.mark.parametrize("query", ["", "   ", "\ud800", "x" * 100_000, "\0", "🙂", "椅子"])
def test_any_text_is_a_query(scorer, query):
    (answer,) = scorer.score(query, FRAME["pin_id"][:1].to_list())
    assert np.isfinite(answer.probabilities).all()


def test_no_pins_no_answers_and_wrong_types_one_line(scorer):
    assert scorer.score("blue chair", []) == []
    wrong = (
        (None, ["a"], "query as text"),
        ("q", "abc", "list of pin ids"),
        ("q", None, "list of pin ids, found NoneType"),
        ("q", 5, "list of pin ids, found int"),
        ("q", [3], "ids as"),
        ("q", ["\ud800"], "UTF-8"),
    )
    for query, pins, words in wrong:
        with pytest.raises(BadInput, match=words):
            scorer.score(query, pins)


def test_through_feasts_own_store(workspace, student):
    """Rows of pin_serving and query_serving, materialized by Feast, read back by `Scorer.open`."""
    rates = np.zeros((1, len(PAIR_COLUMNS)), np.float32)
    rates[0, PAIR_COLUMNS.index("click_rate_365d")] = 0.5
    query, pin = FRAME["query"][0], FRAME["pin_id"][0]
    payloads = pack_pins(pin_columns(FRAME))
    _append(workspace, PIN_SERVING, {"pin_id": FRAME["pin_id"].to_list(), "payload": payloads})
    known = pack_query(QueryValues(lang="en", frequency=3, embedding=[0.0] * 7 + [1.0]), [pin], rates)
    _append(workspace, QUERY_SERVING, {"query": [query], "payload": [known]})
    materialize(workspace)
    student.save(workspace.models / "student")
    opened = Scorer.open(workspace.root)
    mine = Scorer(
        student, MemoryStore(dict(zip(FRAME["pin_id"], payloads, strict=True)), {query: known}), WordEncoder()
    )
    pins = [*FRAME["pin_id"].to_list(), "unknown"]
    assert opened.score(query, pins) == mine.score(query, pins)
    assert isinstance(opened._store, OnlineFeatures) and "pair" not in opened.score(query, [pin])[0].missing


def _append(workspace, table, columns) -> None:
    rows = pl.DataFrame(columns).with_columns(
        event_timestamp=pl.lit(AT),
        created_timestamp=pl.lit(AT),
        written_at=pl.lit(AT),
        backfilled=pl.lit(False),
        producer=pl.lit("test"),
        code_version=pl.lit("test"),
        input_hash=pl.lit("test"),
        reason=pl.lit(None, pl.String),
    )
    assert TIMESTAMP in table.schema.types
    parts.append(workspace.folder(table), table, rows.select(table.schema.names).to_arrow())


def test_a_workspace_without_a_student_says_what_to_run(workspace):
    with pytest.raises(BadInput, match="train-student"):
        Scorer.open(workspace)
