"""Every measure by hand, against a second implementation, and on input that it must refuse."""

from __future__ import annotations

import math
from collections.abc import Callable

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from enrich.errors import BadInput
from relevance import metrics, rankings

ONE_HOT = np.eye(5)


def test_accuracy_and_within_one_by_hand():
    probabilities = [[0.6, 0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.6, 0.1, 0.1], [0.0, 0.0, 0.0, 0.3, 0.7]]
    assert metrics.accuracy([1, 2, 3], probabilities) == pytest.approx(1 / 3)  # 1 right, 3 for 2, 5 for 3
    assert metrics.within_one([1, 2, 3], probabilities) == pytest.approx(2 / 3)


def test_a_tie_goes_to_the_lower_level():
    assert metrics.accuracy([2], [[0.0, 0.5, 0.5, 0.0, 0.0]]) == 1.0


def test_expected_level_by_hand():
    assert metrics.expected_level([[0.5, 0, 0, 0, 0.5], [0, 0, 0, 1, 0]]).tolist() == [3.0, 4.0]


def test_auroc_by_hand():
    # P(level >= 4): .9, .2 for the two positives; .5, .1 for the two negatives: 3 of the 4 pairs are in order.
    probabilities = [[0, 0, 0.1, 0.4, 0.5], [0, 0, 0.8, 0.1, 0.1], [0, 0.5, 0, 0.5, 0], [0.9, 0, 0, 0, 0.1]]
    assert metrics.auroc_at_least([5, 4, 3, 1], probabilities, 4) == pytest.approx(0.75)


def test_kappa_by_hand():
    # Observed Σ(a-b)² = 16; by chance 4 · Σ p(a) q(b) (a-b)² = 4 · (.5·.75 + .5·.25) · 16 = 32.
    assert metrics.quadratic_kappa([1, 1, 5, 5], [1, 5, 5, 5]) == pytest.approx(1 - 16 / 32)
    assert metrics.quadratic_kappa([1, 3, 5], [1, 3, 5]) == 1.0


def test_calibration_error_by_hand():
    # Two rows at confidence .8, one right: |1 - 1.6| / 2 = .3. A sure and right row adds nothing.
    row = [0.8, 0.2, 0, 0, 0]
    assert metrics.calibration_error([1, 2], [row, row]) == pytest.approx(0.3)
    assert metrics.calibration_error([1, 2, 5], [row, row, ONE_HOT[4]]) == pytest.approx(0.2)


def test_a_confidence_is_in_one_bin_however_it_was_rounded():
    """0.1 + 0.2 is a hair above 0.3: the bin is (0.2, 0.3] all the same, with the 0.3 that was meant."""
    assert metrics.confidence_bin(np.array([0.3, 0.1 + 0.2, 0.31, 0.0, 1.0]), 10).tolist() == [2, 2, 3, 0, 9]


def test_ndcg_by_hand():
    qrels = {"q": {"a": 5, "b": 3, "c": 1}}
    run = {"q": {"b": 2.0, "a": 1.0, "c": 0.0}}
    ideal = 15 + 3 / math.log2(3)
    assert metrics.ndcg(qrels, run, 20) == pytest.approx((3 + 15 / math.log2(3)) / ideal)
    assert metrics.ndcg(qrels, run, 1) == pytest.approx(3 / 15)


def test_a_query_that_the_run_does_not_answer_scores_zero():
    qrels = {"q": {"a": 5}, "unanswered": {"b": 5}, "nothing to gain": {"c": 1}}
    run = {"q": {"a": 1.0}, "nothing to gain": {"c": 1.0}, "not judged": {"z": 9.0}}
    assert metrics.ndcg_by_query(qrels, run) == {"q": 1.0, "unanswered": 0.0, "nothing to gain": 0.0}
    assert metrics.ndcg(qrels, run) == pytest.approx(1 / 3)


def test_gains_may_be_fractions_as_in_esci():
    qrels = {"q": {"a": 5, "b": 4, "c": 1}}
    run = {"q": {"b": 2.0, "a": 1.0, "unjudged": 3.0}}
    gains = {5: 1.0, 4: 0.1, 3: 0.01, 1: 0.0}
    expected = (0.1 / math.log2(3) + 1 / math.log2(4)) / (1 + 0.1 / math.log2(3))
    assert metrics.ndcg(qrels, run, 20, gains) == pytest.approx(expected)


def test_gains_may_be_large():
    """trec_eval would count in a table of so many places."""
    run = {"q": {"b": 2.0, "a": 1.0}}
    assert metrics.ndcg({"q": {"a": 5, "b": 1}}, run, gains={1: 0, 5: 10**15}) == pytest.approx(1 / math.log2(3))


