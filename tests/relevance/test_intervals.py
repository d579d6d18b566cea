"""Drawn statistics equal the measures they stand for; intervals cover; differences are paired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import t

from enrich.errors import BadInput
from relevance import intervals, metrics
from relevance.intervals import BootstrapSettings
from relevance.reliability import top_claim


def _rows(seed: int, queries: int = 12, rows: int = 150):
    rng = np.random.default_rng(seed)
    query = np.concatenate([np.arange(queries), rng.integers(0, queries, rows - queries)])
    levels = rng.integers(1, 6, rows)
    probabilities = rng.dirichlet(np.ones(5), rows) * 0.5 + np.eye(5)[levels - 1] * 0.5
    return query, levels, probabilities.round(1) / probabilities.round(1).sum(axis=1, keepdims=True)


def _statistics(query, levels, probabilities, queries):
    top = metrics.most_probable(probabilities)
    return {
        "accuracy": intervals.mean(query, (top == levels).astype(float), queries),
        "kappa": intervals.kappa(query, levels, top, queries),
        "tau": intervals.tau(query, levels, top, queries),
        "ece": intervals.calibration(query, top_claim(levels, probabilities), queries),
        "auroc": intervals.auroc(query, levels >= 3, metrics.probability_at_least(probabilities, 3)),
    }


def _measures(levels, probabilities):
    return {
        "accuracy": metrics.accuracy(levels, probabilities),
        "kappa": metrics.quadratic_kappa(levels, metrics.most_probable(probabilities)),
        "tau": metrics.kendall_tau(levels, metrics.most_probable(probabilities)),
        "ece": metrics.calibration_error(levels, probabilities),
        "auroc": metrics.auroc_at_least(levels, probabilities, 3),
    }


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_equals_the_measure_on_the_rows_drawn(seed):
    query, levels, probabilities = _rows(seed)
    draws = intervals.draw_queries(12, BootstrapSettings(draws=100, seed=seed))
    repeated = np.repeat(np.arange(len(query)), draws[0].astype(int)[query])
    expected_once, expected_drawn = (
        _measures(levels, probabilities),
        _measures(levels[repeated], probabilities[repeated]),
    )
    for name, statistic in _statistics(query, levels, probabilities, 12).items():
        assert statistic.values(np.ones((1, 12)))[0] == pytest.approx(expected_once[name]), name
        assert statistic.values(draws)[0] == pytest.approx(expected_drawn[name]), name


def test_ranked_pairs_in_chunks_equal_all_at_once():
    query, levels, probabilities = _rows(1)
    statistic = intervals.auroc(query, levels >= 4, metrics.probability_at_least(probabilities, 4))
    draws = intervals.draw_queries(12, BootstrapSettings(draws=100))
    chunked = replace(statistic, cells_at_once=700)
    assert np.array_equal(statistic.values(draws), chunked.values(draws), equal_nan=True)


def test_the_interval_is_of_queries_not_of_rows():
    """Rows that all copy their query's answer say no more than their 12 queries do."""
    query = np.repeat(np.arange(12), 25)
    statistic = intervals.mean(query, np.repeat([1.0, 0.0], 6 * 25), 12)
    draws = intervals.draw_queries(12, BootstrapSettings())
    found = intervals.estimate(statistic, draws)
    assert found.value == 0.5
    assert (found.low, found.high) == (0.25, 0.75)  # ± 1.96 · .5 / √12, in twelfths


def test_a_95_percent_interval_covers_the_truth_about_95_times_in_100():
    settings = BootstrapSettings(draws=300)
    draws = intervals.draw_queries(60, settings)
    covered = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(0.3, 1, 60)
        found = intervals.estimate(intervals.mean(np.arange(60), values, 60), draws)
        covered += found.low <= 0.3 <= found.high
    assert 180 <= covered <= 198


