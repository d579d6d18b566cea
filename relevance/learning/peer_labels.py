"""Soft labels with a second opinion: the teacher's, averaged with those of a student that only people taught.

Pure; part of `relevance train-student`, a piece of the pairs at a time (learning/packed.py). The teacher reads texts
alone. A student of human labels sees behaviour and vectors too: it errs elsewhere, so that a mean of the two is nearer
the truth than either (an ensemble distilled into one net: Hinton, Vinyals & Dean 2015, arXiv 1503.02531).
"""

from __future__ import annotations

import numpy as np

from relevance.features import Floats
from relevance.learning.inputs import StudentInputs
from relevance.student import Student


def with_second_opinion(labels: Floats, pairs: StudentInputs, peer: Student, share: float) -> Floats:
    """The pairs' labels [n, 5] with `share` of each from `peer`, the rest as it was."""
    if share == 0:
        return labels
    said = peer.predict(pairs.features(peer.statistics))
    return ((1 - share) * labels + share * said).astype(np.float32)