def test_what_a_run_leaves_out_is_behind_scores_of_any_size():
    """Of a, c, b by level the run says a, b and nothing of c; at 10^17 one less is the same number."""
    found = rankings.kendall_by_query({"q": {"a": 5, "b": 1, "c": 3}}, {"q": {"a": 2e17, "b": 1e17}})
    assert found == {"q": pytest.approx(1 / 3)}


def test_scores_that_float32_cannot_tell_apart_and_tiny_gains_still_rank():
    run = {"q": {"a": 1.00000001, "b": 1.0}}  # as trec_eval reads them a tie, which goes to b
    assert metrics.ndcg({"q": {"a": 5, "b": 1}}, run) == 1.0
    small = {5: 2e-4, 4: 1e-4, 1: 0.0}
    swapped = metrics.ndcg({"q": {"a": 4, "b": 5}}, run, 20, small)
    assert swapped == pytest.approx((1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3)))


def test_ties_go_to_the_greater_pin_id():
    assert metrics.ndcg({"q": {"a": 5, "b": 1}}, {"q": {"a": 1.0, "b": 1.0}}, 1) == 0.0
    assert metrics.ndcg({"q": {"a": 1, "b": 5}}, {"q": {"a": 1.0, "b": 1.0}}, 1) == 1.0


def test_sdcg_by_hand():
    """Against two pins of level 5 at 2 places; a query without an answer is 0."""
    qrels, run = {"q": {"a": 5, "b": 3}, "unanswered": {"c": 5}}, {"q": {"b": 2.0, "a": 1.0}}
    expected = (3 + 15 / math.log2(3)) / (15 + 15 / math.log2(3))
    assert metrics.sdcg(qrels, run, 2) == pytest.approx(expected / 2)
    with pytest.raises(BadInput, match="gain above 0"):
        metrics.sdcg(qrels, run, 2, dict.fromkeys(range(1, 6), 0.0))


def test_precision_and_judged_by_hand():
    """Of eight places two are relevant; an unjudged pin has a place; of the first two pins one is judged."""
    qrels = {"q": {"a": 5, "b": 4, "c": 3}, "unanswered": {"c": 5}}
    run = {"q": {"u": 9.0, "a": 8.0, "b": 7.0, "c": 6.0}}
    assert metrics.precision(qrels, run) == pytest.approx((2 / 8 + 0) / 2)
    assert rankings.precision_by_query(qrels, run, 2, level=5) == {"q": 0.5, "unanswered": 0.0}
    assert rankings.judged_by_query(qrels, run, 2) == {"q": 0.5, "unanswered": 0.0}
    assert rankings.judged_by_query(qrels, {}, 2) == {"q": 0.0, "unanswered": 0.0}


def test_kendall_tau_by_hand():
    """Of three pairs of levels two are in order: (2 - 1) / 3. τ-b with a tie: 2 pairs in order of 3 and 2 untied."""
    assert metrics.kendall_tau([1, 2, 3], [1.0, 3.0, 2.0]) == pytest.approx(1 / 3)
    assert metrics.kendall_tau([1, 3, 5], [1, 4, 4]) == pytest.approx(2 / math.sqrt(3 * 2))
    qrels = {"q": {"a": 5, "b": 3, "c": 1}, "one level": {"x": 2, "y": 2}, "unanswered": {"a": 5, "b": 1}}
    run = {"q": {"a": 1.0, "c": 0.0}, "one level": {"x": 1.0}}  # b, left out, comes last
    found = rankings.kendall_by_query(qrels, run)
    assert found["q"] == pytest.approx(1 / 3)
    assert math.isnan(found["one level"]) and found["unanswered"] == 0
    assert metrics.kendall_tau_by_query(qrels, run) == pytest.approx(1 / 6)


PINS = st.sampled_from([f"p{i}" for i in range(12)])
QUERIES = st.sampled_from(["q1", "q2", "q3"])


@given(
    st.dictionaries(QUERIES, st.dictionaries(PINS, st.integers(1, 5), min_size=1), min_size=1),
    st.dictionaries(QUERIES, st.dictionaries(PINS, st.integers(0, 6).map(float))),
    st.integers(1, 15),
)
@settings(max_examples=100, deadline=None)
def test_ndcg_equals_ir_measures_with_ties_gaps_and_unjudged_pins(qrels, run, cutoff):
    gained = {query: {pin: int(metrics.GAINS[level]) for pin, level in pins.items()} for query, pins in qrels.items()}
    theirs = ir_measures.iter_calc([ir_measures.nDCG @ cutoff], gained, run)
    assert metrics.ndcg_by_query(qrels, run, cutoff) == pytest.approx({row.query_id: row.value for row in theirs})


