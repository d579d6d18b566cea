"""Query slips: some of a student's training rows are asked by their query misspelled, so that it reads through it.

Pure. What is misspelled follows from (seed, query, pin) alone, so a resumed run misspells the same.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from enrich.job import input_hash
from relevance.learning.inputs import asked_by
from relevance.learning.pieces import Pieces
from relevance.misspelling import misspelled

_WHOLE = 10**6  # the chance is told to a millionth


def with_slips(pieces: Pieces, chance: float, seed: int) -> Pieces:
    """The pieces with a query misspelled in rows at `chance`: nobody asked it before, and nothing is known of it.

    A query is misspelled in one way, for features are computed a query at a time.
    """
    return Pieces(pieces.count, lambda i: slipped_rows(pieces.frame(i), chance, seed)) if chance else pieces


def slipped_rows(frame: pl.DataFrame, chance: float, seed: int) -> pl.DataFrame:
    """As `with_slips`, of a student_v1 frame."""
    made = {query: misspelled(query, _draws(seed, query)) for query in frame["query"].unique()}
    slipped = pl.Series("query", [made[query] for query in frame["query"]], pl.String)
    drawn = frame.select(pl.struct("query", "pin_id").hash(seed) % _WHOLE).to_series() < chance * _WHOLE
    return asked_by(frame, slipped.zip_with(drawn, frame["query"]))


def _draws(seed: int, query: str) -> np.random.Generator:
    return np.random.default_rng(int(input_hash(str(seed), query)[:12], 16))
