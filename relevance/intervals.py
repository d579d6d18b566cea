"""How sure a figure is: 95 % intervals and paired differences by the bootstrap over queries.

Pairs of one query are alike, so whole queries are drawn (cluster bootstrap), and every model of an evaluation is seen
on the same draws: the difference of two models is then paired by query. A measure is kept as what a draw needs of each
query (`Sums`, `RankedPairs`), so that 2,000 draws are a few matrix products and no loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance.metrics import Floats, Ints, confidence_bin
from relevance.reliability import Claim

LEAST_QUERIES = 10  # that a measure has rows of; with fewer, draws are so alike that intervals would be far too narrow
_CELLS_AT_ONCE = 4_000_000  # float64 held while ranked pairs are drawn: 32 MB
_DIGITS = 12  # that a difference keeps: what is equal would else differ by how sums are rounded


@dataclass(frozen=True, slots=True)
class BootstrapSettings:
    draws: int = 2000  # resamples of the queries
    confidence: float = 0.95
    seed: int = 17

    def __post_init__(self) -> None:
        if self.draws < 100 or not 0.5 <= self.confidence < 1:
            raise BadInput(
                f"expected at least 100 draws and a confidence of 0.5 to 1, found {self.draws} and {self.confidence}"
            )


class Estimate(NamedTuple):
    """A figure and its interval; where one of them, or both, cannot be had it is nan, and `reason` says why."""

    value: float
    low: float
    high: float
    reason: str | None = None


class Difference(NamedTuple):
    """a - b by query and a ÷ b, each with its interval; `p_value` is two-sided, of "no difference".

    Where there is no interval (a or b has rows of fewer than LEAST_QUERIES, or draws that mostly leave one undefined)
    it is nan, and so is `p_value`.
    """

    value: float
    low: float
    high: float
    p_value: float
    ratio: float
    ratio_low: float
    ratio_high: float


def p_text(p_value: float) -> str:
    """As tables and lines say it: three decimals, "–" where there is none."""
    if np.isnan(p_value):
        return "–"
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


class Statistic(Protocol):
    """A measure that can be drawn again."""

    @property
    def queries(self) -> int:
        """How many queries it has rows of; the others say nothing, however often they are drawn."""

    def values(self, draws: Floats) -> Floats:
        """Its value on each draw; `draws` [b, q] says how often each query was drawn. nan where undefined."""


@dataclass(frozen=True, slots=True)
class Sums:
    """A measure that is a function of sums over queries: `finish(draws @ by_query)`."""

    by_query: Floats  # [q, k]
    finish: Callable[[Floats], Floats]  # [b, k] -> [b]

    @property
    def queries(self) -> int:
        """Those that add something to a sum."""
        return int(np.count_nonzero(np.any(self.by_query != 0, axis=1)))

    def values(self, draws: Floats) -> Floats:
        return self.finish(draws @ self.by_query)


@dataclass(frozen=True, slots=True)
class RankedPairs:
    """AUROC: the chance that a positive row stands above a negative one, ties half."""

    query: Ints  # [n] row -> query, rows in ascending order of score
    positive: Floats  # [n] 1 or 0
    group: Ints  # [n] rows of one score share a group, 0 upwards
    cells_at_once: int = _CELLS_AT_ONCE

    @property
    def queries(self) -> int:
        """Those that have a row of the side that fewer of them have: it is what the draws of the others only repeat."""
        return min(len(np.unique(self.query[self.positive == side])) for side in (0, 1))

    def values(self, draws: Floats) -> Floats:
        step = max(1, self.cells_at_once // max(1, len(self.query)))
        return np.concatenate([self._some(draws[i : i + step]) for i in range(0, len(draws), step)])

    def _some(self, draws: Floats) -> Floats:
        weight = draws[:, self.query]
        starts = np.flatnonzero(np.diff(self.group, prepend=-1))
        positive = np.add.reduceat(weight * self.positive, starts, axis=1)
        negative = np.add.reduceat(weight * (1 - self.positive), starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative
        area = (positive * (below + negative / 2)).sum(axis=1)
        return divided(area, positive.sum(axis=1) * negative.sum(axis=1))


def draw_queries(queries: int, settings: BootstrapSettings) -> Floats:
    """How often each query is drawn, in each draw; float64 [draws, queries], every row sums to `queries`."""
    rng = np.random.default_rng(settings.seed)
    return rng.multinomial(queries, np.full(queries, 1 / queries), size=settings.draws).astype(np.float64)


def mean(query: Ints, values: Floats, queries: int) -> Sums:
    """The mean of `values` [n] over rows; `query` [n] says whose each row is, 0..queries-1."""
    return Sums(_by_query(query, np.column_stack([values, np.ones(len(values))]), queries), _ratio_of_two)


def kappa(query: Ints, levels: Ints, predicted: Ints, queries: int) -> Sums:
    """Quadratic κ, from each query's confusion matrix."""
    cell = (levels - 1) * len(LEVELS) + predicted - 1
    confusions = counted(query, cell, np.ones(len(cell)), queries, len(LEVELS) ** 2)
    return kappa_of_confusions(confusions, np.asarray(LEVELS, dtype=np.float64), np.square)