@given(
    st.dictionaries(QUERIES, st.dictionaries(PINS, st.integers(1, 5), min_size=1), min_size=1),
    st.dictionaries(QUERIES, st.dictionaries(PINS, st.integers(0, 6).map(float))),
    st.integers(1, 15),
)
@settings(max_examples=40, deadline=None)
def test_whole_gains_and_fractions_agree_and_sdcg_is_cwl_evals(qrels, run, cutoff):
    """nDCG of half the gains, which our own code computes, is that of the gains, which ir_measures does."""
    halves = {level: gain / 2 for level, gain in metrics.GAINS.items()}
    ours, theirs = (metrics.ndcg_by_query(qrels, run, cutoff, gains) for gains in (halves, metrics.GAINS))
    assert ours == pytest.approx(theirs)
    orders = {query: rankings.ranking(scores) for query, scores in run.items()}
    places = {query: {pin: -float(place) for place, pin in enumerate(pins)} for query, pins in orders.items()}
    assert rankings.sdcg_by_query(qrels, run, cutoff) == pytest.approx(_cwl_sdcg(qrels, places, cutoff), abs=1e-6)


def _cwl_sdcg(qrels, run, cutoff):
    pytest.importorskip("cwl.cwl_eval", reason="cwl-eval, which has sDCG, is of the dev extra")
    gained = {query: {pin: int(metrics.GAINS[level]) for pin, level in pins.items()} for query, pins in qrels.items()}
    scored = {query: pins for query, pins in run.items() if pins and query in qrels}
    found = dict.fromkeys(qrels, 0.0)
    if scored:
        measure = ir_measures.SDCG(max_rel=15) @ cutoff
        found |= {one.query_id: float(one.value) for one in ir_measures.iter_calc([measure], gained, scored)}
    return found


