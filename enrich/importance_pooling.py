"""Vectors pooled over the pin-board graph by the visits of short random walks.

PinSAGE's importance pooling (Ying et al., KDD 2018, section 3.2) without learned weights: walks from a pin go to one of
its boards and on to one of that board's pins, and stop after each step with probability 1/2. Instead of sampling them
their visit probabilities are computed (`Walks.visits`): the `neighbours` most visited pins are the pin's neighbourhood,
and their content vectors, weighted by the visits, are pooled with the pin's own. A walk goes on from the `frontier`
most visited pins alone: all of them in a small graph, fewer (`_frontier`) where there are millions of saves.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from enrich.errors import BadInput
from enrich.progress import progress

Vectors = NDArray[np.float32]
FRONTIER = 1000
_ENTRIES_AT_ONCE = 10_000_000  # visits that a thread holds together: 160 MB, some three times that as they are chosen
_PATHS = 1e10  # walked in all at each hop after the first: ten minutes of a core where nothing is in its cache
_EQUAL = 1e-11  # visits that differ by less are equal: they are sums in any order


@dataclass(frozen=True, slots=True)
class Pooling:
    """How far walks go and what is pooled of them."""

    neighbours: int = 50  # most visited pins that are pooled (PinSAGE's T)
    hops: int = 2  # longest walk, in pin-board-pin steps
    frontier: int = FRONTIER  # most visited pins from which a walk goes on; fewer in a large graph (`_frontier`)
    own_weight: float = 0.5  # of the pin's own content vector, against 1 for all neighbours together

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.hops < 1:
            raise BadInput(
                f"expected neighbours and hops of at least 1, found {self.neighbours} and {self.hops}; "
                "raise them in Pooling"
            )

    def __str__(self) -> str:
        frontier = "" if self.frontier == FRONTIER else f" frontier={self.frontier}"
        return f"neighbours={self.neighbours} hops={self.hops} own={self.own_weight:g}{frontier}"


def pool(holds: sparse.csr_array, own: Vectors, pooling: Pooling) -> Vectors:
    """Float32 [pins, d]: own and neighbours' vectors pooled, unit length; zeros where there is none to pool.

    `holds` [pins, boards] is 1 where the board holds the pin; `own` [pins, d], zeros where a pin has no text.
    """
    walks = Walks.of(holds)
    has_text = np.linalg.norm(own, axis=1) > 0
    pooled = pooling.own_weight * own
    reach = _Reach.of(holds)
    frontier = _frontier(reach, pooling.frontier)

    def add_neighbours(rows: NDArray[np.int64]) -> int:
        visited = walks.visits(rows, pooling.hops, frontier)
        pooled[rows] += _mean_of(own, most_visited(visited, has_text, rows, pooling.neighbours))
        return len(rows)

    with (
        ThreadPoolExecutor(joblib.cpu_count()) as threads,  # scipy's products and numpy's partition free the lock
        progress(len(own), "walk the graph", "pin") as bar,
    ):
        for walked in threads.map(add_neighbours, _slices(reach, pooling.hops, frontier)):
            bar.update(walked)
    lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
    return np.asarray(pooled / np.where(lengths > 0, lengths, 1), dtype=np.float32)


class _Reach(NamedTuple):
    """How far walks go, for bounds of time and memory."""

    step: NDArray[np.float64]  # [pins] the pin-board-pin paths from each pin
    next_step: NDArray[np.float64]  # [pins] the mean of `step` over the pins that one step visits

    @classmethod
    def of(cls, holds: sparse.csr_array) -> _Reach:
        paths = holds @ (holds.T @ np.ones(holds.shape[0]))
        return cls(paths, _row_normalised(holds) @ (_row_normalised(holds.T.tocsr()) @ paths))


def _frontier(reach: _Reach, most: int) -> int:
    """From how many pins a row's walks go on: `most`, or as many as `_PATHS` in all allow; never fewer than 10."""
    return int(np.clip(_PATHS / max(float(reach.next_step.sum()), 1.0), min(10, most), most))


