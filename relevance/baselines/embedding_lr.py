"""The embedding baseline that is taught more: logistic regression on the frozen vectors of query and pin.

Reads training and dev pairs; writes nothing, for `relevance evaluate` fits it anew on each fold, in seconds, of very
many pairs in a minute or so: its penalty is then chosen on some, and it is fitted once on no more than `MostRows` says.
Its inputs are u, v, |u - v|, u·v element-wise (Conneau et al. 2017, arXiv 1705.02364) and their cosine, u of the query
and v of the pin's texts: what a model can learn from the catalogue's embeddings without reading a word.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from enrich.job import input_hash
from enrich.tables import LEVELS
from relevance.bi_encoder import TextVectors, pair_vectors
from relevance.metrics import expected_level
from relevance.teaching.rows import TeacherRows
from relevance.text import PairText, PinText, pair_texts

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

STRENGTHS = (0.1, 1.0, 10.0)  # scikit-learn's C, the inverse of the L2 penalty, of unit vectors; the dev pairs choose
_MOST_STEPS = 1_000  # of L-BFGS
_LEAST = 1e-6  # probability whose logarithm is taken: a dev level that training lacks costs much, not everything


class MostRows(NamedTuple):
    """Pairs of a side that are learned from; 1,537 inputs learn little more from more, which would cost minutes."""

    to_choose: int = 5_000  # of whole queries in an order of hashes, while strengths are compared
    to_fit: int = 20_000  # drawn evenly


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


def fit_embedding_lr(
    rows: TeacherRows, dev: TeacherRows, vectors: TextVectors, most: MostRows | None = None, on_both: bool = True
) -> EmbeddingLR:
    """Fitted on `rows` with each of `STRENGTHS`; the one that explains `dev` best is fitted again on both.

    On `rows` alone where it is set against models that learn from these; of more than `most` rows on some. Raises
    BadInput when a side is empty or malformed, or the training pairs are all of one level.
    """
    rows.check_to_teach()
    dev.check("dev")
    bounds = most or MostRows()
    rows, dev = _thinned(rows, bounds.to_fit), _thinned(dev, bounds.to_fit)
    inputs, held_out = (_inputs(vectors, pair_texts(side.queries, side.pin_texts)) for side in (rows, dev))
    some = _of_whole_queries(rows, bounds.to_choose)
    few, few_levels = inputs[some], rows.levels[some]

    def dev_loss(strength: float) -> float:
        probabilities = _probabilities(_fitted(few, few_levels, strength), held_out)
        likely = probabilities[np.arange(len(dev.levels)), dev.levels - 1]
        return float(-np.log(likely.clip(_LEAST)).mean())

    best = min(STRENGTHS, key=dev_loss)
    if not on_both:
        return EmbeddingLR(vectors, _fitted(inputs, rows.levels, best))
    both = np.concatenate([inputs, held_out])
    return EmbeddingLR(vectors, _fitted(both, np.concatenate([rows.levels, dev.levels]), best))


def _of_whole_queries(rows: TeacherRows, most: int) -> Places:
    """Places of the rows of queries in an order of hashes, as many as `most` or just more.

    Of all rows where there are no more, or where these had not two levels to tell apart.
    """
    everything = np.arange(len(rows.levels))
    if len(everything) <= most:
        return everything
    sizes, chosen, taken = Counter(rows.queries), set[str](), 0
    for query in sorted(sizes, key=input_hash):
        if taken >= most:
            break
        chosen.add(query)
        taken += sizes[query]
    some = everything[[query in chosen for query in rows.queries]]
    return some if len(np.unique(rows.levels[some])) > 1 else everything


def _thinned(rows: TeacherRows, most: int) -> TeacherRows:
    """The rows, or so many of them, spread evenly."""
    if len(rows.levels) <= most:
        return rows
    places = np.linspace(0, len(rows.levels) - 1, most).astype(np.int64)
    return TeacherRows([rows.queries[i] for i in places], [rows.pin_texts[i] for i in places], rows.levels[places])


def _fitted(inputs: Floats, levels: npt.NDArray[np.int64], strength: float) -> LogisticRegression:
    """As far as it comes in so many steps: that it has not quite arrived concerns nobody at the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=_MOST_STEPS).fit(inputs, levels)


def _inputs(vectors: TextVectors, pairs: Sequence[PairText]) -> Floats:
    u, v = pair_vectors(vectors, pairs)
    return np.hstack([u, v, np.abs(u - v), u * v, (u * v).sum(axis=1, keepdims=True)])


def _probabilities(model: Any, inputs: Floats) -> Floats:
    found = np.zeros((len(inputs), len(LEVELS)), dtype=np.float32)
    if len(inputs):
        found[:, model.classes_ - 1] = model.predict_proba(inputs)
    return found
