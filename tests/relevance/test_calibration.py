"""Calibration: what was done to logits is undone, few rows move little, and it is kept whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from relevance.calibration import Calibration

BIASES = np.array([0.5, -0.8, 0.1, 0.4, -0.2])


def sample(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits [count, 5] and levels drawn from their softmax."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, 5))
    return logits, 1 + np.array([random.choice(5, p=row) for row in softmax(logits, axis=1)])


def distinct(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def test_sharpened_and_shifted_logits_are_mended() -> None:
    logits, levels = sample(20_000)
    found = Calibration.fit((2 * (logits - BIASES)).astype(np.float32), levels, distinct(20_000))
    assert found.temperature == pytest.approx(2, rel=0.05)
    np.testing.assert_allclose(found.biases, BIASES, atol=0.06)
    np.testing.assert_allclose(found.probabilities(2 * (logits - BIASES)), softmax(logits, axis=1), atol=0.03)


def test_a_few_rows_of_one_level_do_not_silence_the_others() -> None:
    found = Calibration.fit(np.zeros((6, 5), np.float32), np.full(6, 4), distinct(6))
    shares = found.probabilities(np.zeros((1, 5), np.float32))[0]
    assert shares[3] < 0.8
    assert shares.min() > 0.03


def test_many_pairs_of_few_queries_move_the_biases_less() -> None:
    logits, levels = sample(300)
    shifted = logits - BIASES
    many = Calibration.fit(shifted, levels, distinct(300))
    few = Calibration.fit(shifted, levels, [str(i % 5) for i in range(300)])
    assert np.abs(few.biases).max() < 0.6 * np.abs(many.biases).max()


def hesitant(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are all right, and give the right level .31."""
    levels = 1 + np.arange(count) % 5
    return np.log(0.31 / (0.69 / 4)) * np.eye(5)[levels - 1], levels


@pytest.mark.parametrize(("pairs", "queries"), [(3, 1), (6, 2), (12, 3), (30, 3)])
def test_a_few_hesitant_answers_that_are_right_do_not_become_sure(pairs: int, queries: int) -> None:
    logits, levels = hesitant(pairs)
    found = Calibration.fit(logits, levels, [str(i % queries) for i in range(pairs)])
    assert 0.4 < found.temperature < 1 and found.probabilities(logits).max() < 0.75


def test_a_few_answers_of_plain_chance_do_not_become_all_alike() -> None:
    for seed in range(8):
        logits = np.random.default_rng(seed).normal(size=(6, 5))
        levels = np.random.default_rng(100 + seed).integers(1, 6, 6)
        assert Calibration.fit(logits, levels, distinct(6)).temperature < 3


@pytest.mark.parametrize(("factor", "queries"), [(1.0, 28), (1.3, 28), (2.0, 1_000), (0.5, 1_000)])
def test_the_temperature_of_many_queries_is_the_likeliest(factor: float, queries: int) -> None:
    """Six pairs a query; without a prior: a hundred times the rows, of as many times the queries."""
    raw, levels = sample(6 * queries)
    logits = factor * raw
    found = Calibration.fit(logits, levels, [str(i % queries) for i in range(6 * queries)])
    plain = Calibration.fit(np.tile(logits, (100, 1)), np.tile(levels, 100), distinct(600 * queries))
    assert found.temperature == pytest.approx(plain.temperature, rel=0.05)


def test_probabilities_and_their_logarithms_agree_and_sum_to_one() -> None:
    logits, levels = sample(200)
    fitted = Calibration.fit(logits, levels, distinct(200))
    np.testing.assert_allclose(fitted.probabilities(logits).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.exp(fitted.log_probabilities(logits)), fitted.probabilities(logits), atol=1e-6)


def test_the_plain_one_is_a_softmax() -> None:
    logits, _ = sample(10)
    np.testing.assert_allclose(Calibration().probabilities(logits), softmax(logits, axis=1), atol=1e-6)


def test_it_is_read_as_it_was_written_and_not_in_part() -> None:
    raw = {"temperature": 1.5, "biases": [0.1, 0.2, -0.3, 0.0, 0.0]}
    assert Calibration.read(raw) == Calibration(1.5, (0.1, 0.2, -0.3, 0.0, 0.0))
    for broken in ({"temperature": 1.5}, {**raw, "biases": [0.1]}, {**raw, "temperature": None}):
        with pytest.raises((KeyError, ValueError, TypeError)):
            Calibration.read(broken)
