"""What makes a model's probabilities mean what they say: a temperature and a bias a level, fitted on held-out labels.

Pure. Bias-corrected temperature scaling (Alexandari, Kundaje & Shrikumar 2020, arXiv 1901.06852): the temperature of
Guo et al. 2017 (arXiv 1706.04599) mends confidence, the biases mend how often each level is said. A student needs
these: most of its pairs come from a log, where levels are not as frequent as among the pairs that people judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from enrich.tables import LEVELS

Floats = npt.NDArray[np.floating[Any]]
Levels = npt.NDArray[np.int64]

_WIDEST = 10.0  # temperatures from 1/10 to 10; a fit beyond that means too few rows, not better probabilities
_TEMPERATURE_DEVIATION = 0.5  # of its logarithm's Gaussian prior: with few rows it stays near 1
_BIAS_DEVIATION = 0.7  # of the biases' Gaussian prior, in logits: with few rows they stay near zero


@dataclass(frozen=True, slots=True)
class Calibration:
    """probabilities = softmax(logits / temperature + biases)."""

    temperature: float = 1.0
    biases: tuple[float, ...] = (0.0,) * len(LEVELS)  # of levels 1..5, mean 0

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """As it was written with a model. Raises KeyError, TypeError or ValueError where it is not whole."""
        biases = tuple(float(bias) for bias in raw["biases"])
        if len(biases) != len(LEVELS):
            raise ValueError(f"expected {len(LEVELS)} biases, found {len(biases)}")
        return cls(float(raw["temperature"]), biases)

    @classmethod
    def fit(cls, logits: Floats, levels: Levels, queries: Sequence[str]) -> Self:
        """The likeliest calibration under which logits [n, 5] give `levels` (1..5), given the priors.

        A few pairs that are all answered rightly, be it ever so hesitantly, are likeliest under the coldest temperature
        there is, and would make every other answer sound sure: hence a prior of the temperature, too. Pairs of one
        query lean the same way, so against the priors the rows count as many as there are `queries`.
        """
        raw, independent = logits.astype(np.float64), len(set(queries))

        def loss(parameters: npt.NDArray[np.float64]) -> float:
            log_temperature, biases = float(parameters[0]), parameters[1:]
            scores = log_softmax(raw / np.exp(log_temperature) + biases, axis=1)
            prior = (log_temperature / _TEMPERATURE_DEVIATION) ** 2 + float(biases @ biases) / _BIAS_DEVIATION**2
            return float(-scores[np.arange(len(levels)), levels - 1].mean() + prior / (2 * independent))

        widest = float(np.log(_WIDEST))
        bounds = [(-widest, widest)] + [(None, None)] * len(LEVELS)
        found = minimize(loss, np.zeros(1 + len(LEVELS)), method="L-BFGS-B", bounds=bounds).x
        return cls(float(np.exp(found[0])), tuple(float(bias) for bias in found[1:] - found[1:].mean()))

    def probabilities(self, logits: Floats) -> npt.NDArray[np.float32]:
        """Float32 [n, 5], rows sum to 1."""
        return np.asarray(softmax(self._scores(logits), axis=1), dtype=np.float32)

    def log_probabilities(self, logits: Floats) -> npt.NDArray[np.float64]:
        """Float64 [n, 5]; what a cross-entropy is measured with."""
        return np.asarray(log_softmax(self._scores(logits), axis=1), dtype=np.float64)

    def _scores(self, logits: Floats) -> npt.NDArray[np.float64]:
        scores: npt.NDArray[np.float64] = logits.astype(np.float64) / self.temperature + np.asarray(self.biases)
        return scores