def kappa_of_confusions(confusions: Floats, levels: Floats, cost: Callable[[Floats], Floats]) -> Sums:
    """Cohen's κ (1960, 1968) of each query's confusion matrix, flat [queries, k²]; `cost` is of levels' differences."""
    price = cost(np.subtract.outer(levels, levels))

    def finish(sums: Floats) -> Floats:
        seen = sums.reshape(-1, len(levels), len(levels))
        observed = np.einsum("bij,ij->b", seen, price)
        chance = divided(np.einsum("bi,bj,ij->b", seen.sum(axis=2), seen.sum(axis=1), price), seen.sum(axis=(1, 2)))
        return 1 - divided(observed, chance)

    return Sums(confusions, finish)


def tau(query: Ints, levels: Ints, predicted: Ints, queries: int) -> Sums:
    """Kendall's τ-b of gold and predicted levels over all rows, from each query's confusion matrix."""
    side = len(LEVELS)
    cell = (levels - 1) * side + predicted - 1
    sign = np.sign(np.subtract.outer(np.arange(side), np.arange(side))).astype(np.float64)

    def finish(sums: Floats) -> Floats:
        seen = sums.reshape(-1, side, side)
        ordered = np.einsum("bij,ik,bkl,jl->b", seen, sign, seen, sign) / 2  # concordant less discordant pairs
        rows = seen.sum(axis=(1, 2))
        untied = [(rows**2 - (seen.sum(axis=axis) ** 2).sum(axis=1)) / 2 for axis in (2, 1)]
        return divided(ordered, np.sqrt(untied[0] * untied[1]))

    return Sums(counted(query, cell, np.ones(len(cell)), queries, side**2), finish)


def calibration(query: Ints, claim: Claim, queries: int, bins: int = 15) -> Sums:
    """ECE of what a claim says of rows [n], from each query's gap and rows by bin of confidence."""
    gap = claim.true - claim.confidence
    gaps = counted(query, confidence_bin(claim.confidence, bins), gap, queries, bins)
    rows = np.bincount(query, minlength=queries).astype(np.float64)
    return Sums(np.column_stack([gaps, rows]), _error_of_gaps)


def counted(query: Ints, cell: Ints, weight: Floats, queries: int, cells: int) -> Floats:
    """Sums of `weight` by query and cell; [queries, cells]."""
    flat = np.bincount(query * cells + cell, weights=weight, minlength=queries * cells)
    return flat.astype(np.float64).reshape(queries, cells)


def auroc(query: Ints, positive: NDArray[np.bool_], score: Floats) -> RankedPairs:
    """AUROC of `score` [n] for `positive` [n]."""
    order = np.argsort(score, kind="stable")
    group = np.cumsum(np.diff(score[order], prepend=-np.inf) > 0) - 1
    return RankedPairs(query[order], positive[order].astype(np.float64), group.astype(np.int64))


