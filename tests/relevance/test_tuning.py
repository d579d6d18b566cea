"""Weights are chosen that earn engagement, and only as long as relevance pays little for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance import stages
from relevance.model_names import STUDENT_MODEL
from relevance.ranking import RankSettings, UtilityWeights
from relevance.tuning.chosen import choose, chosen_path, chosen_settings
from relevance.tuning.curve import TuningSettings, choose_from, render
from relevance.tuning.logged import EventValues, Material, Search, _judged, _per_look

SINCE = datetime(2025, 1, 1, tzinfo=UTC)


def search(query: str, relevance: list[float], saves: list[float], worth: list[float]) -> Search:
    rates = np.zeros((len(saves), 4), np.float32)
    rates[:, 2] = saves
    return Search(query, np.array(relevance), rates, np.array(worth), 1.0)


def given_searches(saved: list[float], levels: list[float]) -> Material:
    """Forty searches of two pins: the first a little more relevant; `saved` is what each earns, `levels` are gold."""
    logged = [search(f"q{i}", [4.0, 3.9], saved, saved) for i in range(40)]
    judged = [search(f"q{i}", [4.0, 3.9], saved, levels) for i in range(40)]
    return Material(tuple(logged), tuple(judged), SINCE, 0.0, False)


def test_where_engagement_costs_no_relevance_it_is_weighed():
    found = choose_from(given_searches([0.0, 0.5], [3, 4]), TuningSettings())
    assert found.halved and found.chosen.weights.save > 0
    assert found.lift.value > 0.5 and found.ndcg_lost.value <= 0  # the second pin is better by both
    assert found.points[0].lift == 0.0


def test_where_it_costs_more_than_is_allowed_it_is_not():
    dear = given_searches([0.0, 0.5], [5, 1])
    found = choose_from(dear, TuningSettings(tolerance=0.01))
    assert found.lift.value == 0 and found.ndcg_lost.value == 0
    careless = choose_from(dear, TuningSettings(tolerance=1.0))
    assert careless.lift.value > 0.5 and careless.ndcg_lost.value > 0.3
    assert "nDCG lost" in render(careless)


def test_what_is_lost_is_told_by_search_not_by_how_searches_differ():
    """Half of the searches have an nDCG of 1 and half much less, and none loses any of it."""
    dear = given_searches([0.0, 0.5], [5, 1])
    apart = [one._replace(worth=np.array([1, 5] if i % 2 else [5, 1])) for i, one in enumerate(dear.judged)]
    found = choose_from(dear._replace(judged=tuple(apart)), TuningSettings(tolerance=0.0, usual=no_weights()))
    assert found.ndcg_lost == (0.0, 0.0, 0.0)


def no_weights() -> UtilityWeights:
    return UtilityWeights(click=0.0, long_click=0.0, save=0.0, hide=0.0)


def test_lift_by_hand():
    """A look at the first place counts 1, at the second 1 / log2(3) = .631: .5 first instead of second is +58 %."""
    found = choose_from(given_searches([0.0, 0.5], [3, 4]), TuningSettings())
    assert found.lift.value == pytest.approx(np.log2(3) - 1)


def test_where_hides_outweigh_saves_the_order_that_hides_less_is_chosen():
    """By relevance alone the pin that is hidden stands first: -1 + .1 · .631; the other way about .1 - .631."""
    found = choose_from(given_searches([-1.0, 0.1], [3, 4]), TuningSettings())
    assert found.earned < 0 and found.chosen.weights.save > 0
    discount = 1 / np.log2(3)
    alone, chosen = -1 + 0.1 * discount, 0.1 - discount
    assert found.lift.value == pytest.approx((chosen - alone) / -alone)
    assert found.lift.low == pytest.approx(found.lift.high) and "more hides than saves" in render(found)


def test_a_student_that_does_not_say_what_it_learned_from_is_not_said_to_be_judged_by_other_queries(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    both = pl.DataFrame({"query": ["chair", "lamp"]})
    monkeypatch.setattr("relevance.tuning.logged.Judged.of", lambda _: SimpleNamespace(features=both))
    found, taught = _judged(workspace)
    assert found is both and taught is None
    stages.make(workspace.models / STUDENT_MODEL, "rows", lambda _: None, taught=frozenset({"chair"}))
    found, taught = _judged(workspace)
    assert (found["query"].to_list(), taught) == (["lamp"], False)
    given = given_searches([0.0, 0.5], [3, 4])
    said = {known: render(choose_from(given._replace(taught=known), TuningSettings())) for known in (False, True, None)}
    assert "flatter" not in said[False] and "does not say" in said[None] and said[True] != said[None]


def test_a_pin_is_worth_what_it_earned_by_look_not_by_place():
    """Both were clicked once; the one at place 4 was looked at half as often as the one at place 1 (eta .5)."""
    rows = [
        ("q", "a", "impression", 1, 10),
        ("q", "a", "click", 1, 1),
        ("q", "b", "impression", 4, 10),
        ("q", "b", "click", 4, 1),
    ]
    counted = pl.DataFrame(rows, ["query", "pin_id", "event", "position", "times"], orient="row")
    worth = dict(_per_look(counted, 0.5, EventValues(click=1.0)).select("pin_id", "worth").iter_rows())
    mean = 2 / 15
    assert worth == pytest.approx({"a": (1 + mean) / 11, "b": (1 + mean) / 6})


def test_too_little_is_said():
    with pytest.raises(BadInput, match="log or judge more"):
        choose_from(Material((), (), SINCE, 0.0, False), TuningSettings())
    with pytest.raises(BadInput, match="tolerance"):
        TuningSettings(tolerance=2.0)


def test_what_was_chosen_is_what_is_ranked_by(workspace: Workspace):
    assert chosen_settings(workspace) == RankSettings()
    chosen = RankSettings(replace(UtilityWeights(), save=0.7), 2.0)
    choose(workspace, chosen, {"why": "test"})
    assert chosen_settings(workspace) == chosen
    chosen_path(workspace).write_text("{}")
    with pytest.raises(BadInput, match="tune-ranking"):
        chosen_settings(workspace)
