"""The baselines: ordinal logistic regression, BM25 and the frozen bi-encoder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from tiny_models import tiny_bert

from enrich.text_encoder import TextEncoder
from relevance.baselines.bm25 import K1, B, Collection, bm25_scores, fit_bm25
from relevance.bi_encoder import TextVectors, fit_bi_encoder
from relevance.ordinal import fit_ordinal
from relevance.teaching.rows import TeacherRows
from relevance.text import PinText

CATALOGUE = ("oak table", "red lamp", "round oak dining table", "blue rug")
ROWS = TeacherRows(
    queries=["oak table", "oak table", "oak table", "lamp", "lamp", "lamp"],
    pin_texts=["oak table", PinText(title="round oak dining table"), "blue rug", "red lamp", "blue rug", "oak table"],
    levels=np.array([5, 4, 1, 5, 2, 1]),
)


def test_ordinal_logistic_recovers_the_model_that_made_the_levels() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(3, 2, 20_000)
    thresholds = np.array([-1.0, 0.0, 1.5, 2.0])
    below = expit(thresholds[None] - 0.5 * scores[:, None])
    levels = 1 + (random.random(20_000)[:, None] > below).sum(1)
    fitted = fit_ordinal(scores, levels)
    assert fitted.weights[0] / fitted.scale[0] == pytest.approx(0.5, abs=0.02)
    expected = np.diff(np.column_stack([np.zeros(20_000), below, np.ones(20_000)]))
    np.testing.assert_allclose(fitted.predict(scores), expected, atol=0.02)


def test_with_two_levels_it_is_logistic_regression() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2000, 2))
    levels = np.where(random.random(2000) < expit(inputs @ [1.0, -2.0] + 0.3), 5, 1)
    ours = fit_ordinal(inputs, levels).predict(inputs)
    theirs = LogisticRegression(C=1e6).fit(inputs, levels).predict_proba(inputs)
    np.testing.assert_allclose(ours[:, [0, 4]], theirs, atol=0.02)
    assert ours[:, 1:4].sum(1).max() < 0.02  # levels never seen


def test_more_score_never_means_a_lower_expected_level() -> None:
    fitted = fit_ordinal([0.1, 0.2, 0.7, 0.8, 0.9], np.array([1, 1, 3, 5, 5]))
    probabilities = fitted.predict(np.linspace(-2, 2, 50))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert (np.diff(probabilities @ np.arange(1, 6)) >= -1e-6).all()


def test_bm25_by_hand() -> None:
    collection = Collection.of(CATALOGUE)  # four texts of 2, 2, 4 and 2 terms
    rarity = math.log(1 + (4 - 2 + 0.5) / 2.5)  # "oak" stands in two
    damping = K1 * (1 - B + B * 2 / 2.5)
    assert bm25_scores(collection, ["oak"], ["oak table"])[0] == pytest.approx(rarity / (1 + damping))
    assert bm25_scores(collection, ["sofa"], ["oak table"])[0] == 0
    assert bm25_scores(collection, ["oak"], [PinText()])[0] == 0


def test_the_bm25_baseline_gives_levels() -> None:
    baseline = fit_bm25(ROWS, CATALOGUE)
    probabilities = baseline.predict(ROWS.queries, ROWS.pin_texts)
    assert probabilities.shape == (6, 5) and probabilities.dtype == np.float32
    assert probabilities[0, 4] > probabilities[2, 4]


def test_the_bi_encoder_scores_cosines_and_gives_levels(tmp_path: Path) -> None:
    encoder = TextEncoder(str(tiny_bert(tmp_path / "encoder")))
    baseline = fit_bi_encoder(ROWS, TextVectors(encoder))
    expected = float(encoder.encode(["oak table"])[0] @ encoder.encode(["round oak dining table"])[0])
    assert baseline.score(["  Oak TABLE"], ["round oak dining table"])[0] == pytest.approx(expected, abs=1e-5)
    assert baseline.score(["oak"], [PinText()])[0] == 0
    assert baseline.predict([], []).shape == (0, 5)
    probabilities = baseline.predict(ROWS.queries, ROWS.pin_texts)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


def test_texts_are_embedded_once_and_an_empty_one_is_zeros(tmp_path: Path) -> None:
    class Counting(TextEncoder):
        asked = 0

        def encode(self, texts: list[str]) -> np.ndarray:
            self.asked += len(texts)
            return super().encode(texts)

    encoder = Counting(str(tiny_bert(tmp_path)))
    vectors = TextVectors(encoder)
    found = vectors(["oak", "", "oak", "rug"])
    vectors(["rug", "oak"])
    assert encoder.asked == 2
    assert not found[1].any() and np.array_equal(found[0], found[2])
