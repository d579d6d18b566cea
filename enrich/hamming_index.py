"""64-bit hashes, and which of them differ from one in at most a few bits.

Reads and writes nothing; `picture_twins.py` keeps one. Hashes that differ in four bits agree in one of five pieces
(multi-index hashing: Norouzi, Punjani and Fleet, CVPR 2012), so only those that share a piece are compared: of a
million, some six hundred. What came last is not sorted in yet and compared one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DISTANCE = 4  # bits
_PIECES = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # first bit, bits
_UNSORTED = 2**15  # compared one by one, a hundredth of a millisecond

Hashes = NDArray[np.uint64]
Places = NDArray[np.intp]


class HammingIndex:
    """Hashes by the order in which they came."""

    def __init__(self, hashes: Hashes) -> None:
        self._hashes, self._count = hashes.copy(), len(hashes)
        self._sort()

    def add(self, found: int) -> None:
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros(max(1024, self._count), np.uint64)])
        self._hashes[self._count] = found
        self._count += 1
        if self._count - self._sorted > max(_UNSORTED, self._sorted // 2):
            self._sort()

    def near(self, wanted: int) -> Places:
        """The places of the hashes at most DISTANCE bits from `wanted`, ascending."""
        places = [np.arange(self._sorted, self._count)]
        for (first, bits), order, starts in zip(_PIECES, self._orders, self._starts, strict=True):
            piece = (wanted >> first) & (2**bits - 1)
            places.append(order[starts[piece] : starts[piece + 1]])
        candidates = np.unique(np.concatenate(places))
        apart = np.bitwise_count(self._hashes[candidates] ^ np.uint64(wanted))
        return np.asarray(candidates[apart <= DISTANCE], np.intp)

    def _sort(self) -> None:
        """Of each piece, the places ordered by its value, and where each value begins."""
        self._sorted = self._count
        known = self._hashes[: self._count]
        pieces = [(known >> np.uint64(first)) & np.uint64(2**bits - 1) for first, bits in _PIECES]
        self._orders = [np.argsort(piece, kind="stable") for piece in pieces]
        self._starts = [
            np.searchsorted(piece[order], np.arange(2**bits + 1, dtype=np.uint64))
            for piece, order, (_, bits) in zip(pieces, self._orders, _PIECES, strict=True)
        ]
