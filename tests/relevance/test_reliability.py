"""Calibration errors by hand, the same as the measure's, and an "after" that no row flatters."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.special import softmax

from relevance import metrics
from relevance.calibration import Calibration
from relevance.reliability import (
    CalibrationReport,
    Claim,
    Curve,
    Reliability,
    ReliabilityBin,
    card_table,
    cross_fitted,
)

LEVELS = np.array([5, 5, 1, 1])
PROBABILITIES = np.array(
    [
        [0.0, 0.0, 0.0, 0.2, 0.8],  # right, said with .8
        [0.0, 0.0, 0.0, 0.2, 0.8],  # right
        [0.0, 0.0, 0.0, 0.2, 0.8],  # wrong
        [0.4, 0.3, 0.3, 0.0, 0.0],  # right, said with .4
    ]
)


def test_by_hand() -> None:
    """Of level 5: three rows say .8 and two of them are true, one says 0 and is not. Of 1: three say 0, one is true."""
    found = Reliability.of(LEVELS, PROBABILITIES, bins=5)
    assert found.most_probable.error == pytest.approx((3 * abs(2 / 3 - 0.8) + abs(1 - 0.4)) / 4)
    assert found.exactly[4].error == pytest.approx(3 / 4 * (0.8 - 2 / 3))
    assert found.exactly[0].error == pytest.approx((3 * (1 / 3 - 0) + (1 - 0.4)) / 4)
    assert found.at_least[0].error == pytest.approx((3 * (1 - 2 / 3) + 0.6) / 4)  # three say 1, one says .6
    high = found.exactly[4].bins[1]
    assert (high.rows, high.confidence, high.accuracy) == (3, pytest.approx(0.8), pytest.approx(2 / 3))
    assert len(found.exactly) == 5 and len(found.at_least) == 4 and len(found.curves) == 10
    assert found.at_least[0].error == pytest.approx(found.exactly[0].error)  # 2 or more is: not 1
    assert found.at_least[3].error == pytest.approx(found.exactly[4].error)


def test_what_is_always_true_when_it_is_sure_has_no_error() -> None:
    sure = Curve.of(Claim(np.array([1.0, 1.0, 0.0]), np.array([True, True, False])), bins=10)
    assert sure == Curve(0.0, (ReliabilityBin(0.0, 0.1, 1, 0.0, 0.0), ReliabilityBin(0.9, 1.0, 2, 1.0, 1.0)))


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_of_the_most_probable_level_it_is_the_measure(bins: int) -> None:
    random = np.random.default_rng(0)
    levels, probabilities = random.integers(1, 6, 300), random.dirichlet(np.ones(5), 300)
    found = Reliability.of(levels, probabilities, bins).most_probable
    assert found.error == pytest.approx(metrics.calibration_error(levels, probabilities, bins))
    assert sum(one.rows for one in found.bins) == 300


def overconfident(count: int, queries: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Logits three times as large as those that the levels were drawn by."""
    random = np.random.default_rng(1)
    logits = random.normal(size=(count, 5))
    levels = 1 + np.array([random.choice(5, p=row) for row in softmax(logits, axis=1)])
    return 3 * logits, levels, [f"q{i % queries}" for i in range(count)]


def test_overconfidence_is_mended_and_said() -> None:
    report = cross_fitted(*overconfident(4000, 100))
    assert report is not None and (report.rows, report.queries, report.parts) == (4000, 100, 5)
    assert report.before.most_probable.error > 0.2 > 0.04 > report.after.most_probable.error
    for before, after in zip(report.before.curves, report.after.curves, strict=True):
        assert after.error < before.error
    table = card_table(report)
    assert "4,000 dev pairs of 100 queries" in table and f"| {report.after.exactly[2].error:.3f} |" in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_no_query_is_measured_under_a_calibration_that_saw_it() -> None:
    """Two queries of opposite leaning: each is measured under what the other taught, which does it harm."""
    logits = np.zeros((40, 5))
    levels = np.repeat([1, 5], 20)
    queries = [*["a"] * 20, *["b"] * 20]
    report = cross_fitted(logits, levels, queries)
    assert report is not None and report.parts == 2
    fitted_on_b = Calibration.fit(logits[20:], levels[20:], queries[20:]).probabilities(logits[:1])[0]
    said_of_a = [one.confidence for one in report.after.exactly[4].bins]
    assert max(said_of_a) == pytest.approx(fitted_on_b[4], abs=1e-6)
    assert report.after.exactly[4].error > report.before.exactly[4].error


def test_one_query_cannot_be_cross_fitted_and_the_card_says_so() -> None:
    assert cross_fitted(np.zeros((3, 5)), np.array([1, 2, 3]), ["q"] * 3) is None
    assert "two queries or more" in card_table(None)


def test_it_is_read_as_it_was_written() -> None:
    report = cross_fitted(*overconfident(200, 10))
    assert report is not None
    assert CalibrationReport.read(json.loads(json.dumps(asdict(report)))) == report
    assert CalibrationReport.read(None) is None
