"""The annotators' votes of a pair as a distribution over the five levels, for targets that keep their disagreement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from enrich.tables import LEVELS


def vote_shares(votes: Sequence[Sequence[float] | None], gold: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares float32 [n, 5], rows sum to 1; a pair without votes has its row of `gold` [n, 5].

    A vote between two levels (a scale of other steps mapped onto 1..5, as Chorus' is) counts for both, the nearer
    the more: 3.25 is three quarters a 3 and a quarter a 4.
    """
    counts = np.array([len(cast) if cast is not None else 0 for cast in votes], np.int64)
    flat = np.array([vote for cast in votes if cast is not None for vote in cast], np.float64) - LEVELS[0]
    rows = np.repeat(np.arange(len(votes)), counts)
    below = np.clip(np.floor(flat), 0, len(LEVELS) - 2).astype(np.int64)
    above = flat - below
    shares = np.zeros((len(votes), len(LEVELS)))
    np.add.at(shares, (rows, below), 1 - above)
    np.add.at(shares, (rows, below + 1), above)
    known = counts[:, None] > 0
    return np.where(known, shares / np.maximum(counts[:, None], 1), gold).astype(np.float32)
