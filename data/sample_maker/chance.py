"""Chance for the sample catalogue: a stream of random numbers a subject, so that adding to one never moves another."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Rng = np.random.Generator
Floats = NDArray[np.float64]


def stream(seed: int, subject: str) -> Rng:
    """The random numbers of one subject ("titles") in the world of `seed`."""
    return np.random.default_rng([seed, zlib.crc32(subject.encode())])


def choose(rng: Rng, items: Sequence[T], weights: Sequence[float] | Floats | None = None) -> T:
    """One of the items, equally often or in proportion to the weights."""
    if weights is None:
        return items[int(rng.integers(len(items)))]
    cumulated = np.cumsum(weights)
    return items[min(int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")), len(items) - 1)]


def usual(rng: Rng, items: Sequence[T], first: float = 0.78) -> T:
    """The first item with that probability, else one of the others."""
    if len(items) == 1 or rng.random() < first:
        return items[0]
    return items[1 + int(rng.integers(len(items) - 1))]


def happens(rng: Rng, probability: float) -> bool:
    return bool(rng.random() < probability)
