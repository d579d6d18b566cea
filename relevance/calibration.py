"""One temperature that makes a model's probabilities mean what they say (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_WIDEST = 10.0  # temperatures from 1/10 to 10; a fit beyond that means too few rows, not better probabilities


def fit_temperature(logits: npt.NDArray[np.float32], levels: npt.NDArray[np.int64]) -> float:
    """The temperature T that maximises the likelihood of `levels` (1..5) under softmax(logits / T)."""

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return float(-scores[np.arange(len(levels)), levels - 1].mean())

    bound = float(np.log(_WIDEST))
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))
