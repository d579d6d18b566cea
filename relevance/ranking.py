"""Ranking: relevance and engagement combined by stated weights, with a floor and a guard.

Reads a `Scorer`'s answer, whose payloads hold the smoothed rates; writes nothing (`relevance rank`).

    utility = relevance weight · (expected level - 1) / 4  +  Σ event weight · smoothed rate of the event

The query's own rate of a pin is taken where there is one, else the pin's over a year, else the mean of the candidates
that have one (so that nothing is gained or lost by being new). A caller's own engagement predictions replace the sum.
The guard: whatever the weights, a pin of level 1 or 2 (expected below 2.5) stands below every one of level 4 or 5
(expected 3.5 or more) among the candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrich.errors import BadInput
from enrich.pin_payload import ENGAGEMENT_COLUMNS
from enrich.query_payload import PAIR_COLUMNS
from enrich.tables import LEVELS
from relevance.features import Bools, Floats
from relevance.online import CORRUPT, PIN, UNREAD, Answer, ScoredPin, Scorer

Doubles = NDArray[np.float64]
Ints8 = NDArray[np.int8]

RATED_EVENTS = ("click", "long_click", "save", "hide")  # of whose smoothed rates the utility is made
_PAIR_RATES = [PAIR_COLUMNS.index(f"{event}_rate_365d") for event in RATED_EVENTS]
_PIN_RATES = [ENGAGEMENT_COLUMNS.index(f"{event}_rate_365d") for event in RATED_EVENTS]
_GREATEST = 1e6  # of a weight; far beyond, utilities would not be told apart
LOW, HIGH = 2.5, 3.5  # expected levels below which a pin is of level 1-2, and from which of level 4-5


@dataclass(frozen=True, slots=True)
class UtilityWeights:
    """What each part of the utility is worth."""

    relevance: float = 1.0  # of (expected level - 1) / 4
    click: float = 0.1  # of clicks per impression, and so on
    long_click: float = 0.3
    save: float = 0.4
    hide: float = -0.8
    caller: float = 0.3  # of the caller's own engagement predictions, where they are given

    def __post_init__(self) -> None:
        values = (self.relevance, self.click, self.long_click, self.save, self.hide, self.caller)
        if not all(_is_number(value) and abs(value) <= _GREATEST for value in values) or self.relevance < 0:
            raise BadInput(
                f"expected weights as numbers of at most {_GREATEST:g} in size, and a relevance weight of 0 or more, "
                f"found {values}"
            )


def _is_number(value: object) -> bool:
    """Of Python's or NumPy's kinds; True is none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class RankSettings:
    weights: UtilityWeights = field(default_factory=UtilityWeights)
    floor: float = 1.5  # expected level below which a pin is left out, unless it could not be read; 1 ranks all

    def __post_init__(self) -> None:
        if not LEVELS[0] <= self.floor <= LEVELS[-1]:
            raise BadInput(f"expected a relevance floor of {LEVELS[0]} to {LEVELS[-1]}, found {self.floor}")


class RatesOf(StrEnum):
    """Whose smoothed rates a pin's engagement was taken from."""

    PAIR = "pair"  # the query's own of the pin
    PIN = "pin"  # the pin's, over all queries
    MEAN = "mean"  # of the candidates that have any; nothing is known of this one


class RankedPin(NamedTuple):
    rank: int  # from 1
    scored: ScoredPin
    engagement: float  # the utility's second part
    utility: float
    guarded: bool  # its utility would have put it above a pin of level 4 or 5
    rates: tuple[float, float, float, float]  # of RATED_EVENTS, per impression; used unless the caller predicted
    rates_of: RatesOf


class Ranking(NamedTuple):
    query: str
    pins: tuple[RankedPin, ...]  # best first
    below_floor: tuple[ScoredPin, ...]  # not ranked


def rank(
    scorer: Scorer,
    query: str,
    pin_ids: Sequence[str],
    settings: RankSettings | None = None,
    engagement: Sequence[float] | None = None,
    keep_unknown: bool = True,
) -> Ranking:
    """The pins by utility, each at most once; ties by relevance, then in the order given.

    `engagement`: the caller's predictions, one a pin, instead of the built-in rates. `keep_unknown` false leaves out
    pins that the store does not have, as candidates of an older index may be by now; those that it has and cannot give,
    damaged or because it is lost or empty, are kept. Raises BadInput when the predictions are not one finite number a
    pin.
    """
    return ranked(scorer.answer(query, pin_ids), settings, engagement, keep_unknown)


