"""Sequences of like length put together, so that little is padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def length_buckets(lengths: Sequence[int], tokens: int) -> Iterator[NDArray[np.int64]]:
    """Batches of places, longest first, each of at most `tokens` padded tokens (or of one row)."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
