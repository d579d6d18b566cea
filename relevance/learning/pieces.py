"""What a student learns from, a piece at a time, so that no more than one is in memory.

A piece is a student_v1 training frame with labels (training_frame.py). Asked for again, after a kill, it is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

ROWS_A_PIECE = 16_384  # 75 MB where three vectors have 384 entries


@dataclass(frozen=True, slots=True)
class Pieces:
    """`frame(i)` gives piece i of `count`, none of them empty."""

    count: int
    frame: Callable[[int], pl.DataFrame]

    @classmethod
    def of(cls, frame: pl.DataFrame, rows: int = ROWS_A_PIECE) -> Pieces:
        """Of a frame in memory, `rows` a piece."""
        return cls(-(-frame.height // rows), lambda i: frame[i * rows : (i + 1) * rows])

    def then(self, others: Pieces) -> Pieces:
        """These, and the others after them."""
        return Pieces(
            self.count + others.count,
            lambda i: self.frame(i) if i < self.count else others.frame(i - self.count),
        )