def ranked(
    answer: Answer,
    settings: RankSettings | None = None,
    engagement: Sequence[float] | None = None,
    keep_unknown: bool = True,
) -> Ranking:
    """As `rank`, of an answer that is there already."""
    settings = settings or RankSettings()
    first = _first_of_each(answer.pin_ids)
    rates, source = event_rates(answer, first)
    if engagement is None:
        engaged = rates @ event_weights(settings.weights)
    else:
        engaged = _callers(engagement, len(answer.pin_ids), settings)
    relevance = answer.relevance.astype(np.float64)
    utility = utility_of(relevance, engaged, settings.weights)
    scored = answer.scored_pins()
    if not keep_unknown and not answer.lost_pins:
        first &= np.fromiter((not _is_unknown(pin) for pin in scored), np.bool_, len(scored))
    unread = np.fromiter(map(_is_unread, scored), np.bool_, len(scored))
    shown = first & (unread | (relevance >= settings.floor))
    order, guarded = order_of(relevance, utility, shown)
    pins = tuple(
        RankedPin(
            place,
            scored[i],
            float(engaged[i]),
            float(utility[i]),
            bool(guarded[i]),
            (float(rates[i, 0]), float(rates[i, 1]), float(rates[i, 2]), float(rates[i, 3])),
            _SOURCES[source[i]],
        )
        for place, i in enumerate(order.tolist(), start=1)
    )
    return Ranking(answer.query.query, pins, tuple(scored[i] for i in np.flatnonzero(first & ~shown)))


def utility_of(relevance: Doubles, engagement: Floats | Doubles, weights: UtilityWeights) -> Doubles:
    """Of pins with these expected levels [n] and weighted engagement [n]; [n]."""
    utility: Doubles = weights.relevance * (relevance - LEVELS[0]) / (LEVELS[-1] - LEVELS[0]) + engagement
    return utility


def event_weights(weights: UtilityWeights) -> Floats:
    """What a rate of each of RATED_EVENTS is worth; [4]."""
    return np.array([weights.click, weights.long_click, weights.save, weights.hide], np.float32)


def event_rates(answer: Answer, first: Bools) -> tuple[Floats, Ints8]:
    """The rates of RATED_EVENTS that each pin is ranked by, [n, 4], and the place of their source in RatesOf, [n].

    `first` [n]: where a pin stands for the first time; the mean counts it once.
    """
    return rates_known(answer.rates, answer.has_rates, answer.pins.engagement, answer.pins.has_engagement, first)


def rates_known(
    pair: Floats, has_pair: Bools, pin: Floats, has_pin: Bools, counted: Bools | None = None
) -> tuple[Floats, Ints8]:
    """As `event_rates`, of columns as payloads hold them: `pair` [n, PAIR_COLUMNS], `pin` [n, ENGAGEMENT_COLUMNS].

    The mean is of the rows `counted`, None for all.
    """
    rates = np.where(has_pair[:, None], pair[:, _PAIR_RATES], pin[:, _PIN_RATES])
    source = np.where(has_pair, 0, np.where(has_pin, 1, 2)).astype(np.int8)
    known = source != 2 if counted is None else (source != 2) & counted
    rates[source == 2] = rates[known].mean(axis=0) if known.any() else 0.0
    return rates, source


_SOURCES = tuple(RatesOf)


def _is_unknown(pin: ScoredPin) -> bool:
    """Whether the store has nothing of it; a damaged payload is something."""
    return PIN in pin.missing and CORRUPT not in pin.missing


def _is_unread(pin: ScoredPin) -> bool:
    """Whether its level is the prior's because it could not be read."""
    return PIN in pin.missing and not UNREAD.isdisjoint(pin.missing)


def _first_of_each(pin_ids: Sequence[str]) -> Bools:
    """Where each pin stands for the first time; [n]."""
    first = np.zeros(len(pin_ids), np.bool_)
    first[list({pin: place for place, pin in reversed(list(enumerate(pin_ids)))}.values())] = True
    return first


def order_of(relevance: Doubles, utility: Doubles, shown: Bools) -> tuple[NDArray[np.intp], Bools]:
    """Places of the shown pins, best first, and which of them the guard held back."""
    low, high = shown & (relevance < LOW), shown & (relevance >= HIGH)
    ceiling = utility[high].min() if high.any() else np.inf
    guarded = low & (utility >= ceiling)
    capped = np.where(guarded, np.nextafter(ceiling, -np.inf), utility) if high.any() else utility
    order = np.lexsort((-relevance, -utility, guarded, -capped))
    return order[shown[order]], guarded


def _callers(engagement: Sequence[float], pins: int, settings: RankSettings) -> Floats:
    try:
        values = np.asarray(engagement, np.float32)
    except (TypeError, ValueError) as error:
        raise BadInput(f"expected engagement predictions as numbers, found others ({error})") from error
    if values.shape != (pins,):
        raise BadInput(f"expected one engagement prediction a pin ({pins}), found shape {list(values.shape)}")
    if not (np.abs(values) <= _GREATEST).all():
        raise BadInput(f"expected engagement predictions of at most {_GREATEST:g} in size, found one beyond, or nan")
    return settings.weights.caller * values
