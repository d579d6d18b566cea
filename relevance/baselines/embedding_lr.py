"""The embedding baseline that is taught more: logistic regression on the frozen vectors of query and pin.

Reads training and dev pairs; writes nothing, for `relevance evaluate` fits it anew on each fold, in seconds. Its inputs
are u, v, |u - v|, u·v element-wise (Conneau et al. 2017, arXiv 1705.02364) and their cosine, u of the query and v of
the pin's texts: what a model can learn from the catalogue's embeddings without reading a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from enrich.tables import LEVELS
from relevance.bi_encoder import TextVectors, pair_vectors
from relevance.metrics import expected_level
from relevance.teaching.rows import TeacherRows
from relevance.text import PairText, PinText, pair_texts

Floats = npt.NDArray[np.float32]

STRENGTHS = (0.1, 1.0, 10.0)  # scikit-learn's C, the inverse of the L2 penalty, of unit vectors; the dev pairs choose
_MOST_STEPS = 1_000  # of L-BFGS
_MOST_ROWS = 50_000  # of a side, drawn evenly: 1,537 inputs learn little more from more, and a million rows need 12 GB
_LEAST = 1e-6  # probability whose logarithm is taken: a dev level that training lacks costs much, not everything


@dataclass(frozen=True, slots=True)
class EmbeddingLR:
    """The fitted baseline."""

    vectors: TextVectors
    model: LogisticRegression

    def score(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float64]:
        """Expected levels float64 [n], 1..5; a str is a pin that has only a title."""
        return expected_level(self.predict(queries, pin_texts))

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> Floats:
        """Probabilities float32 [n, 5], columns levels 1..5; 0 for a level that no training pair had."""
        return _probabilities(self.model, _inputs(self.vectors, pair_texts(queries, pin_texts)))


def fit_embedding_lr(rows: TeacherRows, dev: TeacherRows, vectors: TextVectors) -> EmbeddingLR:
    """Fitted on `rows` with each of `STRENGTHS`; the one that explains `dev` best is fitted again on both.

    Raises BadInput when a side is empty or malformed, or the training pairs are all of one level.
    """
    rows.check_to_teach()
    dev.check("dev")
    rows, dev = _thinned(rows), _thinned(dev)
    inputs, held_out = (_inputs(vectors, pair_texts(side.queries, side.pin_texts)) for side in (rows, dev))

    def dev_loss(strength: float) -> float:
        probabilities = _probabilities(_fitted(inputs, rows.levels, strength), held_out)
        likely = probabilities[np.arange(len(dev.levels)), dev.levels - 1]
        return float(-np.log(likely.clip(_LEAST)).mean())

    best = min(STRENGTHS, key=dev_loss)
    both = np.concatenate([inputs, held_out])
    return EmbeddingLR(vectors, _fitted(both, np.concatenate([rows.levels, dev.levels]), best))


def _thinned(rows: TeacherRows) -> TeacherRows:
    """The rows, or `_MOST_ROWS` of them spread evenly."""
    if len(rows.levels) <= _MOST_ROWS:
        return rows
    places = np.linspace(0, len(rows.levels) - 1, _MOST_ROWS).astype(np.int64)
    return TeacherRows([rows.queries[i] for i in places], [rows.pin_texts[i] for i in places], rows.levels[places])


def _fitted(inputs: Floats, levels: npt.NDArray[np.int64], strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=_MOST_STEPS).fit(inputs, levels)


def _inputs(vectors: TextVectors, pairs: Sequence[PairText]) -> Floats:
    u, v = pair_vectors(vectors, pairs)
    return np.hstack([u, v, np.abs(u - v), u * v, (u * v).sum(axis=1, keepdims=True)])


def _probabilities(model: Any, inputs: Floats) -> Floats:
    found = np.zeros((len(inputs), len(LEVELS)), dtype=np.float32)
    if len(inputs):
        found[:, model.classes_ - 1] = model.predict_proba(inputs)
    return found