def test_a_difference_is_paired_by_query():
    """Two models that differ by .01 on every query differ for sure, however much the queries do."""
    base = np.random.default_rng(0).normal(0, 1, 30)
    query = np.arange(30)
    draws = intervals.draw_queries(30, BootstrapSettings())
    found = intervals.difference(intervals.mean(query, base + 0.01, 30), intervals.mean(query, base, 30), draws)
    assert found.value == pytest.approx(0.01)
    assert found.low == pytest.approx(0.01) and found.high == pytest.approx(0.01)
    assert found.p_value == pytest.approx(2 / 2001)


def test_a_difference_beyond_all_draws_has_the_p_value_of_students_t():
    """Gaps of .1 and .3 by turns, mean .2: t = .2 ÷ (.1 / √40) = 12.6, where no draw of 2,000 reaches zero."""
    query, gap = np.arange(40), np.tile([0.1, 0.3], 20)
    draws = intervals.draw_queries(40, BootstrapSettings())
    found = intervals.difference(intervals.mean(query, gap, 40), intervals.mean(query, np.zeros(40), 40), draws)
    assert np.log10(found.p_value) == pytest.approx(np.log10(2 * t.sf(12.6, 39)), abs=1)
    assert max(intervals.holm([found.p_value] * 114)) < 1e-9  # 2 / 2001 would be .114


def test_what_the_draws_can_count_is_counted_and_the_tail_never_lies_above_it():
    """A tenth of 40 queries loses what the others gain: p is a share of the draws, a multiple of 2 / 2001."""
    query, draws = np.arange(40), intervals.draw_queries(40, BootstrapSettings())
    nothing, p_values = intervals.mean(query, np.zeros(40), 40), []
    for better in (24, 28, 31, 34, 37, 40):
        gap = np.where(query < better, 1.0, -1.0) + query / 1000
        p_values.append(intervals.difference(intervals.mean(query, gap, 40), nothing, draws).p_value)
    counted = [p for p in p_values if p > 2 / 2001]
    assert len(counted) >= 2
    assert [p * 2001 / 2 for p in counted] == pytest.approx([round(p * 2001 / 2) for p in counted])
    assert p_values == sorted(p_values, reverse=True) and p_values[-1] < 2 / 2001


def test_equal_models_do_not_differ():
    query, values = np.arange(20), np.linspace(0, 1, 20)
    draws = intervals.draw_queries(20, BootstrapSettings())
    found = intervals.difference(intervals.mean(query, values, 20), intervals.mean(query, values, 20), draws)
    assert (found.value, found.low, found.high, found.p_value, found.ratio) == (0.0, 0.0, 0.0, 1.0, 1.0)


def test_draws_are_the_same_for_the_same_seed():
    settings = BootstrapSettings(draws=100, seed=3)
    first = intervals.draw_queries(7, settings)
    assert np.array_equal(first, intervals.draw_queries(7, settings))
    assert (first.sum(axis=1) == 7).all()


def test_what_is_not_defined_says_so():
    statistic = intervals.auroc(np.arange(3), np.ones(3, bool), np.arange(3.0))
    found = intervals.estimate(statistic, intervals.draw_queries(3, BootstrapSettings(draws=100)))
    assert np.isnan(found.value) and found.reason


def test_one_query_has_a_value_and_neither_an_interval_nor_a_verdict():
    draws = intervals.draw_queries(1, BootstrapSettings(draws=100))
    sure, poor = (intervals.mean(np.zeros(9, int), np.full(9, value), 1) for value in (1.0, 0.2))
    found = intervals.estimate(sure, draws)
    assert found.value == 1.0 and np.isnan(found.low) and found.reason
    gap = intervals.difference(sure, poor, draws)
    assert gap.value == pytest.approx(0.8) and np.isnan([gap.low, gap.high, gap.p_value]).all()


