"""Which place each key was given, in the order in which keys were first seen; 16 bytes of memory a key."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Ints = NDArray[np.int64]


class Given(NamedTuple):
    places: Ints  # [n] of the keys
    firsts: Ints  # positions among the n at which a key that was new stood first, ascending


class Places:
    """A growing table of 64-bit hashes, of which two that differ collide with probability 2**-64."""

    def __init__(self, keys: Keys | None = None) -> None:
        """`keys` had the places 0, 1, 2, ... before."""
        known = np.zeros(0, np.uint64) if keys is None else keys
        order = np.argsort(known, kind="stable")
        self._keys, self._places = known[order], order.astype(np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def give(self, keys: Keys) -> Given:
        """The places of `keys`; those that are new get the next ones."""
        distinct, first, back = np.unique(keys, return_index=True, return_inverse=True)
        at = np.searchsorted(self._keys, distinct)
        known = np.zeros(len(distinct), np.bool_)
        inside = at < len(self._keys)
        known[inside] = self._keys[at[inside]] == distinct[inside]
        places = np.zeros(len(distinct), np.int64)
        places[known] = self._places[at[known]]
        new = np.flatnonzero(~known)
        by_first = new[np.argsort(first[new])]
        places[by_first] = len(self._keys) + np.arange(len(by_first))
        self._keys = np.insert(self._keys, at[new], distinct[new])
        self._places = np.insert(self._places, at[new], places[new])
        return Given(places[back], first[by_first])
