"""In which order rows are learned from: neighbours far apart, the same for a seed and an epoch, wherever it is resumed.

Rows on disk lie by query. Blocks of 128 neighbours are drawn at random from all of them into windows of 131,072 rows,
whose rows are drawn at random in turn: where no more rows than that are there, every order of them is as likely.
A look, after which the dev loss is taken and a checkpoint written, is one or more windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from relevance.features import Bools, Ints
from relevance.learning.network import Inputs
from relevance.learning.packed import Packed
from relevance.student import StudentSettings

BLOCK, WINDOW = 128, 1024  # rows of a block, blocks of a window
_AT_ONCE = 16  # batches that are read together: rows far apart on disk cost by the call as well as by the byte
_SPARSE = 0.5  # share of the rows that are given with inputs left out


class Batch(NamedTuple):
    inputs: Inputs
    targets: torch.Tensor  # [n, 5]
    weights: torch.Tensor  # [n]

    def rows(self, first: int, last: int) -> Batch:
        some = slice(first, last)
        parts = (None if part is None else part[some] for part in self.inputs)
        return Batch(Inputs._make(parts), self.targets[some], self.weights[some])


class Window(NamedTuple):
    """Some rows in the order in which they are learned from."""

    blocks: Ints
    rows: Ints
    sparse: Bools  # [rows] which are given with inputs left out


class Batches:
    """A training set in batches."""

    def __init__(self, packed: Packed, settings: StudentSettings, window: int = WINDOW) -> None:
        """`window` is in blocks."""
        self._packed = packed
        self._settings = settings
        self._window = window
        self._windows = -(-len(packed) // (BLOCK * window))
        self._a_look = max(1, settings.look_rows // (BLOCK * window))  # windows

    def __len__(self) -> int:
        """Rows."""
        return len(self._packed)

    @property
    def looks(self) -> int:
        """In an epoch."""
        return -(-self._windows // self._a_look)

    def of(self, epoch: int, look: int) -> Iterator[Batch]:
        """The batches of one look of an epoch, both from 0.

        Made where they are asked for: a thread that made them ahead would take a core from under the network's
        products, each of which waits for every core.
        """
        size = self._settings.batch_size
        numbers = range(look * self._a_look, min(self._windows, (look + 1) * self._a_look))
        window = self._opened(epoch, numbers[0])
        for number in numbers:
            coming = self._opened(epoch, number + 1) if number + 1 in numbers else window
            for first in range(0, len(window.rows), size * _AT_ONCE):
                some = slice(first, first + size * _AT_ONCE)
                yield from self._batches(window.rows[some], window.sparse[some])
            if self._windows > 1:
                self._packed.forget()
            window = coming

    def _opened(self, epoch: int, number: int) -> Window:
        """A window that the system has begun to read."""
        window = drawn(len(self), self._settings.seed, epoch, number, self._window)
        if self._windows > 1:
            for block in window.blocks.tolist():
                self._packed.ahead(block * BLOCK, min(len(self), (block + 1) * BLOCK))
        return window

    def _batches(self, rows: Ints, sparse: Bools) -> Iterator[Batch]:
        # rows come from far apart: to find the few of a batch that share a query costs more than it saves
        found, size = self._packed.choose(rows, sparse, paired=True), self._settings.batch_size
        inputs = Inputs.of(found.features)._replace(query_of=None)
        whole = Batch(inputs, torch.from_numpy(found.targets), torch.from_numpy(found.weights))
        for first in range(0, len(rows), size):
            yield whole.rows(first, first + size)


def drawn(rows: int, seed: int, epoch: int, number: int, window: int = WINDOW) -> Window:
    """The rows of window `number` of an epoch."""
    order = np.random.default_rng([seed, epoch]).permutation(-(-rows // BLOCK))
    blocks = order[number * window : (number + 1) * window]
    every = (blocks[:, None] * BLOCK + np.arange(BLOCK)).reshape(-1)
    rng = np.random.default_rng([seed, epoch, number])
    there = every[every < rows]
    shuffled = there[rng.permutation(len(there))]
    return Window(blocks, shuffled, rng.random(len(shuffled)) < _SPARSE)
