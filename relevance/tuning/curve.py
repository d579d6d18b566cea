"""What engagement's weights buy and cost: nDCG of judged searches against the lift of logged ones, and a choice.

Reads `logged.Material`; `relevance tune-ranking` prints the curve and writes the choice (chosen.py).

    nDCG   of the ranking's order of judged pins, gains 2^(level-1)-1, cutoff 20, mean over searches
    lift   of the engagement that an order would have earned, against the order by relevance alone: a pin's value per
           look times the discount of its place, 1 / log2(rank + 1), over the first 20; searches weighted by how often
           they are made. It is the gain, a difference, as a share of the size of what relevance alone earns: that is
           below 0 where people hide more than they save, and a ratio's sign would turn

Scales of the usual weights give the curve. From the scale with the greatest gain whose nDCG is within the tolerance,
each event's weight is then tried at half, double and none. Half of the searches choose; the other half says what the
choice is worth, with intervals (bootstrap over searches), so that what was chosen for its luck does not look good.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

import numpy as np

from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance.learning.inputs import QueryEncoder
from relevance.metrics import GAINS
from relevance.ranking import RATED_EVENTS, Doubles, RankSettings, UtilityWeights, event_weights, order_of, utility_of
from relevance.student import Student
from relevance.tuning.logged import EventValues, Material, Search, material

CUTOFF = 20
SCALES = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # of the usual weights of engagement
_FACTORS = (0.0, 0.5, 2.0)
_ROUNDS = 2
_DRAWS = 1000
_FEWEST_TO_HALVE = 20  # searches of a kind; fewer choose and judge alike, and it is said


@dataclass(frozen=True, slots=True)
class TuningSettings:
    tolerance: float = 0.01  # share of nDCG that may be given for engagement
    pairs: int = 20_000  # of the log, at most
    later: float = 0.25  # share of the log, its last, that is ranked again
    values: EventValues = field(default_factory=EventValues)
    usual: UtilityWeights = field(default_factory=UtilityWeights)
    floor: float = RankSettings().floor
    seed: int = 17

    def __post_init__(self) -> None:
        if not (0 <= self.tolerance <= 1 and 0 < self.later <= 1 and self.pairs >= 1):
            raise BadInput(
                "expected a tolerance of 0 to 1, a later share above 0 and pairs of 1 or more, found "
                f"{self.tolerance}, {self.later} and {self.pairs}"
            )


class Interval(NamedTuple):
    value: float
    low: float  # of 95 %
    high: float


class Point(NamedTuple):
    """One set of weights."""

    scale: float
    ndcg: float
    gain: float  # value earned more than by relevance alone; what is chosen by
    lift: float  # the same as a share of the size of what relevance alone earns; 0.02: two per cent more


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was found; `ndcg_lost` and `lift` are of the chosen weights against relevance alone."""

    chosen: RankSettings
    points: tuple[Point, ...]
    ndcg_lost: Interval  # share of the nDCG by relevance alone
    lift: Interval
    logged_searches: int
    judged_searches: int
    halved: bool  # whether other searches judge than chose
    earned: float  # value by relevance alone, of the searches that judge
    taught: bool | None  # whether the student learned from the judged searches; None where it does not say
    since: datetime
    eta: float
    tolerance: float


def tune(
    workspace: Workspace, settings: TuningSettings, student: Student | None = None, encoder: QueryEncoder | None = None
) -> Tuned:
    """The curve and the choice. Raises BadInput where there is no log, nothing judged, or no student."""
    found = material(workspace, settings.pairs, settings.later, settings.values, student, encoder)
    return choose_from(found, settings)


def choose_from(found: Material, settings: TuningSettings) -> Tuned:
    """As `tune`, of material that is there already. Raises BadInput where a kind of searches is absent."""
    if not found.logged or not found.judged:
        raise BadInput(
            f"expected logged searches of two pins or more and judged ones of two levels or more, found "
            f"{len(found.logged)} and {len(found.judged)}; log or judge more"
        )
    halved = min(len(found.logged), len(found.judged)) >= _FEWEST_TO_HALVE
    choosing, judging = _halves(found) if halved else (found, found)
    points = tuple(_point(choosing, scale, _scaled(settings.usual, scale)) for scale in SCALES)
    best = _refined(choosing, _best(points, settings), points[0].ndcg, settings)
    alone = _scaled(settings.usual, 0.0)
    before, after = (_ndcgs(judging.judged, weights) for weights in (alone, best))
    return Tuned(
        chosen=RankSettings(best, settings.floor),
        points=points,
        ndcg_lost=_bootstrap(before - after, before, settings.seed),  # paired: what each search loses
        lift=_lift_interval(judging.logged, best, alone, settings.seed),
        logged_searches=len(found.logged),
        judged_searches=len(found.judged),
        halved=halved,
        earned=float(_earned(judging.logged, alone).sum()),
        taught=found.taught,
        since=found.since,
        eta=found.eta,
        tolerance=settings.tolerance,
    )


def _best(points: Sequence[Point], settings: TuningSettings) -> UtilityWeights:
    least = points[0].ndcg * (1 - settings.tolerance)
    able = [point for point in points if point.ndcg >= least]
    return _scaled(settings.usual, max(able, key=lambda point: (point.gain, -point.scale)).scale)