@given(arrays(np.int64, st.integers(2, 30), elements=st.integers(1, 5)), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_kendall_tau_equals_counting_pairs(levels, seed):
    guess = np.random.default_rng(seed).integers(1, 6, len(levels))
    if np.unique(levels).size == 1 or np.unique(guess).size == 1:
        with pytest.raises(metrics.Undefined, match="judge more"):
            metrics.kendall_tau(levels, guess)
        return
    gold, said = (np.sign(np.subtract.outer(one, one)) for one in (levels, guess))
    expected = (gold * said).sum() / math.sqrt((gold**2).sum() * (said**2).sum())
    assert metrics.kendall_tau(levels, guess) == pytest.approx(expected)


def _second_auroc(positive: np.ndarray, score: np.ndarray) -> float:
    above = score[positive][:, None] - score[~positive][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def _second_kappa(gold: np.ndarray, guess: np.ndarray) -> float:
    chance = ((gold[:, None] - guess[None, :]) ** 2).mean()
    return float(1 - ((gold - guess) ** 2).mean() / chance)


@given(arrays(np.int64, st.integers(2, 40), elements=st.integers(1, 5)), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_auroc_and_kappa_equal_their_definitions(levels, seed):
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(5), len(levels)).round(2)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    for level in (3, 4, 5):
        positive = levels >= level
        if positive.any() and not positive.all():
            expected = _second_auroc(positive, probabilities[:, level - 1 :].sum(axis=1))
            assert metrics.auroc_at_least(levels, probabilities, level) == pytest.approx(expected)
    guess = probabilities.argmax(axis=1) + 1
    if np.unique(np.concatenate([levels, guess])).size > 1:
        assert metrics.quadratic_kappa(levels, guess) == pytest.approx(_second_kappa(levels, guess))


@pytest.mark.parametrize(
    ("levels", "probabilities", "words"),
    [
        ([1, 6], ONE_HOT[:2], "1..5"),
        ([1.5, 2], ONE_HOT[:2], "1..5"),
        ([1, None], ONE_HOT[:2], "1..5"),
        ([], np.zeros((0, 5)), "at least one"),
        ([1], [[math.nan, 0, 0, 0, 1]], "finite"),
        ([1], [[0.5, 0, 0, 0, 0]], "sum to 1"),
        ([1], [[-0.5, 0, 0, 0.5, 1]], "not negative"),
        ([1], [[1.0, 0.0]], "shape"),
        ([1], [[1.0], [0.0, 1.0]], "ragged"),
        ([1, 2], ONE_HOT[:1], "1 for 2"),
    ],
)
def test_malformed_input_gives_one_line(levels, probabilities, words):
    with pytest.raises(BadInput, match=words) as caught:
        metrics.accuracy(levels, probabilities)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "odd", [[1, None], [1, "two"], ["1", "2"], [True, False], [[1], [1, 2]], [1, math.nan], None, "no"]
)
def test_levels_that_are_none_give_one_line_of_every_measure(odd):
    for measure in (metrics.accuracy, metrics.within_one, metrics.calibration_error):
        _one_line(lambda measure=measure: measure(odd, ONE_HOT[:2]))
    for measure in (metrics.quadratic_kappa, metrics.kendall_tau):
        _one_line(lambda measure=measure: measure(odd, [1, 2]))
        _one_line(lambda measure=measure: measure([1, 2], odd))


def test_whole_levels_may_be_floats_or_objects():
    for levels in ([1.0, 2.0], np.array([1, 2], object), np.array([1, 2], np.int8)):
        assert metrics.accuracy(levels, ONE_HOT[:2]) == 1


def test_counts_and_levels_that_are_no_whole_numbers_give_one_line():
    for bins in (2.5, 0, "15", None):
        _one_line(lambda bins=bins: metrics.calibration_error([1, 2], ONE_HOT[:2], bins))
    for level in (3.0, 4.5, 1, "3", None):
        _one_line(lambda level=level: metrics.auroc_at_least([1, 5], ONE_HOT[:2], level))
    for level in (4.5, 7, 0, "4", None):
        _one_line(lambda level=level: metrics.precision({"q": {"a": 5}}, {"q": {"a": 1.0}}, 8, level))
    for cutoff in (2.5, "8", None, True):
        for measure in (metrics.ndcg, metrics.sdcg, metrics.precision):
            _one_line(lambda measure=measure, cutoff=cutoff: measure({"q": {"a": 5}}, {"q": {"a": 1.0}}, cutoff))


@pytest.mark.parametrize(
    ("qrels", "run"),
    [
        ([("q", "a", 5)], {}),
        ({"q": ["a"]}, {}),
        (None, {}),
        ({"q": {"a": 4.0}}, {"q": {"a": 1.0}}),
        ({"q": {"a": "5"}}, {"q": {"a": 1.0}}),
        ({"q": {"a": None}}, {"q": {"a": 1.0}}),
        ({"q": {"a": 5, 7: 4}}, {"q": {"a": 1.0}}),
        ({1: {"a": 5}}, {"q": {"a": 1.0}}),
        ({"q": {"a": 5}}, {"q": {"a": None}}),
        ({"q": {"a": 5}}, {"q": {"a": "1.0"}}),
        ({"q": {"a": 5}}, {"q": {"a": 1.0, None: 2.0}}),
        ({"q": {"a": 5}}, {"q": ["a"]}),
        ({"q": {"a": 5}}, [("q", "a", 1.0)]),
        ({"q": {"a": 5}}, None),
    ],
)
def test_qrels_and_runs_of_another_shape_give_one_line_of_every_measure(qrels, run):
    for measure in (metrics.ndcg, metrics.sdcg, metrics.precision, metrics.kendall_tau_by_query):
        _one_line(lambda measure=measure: measure(qrels, run))
    _one_line(lambda: rankings.judged_by_query(qrels, run))


def test_gains_of_another_shape_give_one_line():
    for gains in (None, [1, 2], dict.fromkeys(range(1, 6)), dict.fromkeys(range(1, 6), "1")):
        for measure in (metrics.ndcg, metrics.sdcg):
            _one_line(lambda measure=measure, gains=gains: measure({"q": {"a": 5}}, {}, 20, gains))


def _one_line(measure: Callable[[], object]) -> None:
    with pytest.raises(BadInput) as caught:
        measure()
    assert str(caught.value) and "\n" not in str(caught.value)


def test_what_one_class_cannot_define_is_said():
    with pytest.raises(metrics.Undefined, match="both sides"):
        metrics.auroc_at_least([5, 5], ONE_HOT[:2], 3)
    with pytest.raises(metrics.Undefined, match="two levels"):
        metrics.quadratic_kappa([5, 5], [5, 5])
    with pytest.raises(BadInput, match="a level of 2"):
        metrics.auroc_at_least([5, 1], ONE_HOT[:2], 1)


@pytest.mark.parametrize(
    ("qrels", "run", "cutoff", "words"),
    [
        ({}, {}, 20, "at least one judged query"),
        ({"q": {"a": 5}}, {"q": {"a": math.nan}}, 20, "finite scores"),
        ({"q": {"a": 7}}, {"q": {"a": 1.0}}, 20, "gain table"),
        ({"q": {"a": 5}}, {"q": {"a": 1.0}}, 0, "cutoff"),
    ],
)
def test_malformed_rankings_give_one_line(qrels, run, cutoff, words):
    for measure in (metrics.ndcg, metrics.sdcg):
        with pytest.raises(BadInput, match=words) as caught:
            measure(qrels, run, cutoff)
        assert "\n" not in str(caught.value)
    if words != "gain table":
        for measure in (rankings.precision_by_query, rankings.judged_by_query):
            with pytest.raises(BadInput, match=words):
                measure(qrels, run, cutoff)
