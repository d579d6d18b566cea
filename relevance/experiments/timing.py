"""How long models take: one request of many pins, timed again and again, arms in turn so that all share the weather.

What is timed is what a request costs beside reading the store: of a student unpacking payloads, features and
prediction; of a teacher tokens and forward passes. Kept in W/experiments/times, so that a killed experiment does not
ask again; nothing here is a benchmark of the service (benchmarks/ has those).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from relevance.experiments.remembered import remembered

_WARM = 2  # requests that do not count
_LEAST = 3  # that do, however long they take


class Times(NamedTuple):
    """Milliseconds a request."""

    p50: float
    p99: float
    requests: int


Requests = Mapping[str, Callable[[], object]]


def timed(
    room: Path, of: tuple[object, ...], requests: Callable[[], Requests], rounds: int, seconds: float
) -> dict[str, Times]:
    """Each request's times, over as many rounds as fit the seconds, `rounds` at most; `of`: what made them.

    Other seconds are measured anew: a p99 of a few requests is not that of many.

    `requests` is asked for them, and so for the models behind them, where their times are not known.
    """
    found = remembered(room, "times", (rounds, seconds, *of), lambda: _measure(requests(), rounds, seconds))
    return {
        name: Times(float(np.percentile(spent, 50)), float(np.percentile(spent, 99)), len(spent))
        for name, spent in found.items()
    }


def _measure(requests: Requests, rounds: int, seconds: float) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {name: [] for name in requests}
    end = perf_counter() + seconds
    for number in range(_WARM + rounds):
        if number >= _WARM + _LEAST and perf_counter() > end:
            break
        for name, request in requests.items():
            begun = perf_counter()
            request()
            if number >= _WARM:
                spent[name].append(1000 * (perf_counter() - begun))
    return spent