def _refined(choosing: Material, start: UtilityWeights, ndcg: float, settings: TuningSettings) -> UtilityWeights:
    """Event by event, what gains more within the tolerance."""
    best, least = start, ndcg * (1 - settings.tolerance)
    gain = _point(choosing, 0.0, best).gain
    for _ in range(_ROUNDS):
        for event in RATED_EVENTS:
            for factor in _FACTORS:
                tried = replace(best, **{event: getattr(best, event) * factor})
                point = _point(choosing, 0.0, tried)
                if point.ndcg >= least and point.gain > gain:
                    best, gain = tried, point.gain
    return best


def _scaled(weights: UtilityWeights, scale: float) -> UtilityWeights:
    return replace(
        weights,
        click=weights.click * scale,
        long_click=weights.long_click * scale,
        save=weights.save * scale,
        hide=weights.hide * scale,
    )


def _point(found: Material, scale: float, weights: UtilityWeights) -> Point:
    alone = _scaled(weights, 0.0)
    earned, usual = _earned(found.logged, weights).sum(), _earned(found.logged, alone).sum()
    gain = float(earned - usual)
    return Point(scale, float(_ndcgs(found.judged, weights).mean()), gain, gain / abs(float(usual)) if usual else 0.0)


def _ranked(search: Search, weights: UtilityWeights) -> Doubles:
    """The search's worths in the ranking's order."""
    utility = utility_of(search.relevance, search.rates @ event_weights(weights), weights)
    order, _ = order_of(search.relevance, utility, np.ones(len(search.relevance), np.bool_))
    ranked: Doubles = search.worth[order]
    return ranked


def _discounted(values: Doubles) -> float:
    first = values[:CUTOFF]
    return float((first / np.log2(np.arange(2, len(first) + 2))).sum())


def _ndcgs(judged: Sequence[Search], weights: UtilityWeights) -> Doubles:
    gain = np.array([GAINS[level] for level in sorted(GAINS)], np.float64)
    found = []
    for search in judged:
        gains = gain[_ranked(search, weights).astype(np.int64) - 1]
        found.append(_discounted(gains) / _discounted(np.sort(gains)[::-1]))
    return np.array(found)


def _earned(logged: Sequence[Search], weights: UtilityWeights) -> Doubles:
    return np.array([search.weight * _discounted(_ranked(search, weights)) for search in logged])


def _lift_interval(logged: Sequence[Search], best: UtilityWeights, alone: UtilityWeights, seed: int) -> Interval:
    earned, usual = _earned(logged, best), _earned(logged, alone)
    return _bootstrap((earned - usual), usual, seed)


def _bootstrap(values: Doubles, sizes: Doubles, seed: int) -> Interval:
    """Σ values ÷ |Σ sizes| over searches, and its percentile interval over draws of the searches."""
    draws = np.random.default_rng(seed).integers(0, len(values), (_DRAWS, len(values)))
    total, whole = np.abs(sizes[draws].sum(axis=1)), abs(sizes.sum())
    drawn = values[draws].sum(axis=1) / np.where(total == 0, 1.0, total)
    value = values.sum() / whole if whole else 0.0
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(float(value), float(low), float(high))


def _halves(found: Material) -> tuple[Material, Material]:
    """By a hash of the query, so that a query is on one side of both kinds."""

    def side(searches: Sequence[Search], which: int) -> tuple[Search, ...]:
        return tuple(search for search in searches if zlib.crc32(search.query.encode()) % 2 == which)

    sides = [found._replace(logged=side(found.logged, i), judged=side(found.judged, i)) for i in (0, 1)]
    return sides[0], sides[1]


_KNOWN = {
    True: "; the student learned from these, which flatters its nDCG",
    False: "",
    None: "; the student does not say which queries it learned from: where from these, its nDCG is flattered",
}
_BELOW = (
    "by relevance alone these searches earn 0 or less, more hides than saves and clicks: engagement is a share of the "
    "size of that, and above 0 it is better"
)


def render(tuned: Tuned) -> str:
    """The curve and the choice as plain text."""
    lines = ["engagement's weights, times the usual    nDCG@20      lift of engagement"]
    lines += [f"{point.scale:>36g}    {point.ndcg:.4f}    {point.lift:+.2%}" for point in tuned.points]
    weights = tuned.chosen.weights
    named = ", ".join(f"{event} {getattr(weights, event):g}" for event in RATED_EVENTS)
    lost, lift = tuned.ndcg_lost, tuned.lift
    whose = "searches that did not choose them" if tuned.halved else "the searches that chose them (too few to halve)"
    lines += [
        f"chosen: relevance {weights.relevance:g}, {named}; a loss of {tuned.tolerance:.1%} of nDCG was allowed",
        f"on {whose}: nDCG lost {lost.value:.2%} [{lost.low:.2%}, {lost.high:.2%}], "
        f"engagement {lift.value:+.2%} [{lift.low:+.2%}, {lift.high:+.2%}]",
        f"{tuned.logged_searches:,} logged searches since {tuned.since:%F}, {tuned.judged_searches:,} judged ones"
        + _KNOWN[tuned.taught],
        *([_BELOW] if tuned.earned <= 0 else []),
    ]
    return "\n".join(lines)
