"""Query slips: in training, words of some queries are misspelled, so that the teacher reads through it.

Pure. What is misspelled follows from (seed, epoch, place of the pair) alone, so a resumed run misspells the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relevance.misspelling import misspelled
from relevance.text import PairText

_STREAM = 1  # of random numbers: field dropout draws from (seed, epoch) too


def slip_queries(pairs: Sequence[PairText], chance: float, seed: int, epoch: int) -> list[PairText]:
    """The pairs of one epoch: a query at `chance` with slips in some of its words. The pins stay whole."""
    random = np.random.default_rng((seed, epoch, _STREAM))
    hit = random.random(len(pairs)) < chance
    return [
        pair._replace(query=misspelled(pair.query, random)) if slips else pair
        for pair, slips in zip(pairs, hit.tolist(), strict=True)
    ]