def test_draws_that_mostly_leave_a_measure_undefined_give_no_interval():
    """One positive row among 2 queries: half of the draws of two hold both sides, the others define no AUROC."""
    statistic = intervals.auroc(np.array([0, 1]), np.array([True, False]), np.array([1.0, 0.0]))
    found = intervals.estimate(statistic, intervals.draw_queries(2, BootstrapSettings(draws=100)))
    assert found.value == 1.0 and np.isnan(found.low) and found.reason


def test_intervals_and_p_values_equal_scipys_bootstrap():
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.5, 0.3, 40), rng.normal(0.4, 0.3, 40)
    draws = intervals.draw_queries(40, BootstrapSettings(draws=20_000))
    query = np.arange(40)
    ours = intervals.difference(intervals.mean(query, a, 40), intervals.mean(query, b, 40), draws)
    theirs = scipy_bootstrap(
        (a, b), lambda x, y, axis: (x - y).mean(axis), paired=True, n_resamples=20_000, method="percentile", rng=1
    )
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.005)
    beyond = min((theirs.bootstrap_distribution <= 0).mean(), (theirs.bootstrap_distribution >= 0).mean())
    assert ours.p_value == pytest.approx(2 * beyond, abs=0.01)


def test_too_few_draws_are_refused():
    with pytest.raises(BadInput, match="100 draws"):
        BootstrapSettings(draws=5)


def test_with_a_handful_of_queries_there_is_no_interval_and_no_p_value():
    query, right = np.arange(9), np.ones(9)
    better, worse = (intervals.mean(query, right * value, 9) for value in (1.0, 0.5))
    draws = intervals.draw_queries(9, BootstrapSettings())
    found = intervals.difference(better, worse, draws)
    assert found.value == 0.5
    assert np.isnan([found.low, found.high, found.p_value]).all()
    assert intervals.estimate(better, draws).reason == "too few queries for an interval"


@pytest.mark.parametrize("kind", ["mean", "auroc"])
def test_the_floor_is_of_queries_that_have_rows_of_the_measure(kind):
    """Rows in 4 of 500 queries, all alike: an interval of width 0 and p .001 would be a verdict on four. Ten may."""
    draws = intervals.draw_queries(500, BootstrapSettings(draws=200))
    for queries, sure in ((4, False), (9, False), (30, True)):
        query = np.repeat(np.arange(queries) * 15, 2)
        right = np.tile([True, False], queries)
        if kind == "mean":
            one, other = (intervals.mean(query, np.full(len(query), value), 500) for value in (1.0, 0.0))
        else:
            one, other = (intervals.auroc(query, right, sign * right) for sign in (1.0, -1.0))
        assert one.queries == queries
        found, gap = intervals.estimate(one, draws), intervals.difference(one, other, draws)
        assert (found.value, gap.value) == (1, 1)
        assert np.isnan([found.low, gap.low, gap.p_value]).any() != sure
        assert found.reason == (None if sure else "too few queries for an interval")


@pytest.mark.parametrize("rare", [True, False])
def test_the_floor_of_auroc_is_of_queries_with_the_rarer_side(rare):
    """Of 200 queries all have rows of one side and nine have rows of the other; with a tenth there is an interval."""
    draws = intervals.draw_queries(200, BootstrapSettings(draws=200))
    for queries, sure in ((9, False), (10, True)):
        query = np.concatenate([np.arange(200), np.arange(queries)])
        positive = np.repeat([not rare, rare], [200, queries])
        statistic = intervals.auroc(query, positive, np.random.default_rng(0).normal(0, 1, len(query)))
        assert statistic.queries == queries
        assert np.isnan(intervals.estimate(statistic, draws).low) != sure


def test_what_differs_by_rounding_alone_is_no_difference():
    """.1 + .2 is not .3: the draws' gaps of 1e-17 count as none."""
    query = np.arange(20)
    one, other = intervals.mean(query, np.full(20, 0.1 + 0.2), 20), intervals.mean(query, np.full(20, 0.3), 20)
    found = intervals.difference(one, other, intervals.draw_queries(20, BootstrapSettings()))
    assert found.p_value == 1
