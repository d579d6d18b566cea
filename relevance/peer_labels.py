"""Soft labels with a second opinion: the teacher's, averaged with those of a student that only people taught.

Reads student_v1 frames and what a teacher said of them; pure; part of `relevance train-student`. The teacher reads
texts alone. A student of human labels sees behaviour and vectors too: it errs elsewhere, so that a mean of the two is
nearer the truth than either (an ensemble distilled into one net: Hinton, Vinyals & Dean 2015, arXiv 1503.02531). How
much each counts is what fits the gold levels of the dev pairs best (stacking: Wolpert 1992).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from relevance.features import Floats
from relevance.metrics import Ints
from relevance.student import Student
from relevance.student_inputs import QueryEncoder, student_inputs

_SHARES = np.linspace(0.0, 1.0, 21)
_LEAST = 1e-6  # probability, of which a logarithm is taken


def opinion(frame: pl.DataFrame, peer: Student, encoder: QueryEncoder) -> Floats:
    """What `peer` says of the rows: probabilities float32 [n, 5]."""
    return peer.predict(student_inputs(frame, encoder).features(peer.statistics))


def best_share(levels: Ints, teacher: Floats, peer: Floats) -> float:
    """The peer's share, 0..1, of the mean under which gold `levels` [n] (1..5) are likeliest; `teacher`, `peer` [n, 5].

    0 where there are no rows, and of shares that fit alike the least.
    """
    at = np.arange(len(levels)), np.asarray(levels) - 1
    losses = [-np.log(np.maximum((1 - s) * teacher[at] + s * peer[at], _LEAST)).sum() for s in _SHARES]
    return float(_SHARES[int(np.argmin(losses))])


def mixed(frame: pl.DataFrame, said: Floats, share: float) -> pl.DataFrame:
    """`frame` with `share` of each row's `probabilities` (List, five) from `said` [n, 5], the rest as it was."""
    if frame.is_empty():
        return frame
    own = frame["probabilities"].list.to_array(said.shape[1]).to_numpy()
    labels = ((1 - share) * own + share * said).astype(np.float32)
    return frame.with_columns(pl.Series("probabilities", labels.tolist(), frame.schema["probabilities"]))