def _slices(reach: _Reach, hops: int, frontier: int) -> Iterator[NDArray[np.int64]]:
    """The pins, as many at a time as have about `_ENTRIES_AT_ONCE` visits."""
    pins = len(reach.step)
    visited = reach.step + (hops - 1) * np.minimum(reach.step, frontier) * reach.next_step
    piece = (np.cumsum(np.minimum(visited, pins)) // _ENTRIES_AT_ONCE).astype(np.int64)
    yield from np.split(np.arange(pins), np.flatnonzero(np.diff(piece)) + 1)


class Walks(NamedTuple):
    """The two halves of a step, and the second beside the identity: one product adds a step to what came before it."""

    to_board: sparse.csr_array  # [pins, boards], from a pin to one of its boards
    to_pin: sparse.csr_array  # [boards, pins], from a board to one of its pins
    stay_or_to_pin: sparse.csr_array  # [pins + boards, pins]

    @classmethod
    def of(cls, holds: sparse.csr_array) -> Walks:
        """`holds` [pins, boards] is 1 where the board holds the pin."""
        to_pin = _row_normalised(holds.T.tocsr())
        stay = sparse.eye_array(holds.shape[0], format="csr")
        return cls(_row_normalised(holds), to_pin, sparse.vstack([stay, to_pin], format="csr"))

    def visits(self, rows: NDArray[np.int64], hops: int, frontier: int = FRONTIER) -> sparse.csr_array:
        """[rows, pins]: the expected visits of walks from `rows`, half of which stop after each step, in `hops` steps.

        Walks go on from the `frontier` most visited pins of each row.
        """
        at = total = self.to_board[rows] @ self.to_pin
        for hop in range(1, hops):
            boards = largest(at, frontier) @ self.to_board
            total = sparse.hstack([total, boards * 0.5**hop], format="csr") @ self.stay_or_to_pin
            if hop + 1 < hops:
                at = boards @ self.to_pin
        return total


def most_visited(
    visited: sparse.csr_array, has_text: NDArray[np.bool_], rows: NDArray[np.int64], neighbours: int
) -> sparse.csr_array:
    """[rows, pins]: each row's `neighbours` most visited other pins with a text, their shares of the visits (sum 1).

    Ties at the border go to the pin that comes first.
    """
    with_text = visited.copy()
    with_text.data *= has_text[with_text.indices]
    best = largest(with_text, neighbours + 1)  # itself may be among them
    row = np.repeat(np.arange(len(rows)), np.diff(best.indptr))
    best.data[best.indices == rows[row]] = 0
    best.eliminate_zeros()
    return _row_normalised(largest(best, neighbours))


def _mean_of(vectors: Vectors, weights: sparse.csr_array) -> Vectors:
    """weights [rows, pins] @ vectors [pins, d], of which only the rows that have a weight are looked at."""
    pins, places = np.unique(weights.indices, return_inverse=True)
    among = sparse.csr_array((weights.data, places, weights.indptr), shape=(weights.shape[0], len(pins)))
    return np.asarray(among @ vectors[pins])


def largest(matrix: sparse.csr_array, most: int) -> sparse.csr_array:
    """Each row's `most` largest positive entries, of equals (`_EQUAL`) the first."""
    lengths = np.diff(matrix.indptr)
    if lengths.max(initial=0) <= most:
        return matrix
    row, column, value = _from_floor(matrix, np.maximum(_floors(matrix, most) - 2 * _EQUAL, 0))
    order = np.lexsort((column, -(value / _EQUAL).round(), row))
    row, column, value = row[order], column[order], value[order]
    place = np.arange(len(order)) - np.searchsorted(row, np.arange(matrix.shape[0]))[row]
    best = place < most
    return sparse.csr_array((value[best], (row[best], column[best])), shape=matrix.shape)


def _floors(matrix: sparse.csr_array, most: int) -> NDArray[np.float64]:
    """[rows]: the `most`-th largest entry of each row, 0 where it has no more."""
    floors = np.zeros(matrix.shape[0])
    for row in np.flatnonzero(np.diff(matrix.indptr) > most):
        entries = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        floors[row] = np.partition(entries, len(entries) - most)[len(entries) - most]
    return floors


def _from_floor(
    matrix: sparse.csr_array, floors: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Row, column and value of the entries above their row's floor."""
    lengths = np.diff(matrix.indptr)
    kept = np.flatnonzero(matrix.data > np.repeat(floors, lengths))
    row = np.searchsorted(matrix.indptr, kept, side="right") - 1
    return row, matrix.indices[kept], matrix.data[kept]


def _row_normalised(matrix: sparse.csr_array) -> sparse.csr_array:
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    return sparse.diags_array(1 / np.where(sums > 0, sums, 1)).tocsr() @ matrix
