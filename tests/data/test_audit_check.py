"""The audit's simulation marks by the truth and never chooses by it; verdicts join the votes that there are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from data.audit_check import CHANCE, JUDGED_CHANCE, Truth, _arms, _chosen, _with_verdicts
from data.sample_maker.judgments import Annotator, make_annotators
from relevance.audit.worth import Reason

TRUTH = Truth(np.array([[5.0, 1.0]]), {"q": 0}, {"a": 0, "b": 1})


def test_the_truth_is_by_query_and_pin():
    assert TRUTH.levels(pl.DataFrame({"query": ["q", "q"], "pin_id": ["b", "a"]})).tolist() == [1, 5]


def test_a_verdict_is_one_more_vote():
    """Three said 5 of b, which is a 1: the fourth, who sees that, brings the mean to 4, and leaves a alone."""
    rows = pl.DataFrame(
        {"query": ["q", "q"], "pin_id": ["a", "b"], "level": [5, 5], "votes": [[5.0] * 3] * 2},
        schema_overrides={"votes": pl.List(pl.Float32)},
    )
    found = _with_verdicts(
        SimpleNamespace(), rows, rows.filter(pl.col("pin_id") == "b"), TRUTH, make_annotators(1), seed=0
    )
    assert found["votes"].to_list() == [[5.0] * 3, [5.0] * 3 + [1.0]]
    assert found["level"].to_list() == [5, 4]
    assert found.columns == rows.columns


def test_verdicts_are_of_the_people_of_the_world_asked_for():
    """People who see four levels more than there are say 5 of b, which is a 1."""
    rows = pl.DataFrame(
        {"query": ["q"], "pin_id": ["b"], "level": [1], "votes": [[1.0]]},
        schema_overrides={"votes": pl.List(pl.Float32)},
    )
    kind = [Annotator("kind", 4.0, 0.0, 0.0)]
    assert _with_verdicts(SimpleNamespace(), rows, rows, TRUTH, kind, seed=0)["votes"].to_list() == [[1.0, 5.0]]


def pool(unjudged: int, judged: int) -> pl.DataFrame:
    rng, n = np.random.default_rng(0), unjudged + judged
    worth = {one.value: rng.random(n) for one in Reason}
    levels = [None] * unjudged + [3] * judged
    frame = pl.DataFrame({"query": [f"q{i}" for i in range(n)], "pin_id": [f"p{i}" for i in range(n)], **worth})
    return frame.with_columns(pl.Series("level", levels, dtype=pl.Int64))


def test_every_way_of_choosing_has_as_many_pairs_and_doubts_are_of_what_is_taught():
    taught = frozenset(f"q{i}" for i in range(40, 60))
    chosen = _chosen(pool(40, 40), taught, 8, seed=1)
    assert {name: rows.height for name, rows in chosen.items()} == dict.fromkeys(chosen, 8)
    for name in (Reason.DOUBTED.value, JUDGED_CHANCE):
        assert set(chosen[name]["query"]) <= taught
    assert chosen[CHANCE]["level"].is_null().all()
    assert next(name for name, _ in _arms(chosen)) == "none"
    best = pool(40, 40)[:40].sort(Reason.UNSURE, descending=True)["pin_id"][:8]
    assert chosen[Reason.UNSURE.value]["pin_id"].to_list() == best.to_list()


@pytest.mark.parametrize("seed", [0, 1])
def test_chance_is_another_draw_with_another_seed_and_the_same_with_the_same(seed):
    taught = frozenset[str]()
    draws = [_chosen(pool(40, 0), taught, 8, one)[CHANCE]["pin_id"].to_list() for one in (seed, seed, seed + 1)]
    assert draws[0] == draws[1] != draws[2]
