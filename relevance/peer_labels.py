"""Soft labels with a second opinion: the teacher's, averaged with those of a student that only people taught.

Reads a student_v1 frame of pairs that the teacher labelled; pure; part of `relevance train-student`. The teacher reads
texts alone. A student of human labels sees behaviour and vectors too: it errs elsewhere, so that a mean of the two is
nearer the truth than either (an ensemble distilled into one net: Hinton, Vinyals & Dean 2015, arXiv 1503.02531).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from relevance.student import Student
from relevance.student_inputs import QueryEncoder, student_inputs


def with_second_opinion(frame: pl.DataFrame, peer: Student, encoder: QueryEncoder, share: float) -> pl.DataFrame:
    """`frame` with `share` of each row's `probabilities` (List, five) from `peer`, the rest as it was."""
    if frame.is_empty() or share == 0:
        return frame
    said = peer.predict(student_inputs(frame, encoder).features(peer.statistics))
    own = frame["probabilities"].list.to_array(said.shape[1]).to_numpy()
    labels = ((1 - share) * own + share * said).astype(np.float32)
    return frame.with_columns(pl.Series("probabilities", labels.tolist(), frame.schema["probabilities"]))
