"""Agreement of many annotators as functions of sums over queries, so that intervals are a few matrix products.

Pure. A pair's m votes make m (m - 1) ordered couples; each weighs 1 / (m - 1), so that a pair counts as many times as
it has votes. Their table by (level, other's level) is the coincidence matrix of Krippendorff (2011, "Computing
Krippendorff's alpha-reliability"), from which all figures here follow. Pairs with one vote say nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from relevance.intervals import Sums, counted, divided
from relevance.metrics import Floats, Ints


class Scale(StrEnum):
    """What the distance of two levels means to Krippendorff's α."""

    NOMINAL = "nominal"  # different is different
    ORDINAL = "ordinal"  # by how many votes lie between them
    INTERVAL = "interval"  # by the square of their difference


class Votes(NamedTuple):
    """Votes by position, int64 [n]: whose query, which pair, which of `levels` (float64 [k], ascending)."""

    query: Ints
    pair: Ints
    level: Ints
    levels: Floats
    queries: int


class Couples(NamedTuple):
    """Ordered couples of votes on one pair, int64 [c]: positions of one and of the other; their weight, float64 [c]."""

    one: Ints
    other: Ints
    weight: Floats


def couples(votes: Votes) -> Couples:
    """All couples of different votes on a pair."""
    order = np.argsort(votes.pair, kind="stable")
    _, first, size = np.unique(votes.pair[order], return_index=True, return_counts=True)
    partners = np.repeat(size, size)  # of each vote in order: its pair's votes
    one = np.repeat(np.arange(len(order)), partners)
    nth = np.arange(len(one)) - np.repeat(np.cumsum(partners) - partners, partners)
    other = np.repeat(np.repeat(first, size), partners) + nth
    apart = one != other
    one, other = one[apart], other[apart]
    weight = 1 / (np.repeat(size, size)[one] - 1)
    return Couples(order[one], order[other], weight)


def coincidences(votes: Votes) -> Floats:
    """Each query's coincidence matrix, flat: float64 [queries, k²]."""
    k, seen = len(votes.levels), couples(votes)
    cell = votes.level[seen.one] * k + votes.level[seen.other]
    return counted(votes.query[seen.one], cell, seen.weight, votes.queries, k * k)


def krippendorff_alpha(matrices: Floats, levels: Floats, scale: Scale) -> Sums:
    """1 - observed ÷ expected disagreement, of the queries' matrices [queries, k²]; nan where all votes are alike."""
    return Sums(matrices, lambda sums: _alpha(_square(sums), levels, scale))


def fleiss_kappa(matrices: Floats) -> Sums:
    """κ of many raters (Fleiss 1971), each pair counted as often as it has votes where pairs have unequally many."""
    return Sums(matrices, _chance_corrected)


def agreeing(matrices: Floats, levels: Floats, within: float) -> Sums:
    """Share of couples at most `within` levels apart."""
    near = np.abs(np.subtract.outer(levels, levels)) <= within + 1e-9
    return Sums(matrices, lambda sums: divided(sums @ near.ravel(), sums.sum(axis=1)))


def agreeing_on(matrices: Floats, level: int, k: int) -> Sums:
    """Of couples whose one vote is `level` (a position), the share whose other is too (Spitzer & Fleiss 1974).

    Of the queries that have such votes; the others say nothing of the level.
    """
    of_level = matrices.reshape(-1, k, k)[:, level]
    return Sums(of_level, lambda sums: divided(sums[:, level], sums.sum(axis=1)))


def _alpha(seen: Floats, levels: Floats, scale: Scale) -> Floats:
    shares = seen.sum(axis=2)  # votes by level, [b, k]
    distance = _distances(shares, levels, scale)
    total = shares.sum(axis=1)
    observed = (seen * distance).sum(axis=(1, 2))
    expected = np.einsum("bi,bj,bij->b", shares, shares, distance)
    return 1 - divided(observed * (total - 1), expected)


def _distances(shares: Floats, levels: Floats, scale: Scale) -> Floats:
    """Squared distances of levels, [b or 1, k, k]."""
    if scale is Scale.NOMINAL:
        return 1 - np.eye(len(levels))[None]
    if scale is Scale.INTERVAL:
        return np.asarray(np.subtract.outer(levels, levels)[None] ** 2)
    middle = np.cumsum(shares, axis=1) - shares / 2  # votes below, and half of those on the level
    return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)


def _chance_corrected(sums: Floats) -> Floats:
    seen = _square(sums)
    total = seen.sum(axis=(1, 2))
    observed = divided(np.trace(seen, axis1=1, axis2=2), total)
    by_chance = divided((seen.sum(axis=2) ** 2).sum(axis=1), total**2)
    return divided(observed - by_chance, 1 - by_chance)


def _square(sums: Floats) -> Floats:
    """Sums [b, k²] as matrices [b, k, k]."""
    side = round(sums.shape[1] ** 0.5)
    return sums.reshape(-1, side, side)