def estimate(statistic: Statistic, draws: Floats, confidence: float = 0.95) -> Estimate:
    """The statistic on all queries once, with the percentile interval of `draws`."""
    value = float(statistic.values(_once(draws))[0])
    if np.isnan(value):
        return Estimate(value, value, value, "not defined on these rows")
    low, high = _interval(statistic.values(draws), statistic.queries, confidence)
    return Estimate(value, low, high, "too few queries for an interval" if np.isnan(low) else None)


def difference(a: Statistic, b: Statistic, draws: Floats, confidence: float = 0.95) -> Difference:
    """a against b on the same draws. The p-value counts draws on the other side of zero, twice the smaller side.

    Where no draw lies there, the least that can be counted is 2 / (draws + 1), which Holm's correction of a hundred
    comparisons would never let pass. Below it p is the tail of Student's t at the difference over its bootstrap
    standard error (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", 12.4), degrees of freedom one less than
    the queries.
    """
    once = _once(draws)
    value_a, value_b = a.values(once), b.values(once)
    drawn_a, drawn_b = a.values(draws), b.values(draws)
    gaps, value = (drawn_a - drawn_b).round(_DIGITS), float((value_a - value_b)[0])
    queries = min(a.queries, b.queries)
    low, high = _interval(gaps, queries, confidence)
    ratio_low, ratio_high = _interval(divided(drawn_a, drawn_b), queries, confidence)
    return Difference(
        value=value,
        low=low,
        high=high,
        p_value=float("nan") if np.isnan(low) else _p_value(value, gaps[~np.isnan(gaps)], queries),
        ratio=float(divided(value_a, value_b)[0]),
        ratio_low=ratio_low,
        ratio_high=ratio_high,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) corrected p-values, in the order given; nan stays nan and does not count."""
    order = sorted((p, place) for place, p in enumerate(p_values) if not np.isnan(p))
    corrected, least = [float("nan")] * len(p_values), 0.0
    for rank, (p, place) in enumerate(order):
        least = max(least, min(1.0, p * (len(order) - rank)))
        corrected[place] = least
    return corrected


def _once(draws: Floats) -> Floats:
    """The draw that is the queries themselves."""
    return np.ones((1, draws.shape[1]))


def _p_value(value: float, gaps: Floats, queries: int) -> float:
    """Twice the smaller share of draws at or beyond zero, the gaps seen counted among the draws; never 0.

    With no draw there, the tail of t where that is less; gaps that are all alike have no spread to hold it against.
    """
    tail = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    counted = min(1.0, 2 * (tail + 1) / (len(gaps) + 1))
    error = float(gaps.std(ddof=1))
    if tail or error <= 10.0**-_DIGITS:
        return counted
    return min(counted, max(2 * float(stats.t.sf(abs(value) / error, queries - 1)), float(np.finfo(np.float64).tiny)))


def _interval(values: Floats, queries: int, confidence: float) -> tuple[float, float]:
    """Percentiles of the values drawn; two nans where these would mislead.

    So it is where fewer than `LEAST_QUERIES` say something, and where more draws are undefined than the interval leaves
    out.
    """
    defined = values[~np.isnan(values)]
    if queries < LEAST_QUERIES or len(defined) < confidence * len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _by_query(query: Ints, columns: Floats, queries: int) -> Floats:
    return np.column_stack([np.bincount(query, weights=column, minlength=queries) for column in columns.T])


def _ratio_of_two(sums: Floats) -> Floats:
    return divided(sums[:, 0], sums[:, 1])


def _error_of_gaps(sums: Floats) -> Floats:
    return divided(np.abs(sums[:, :-1]).sum(axis=1), sums[:, -1])


def divided(a: Floats, b: Floats) -> Floats:
    """a ÷ b; nan where b is 0."""
    quotient: Floats = np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)
    return quotient
