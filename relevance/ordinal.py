"""Ordinal logistic regression: from a score or two to the probabilities of the five levels.

The proportional odds model (McCullagh 1980): P(level ≤ k) = σ(threshold_k - w·x), thresholds ascending. It is how a
ranking score that knows nothing of levels (BM25, a cosine) is made comparable with a model that predicts them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from enrich.errors import BadInput
from enrich.tables import LEVELS

Floats = npt.NDArray[np.float64]

_RIDGE = 1e-3  # on the weights of standardised inputs; keeps separable rows finite
_SMALLEST_STEP = 1e-6  # between two thresholds: a level that was never seen keeps next to no probability


@dataclass(frozen=True, slots=True)
class OrdinalLogistic:
    """A fitted model; the inputs are standardised by `mean` and `scale` first."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    thresholds: tuple[float, ...]  # four, ascending

    def predict(self, inputs: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Probabilities float32 [n, 5] of inputs [n] or [n, d]."""
        slopes = ((_columns(inputs) - self.mean) / self.scale) @ np.asarray(self.weights)
        return _probabilities(slopes, np.asarray(self.thresholds)).astype(np.float32)


def fit_ordinal(inputs: npt.ArrayLike, levels: npt.NDArray[np.int64]) -> OrdinalLogistic:
    """The maximum-likelihood model of inputs [n] or [n, d] and levels 1..5. Raises BadInput when there are no rows."""
    columns = _columns(inputs)
    if len(levels) == 0:
        raise BadInput("expected judged pairs to fit the levels on, found none; judge more queries")
    mean, scale = columns.mean(0), np.maximum(columns.std(0), 1e-9)
    standard = (columns - mean) / scale
    rows = np.arange(len(levels))

    def loss(parameters: Floats) -> float:
        weights, thresholds = parameters[: -len(LEVELS) + 1], _thresholds(parameters[-len(LEVELS) + 1 :])
        likelihood = _probabilities(standard @ weights, thresholds)[rows, levels - 1]
        return float(-np.log(likelihood + 1e-12).mean() + _RIDGE * weights @ weights)

    below = np.array([np.mean(levels <= level) for level in LEVELS[:-1]]).clip(0.01, 0.99)
    guesses = np.log(below / (1 - below))
    start = np.concatenate([np.zeros(columns.shape[1]), guesses[:1], np.log(np.diff(guesses).clip(0.01))])
    found = minimize(loss, start, method="L-BFGS-B").x
    weights, thresholds = found[: -len(LEVELS) + 1], _thresholds(found[-len(LEVELS) + 1 :])
    return OrdinalLogistic(*(tuple(float(x) for x in part) for part in (mean, scale, weights, thresholds)))


def _columns(inputs: npt.ArrayLike) -> Floats:
    array = np.asarray(inputs, dtype=np.float64)
    return array[:, None] if array.ndim == 1 else array


def _thresholds(free: Floats) -> Floats:
    """Ascending: the first, then the logarithms of the steps to the next."""
    return np.asarray(free[0] + np.concatenate([[0.0], np.cumsum(np.exp(free[1:].clip(-20, 20)) + _SMALLEST_STEP)]))


def _probabilities(slopes: Floats, thresholds: Floats) -> Floats:
    below = expit(thresholds[None, :] - slopes[:, None])
    edges = np.column_stack([np.zeros(len(slopes)), below, np.ones(len(slopes))])
    return np.asarray(np.diff(edges, axis=1))
