"""Utility by hand, the floor, and the guard whatever the weights."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.errors import BadInput
from enrich.pin_packing import pack_pins
from enrich.pin_payload import unpack_pins
from enrich.query_payload import PAIR_COLUMNS, QueryValues, pack_query, unpack_query
from relevance.online import QUERY_EMBEDDING, STORE, Answer
from relevance.pin_rows import take
from relevance.ranking import RankSettings, UtilityWeights, rank, ranked


class FixedScorer:
    """Answers with given probabilities, pins a0, a1, ...; `saves` are their save rates, None for none known."""

    def __init__(self, levels: list[float], saves: list[float | None], pair_saves: dict[str, float] | None = None):
        self.probabilities = np.array([_between(level) for level in levels], np.float32)
        self.pins = unpack_pins(pack_pins(pl.DataFrame({"save_rate_365d": pl.Series(saves, dtype=pl.Float64)})))
        pairs = pair_saves or {}
        rates = np.zeros((len(pairs), len(PAIR_COLUMNS)), np.float32)
        rates[:, PAIR_COLUMNS.index("save_rate_365d")] = list(pairs.values())
        self.query = unpack_query(pack_query(QueryValues(), list(pairs), rates), "q")

    def answer(self, query: str, pin_ids: list[str]) -> Answer:
        at = [int(pin[1:]) for pin in pin_ids]
        rates, has = self.query.rates_of(pin_ids)
        return Answer(
            self.query, tuple(pin_ids), take(self.pins, np.array(at, np.int64)), rates, has, self.probabilities[at], ()
        )


def _between(level: float) -> np.ndarray:
    """Probabilities of the two levels beside `level`, whose mean it is."""
    below = min(4, int(level))
    probabilities = np.zeros(5)
    probabilities[below - 1], probabilities[below] = below + 1 - level, level - below
    return probabilities


def _ids(ranking) -> list[str]:
    return [pin.scored.pin_id for pin in ranking.pins]


def test_utility_by_hand():
    scorer = FixedScorer([5.0, 4.0, 3.0], [0.0, 1.0, 0.5])
    weights = UtilityWeights(relevance=1, save=0.4, click=0, long_click=0, hide=0)
    ranking = rank(scorer, "q", ["a0", "a1", "a2"], RankSettings(weights))
    assert [(p.scored.pin_id, p.rank) for p in ranking.pins] == [("a1", 1), ("a0", 2), ("a2", 3)]
    assert [p.utility for p in ranking.pins] == pytest.approx([0.75 + 0.4, 1.0, 0.5 + 0.2], abs=1e-3)


def test_the_querys_own_rate_goes_before_the_pins_and_a_new_pin_gets_the_mean():
    scorer = FixedScorer([4.0, 4.0, 4.0], [0.2, 0.2, None], {"a1": 0.8})
    weights = UtilityWeights(save=1, click=0, long_click=0, hide=0)
    found = {p.scored.pin_id: p.engagement for p in rank(scorer, "q", ["a0", "a1", "a2"], RankSettings(weights)).pins}
    assert found == pytest.approx({"a0": 0.2, "a1": 0.8, "a2": 0.5}, abs=1e-3)


def test_the_floor_is_of_levels_that_were_scored_not_of_a_lost_stores_prior():
    scorer = FixedScorer([1.2, 1.2], [0.1, 0.1])
    whole, gone = scorer.answer("q", ["a0", "a1"]), unpack_pins([None, None])
    assert ranked(whole).pins == () and len(ranked(whole).below_floor) == 2
    lost = ranked(whole._replace(pins=gone, lost=(STORE,)))
    assert _ids(lost) == ["a0", "a1"] and all(pin.scored.degraded for pin in lost.pins)
    assert ranked(whole._replace(pins=gone)).pins == ()  # pins that nobody knows, by a store that answers
    assert ranked(whole._replace(pins=gone, lost=(QUERY_EMBEDDING,))).pins == ()  # whatever the query had to do without


def test_a_callers_predictions_replace_the_rates():
    scorer = FixedScorer([4.0, 4.0], [1.0, 0.0])
    assert _ids(rank(scorer, "q", ["a0", "a1"])) == ["a0", "a1"]
    assert _ids(rank(scorer, "q", ["a0", "a1"], engagement=[0.0, 1.0])) == ["a1", "a0"]
    for wrong, words in (
        ([0.5], "one engagement prediction a pin"),
        ([0.5, float("nan")], "nan"),
        ([0.5, 1e7], "1e\\+06"),
        (["x", "y"], "as numbers"),
        ([[0.5], [0.5, 0.5]], "as numbers"),
    ):
        with pytest.raises(BadInput, match=words):
            rank(scorer, "q", ["a0", "a1"], engagement=wrong)


def test_the_floor_leaves_out_and_says_what():
    ranking = rank(FixedScorer([4.0, 1.2], [0.0, 1.0]), "q", ["a0", "a1"], RankSettings(floor=2.0))
    assert _ids(ranking) == ["a0"] and [pin.pin_id for pin in ranking.below_floor] == ["a1"]


def test_a_pin_asked_twice_is_ranked_once():
    assert _ids(rank(FixedScorer([4.0, 3.0], [0.0, 0.0]), "q", ["a1", "a0", "a1"])) == ["a0", "a1"]


def test_a_pin_asked_twice_counts_once_in_the_mean_of_the_candidates():
    scorer = FixedScorer([4.0, 4.0, 4.0], [0.2, 0.8, None])
    weights = UtilityWeights(save=1, click=0, long_click=0, hide=0)
    ranking = rank(scorer, "q", ["a0", "a1", "a1", "a1", "a2"], RankSettings(weights))
    assert {p.scored.pin_id: p.engagement for p in ranking.pins}["a2"] == pytest.approx(0.5, abs=1e-3)


def test_no_pins_no_ranking():
    assert rank(FixedScorer([4.0], [0.0]), "q", []).pins == ()


PINS = st.lists(st.tuples(st.floats(1, 5), st.one_of(st.none(), st.floats(0, 1))), min_size=1, max_size=12)


@given(PINS, st.floats(0, 2), st.floats(-50, 50))
@settings(max_examples=60, deadline=None)
def test_engagement_never_lifts_1_2_above_4_5(pins, relevance, save):
    scorer = FixedScorer([level for level, _ in pins], [rate for _, rate in pins])
    weights = UtilityWeights(relevance=relevance, save=save)
    ids = [f"a{i}" for i in range(len(pins))]
    ranked = rank(scorer, "q", ids, RankSettings(weights, floor=1))
    assert sorted(_ids(ranked)) == sorted(ids)
    levels = [pin.scored.relevance for pin in ranked.pins]
    lowest_high = max((i for i, level in enumerate(levels) if level >= 3.5), default=0)
    assert all(level >= 2.5 for level in levels[:lowest_high])


def test_weights_that_are_no_numbers_are_refused():
    for wrong in (float("inf"), float("nan"), 1e39, "1", None, True):
        with pytest.raises(BadInput, match="expected weights"):
            UtilityWeights(save=wrong)
    assert UtilityWeights(click=np.int64(1)).click == 1
    with pytest.raises(BadInput, match="floor"):
        RankSettings(floor=7)
