"""Why a pin got its score: what each of its inputs, and each number that the student reads, did to the expected level.

Pure, on a `Student` and one pin of an `Answer`; `relevance serve` answers POST /explain with it.

    inputs    Shapley values over what is known of the pin (its texts, vectors, engagement and the query's own rates of
              it): exact, by scoring every combination of them, at most 2^11. With `bare`, the level of the pin of which
              nothing is known, they add up to the level it has. Title, description and caption share their trigrams,
              which go with the last of them: what these three say together by parts of words is split among them.
    numbers   what the level would lose were one number the training mean; these overlap, and do not add up.
"""

from __future__ import annotations

from dataclasses import replace
from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrich.tables import LEVELS
from relevance import pin_rows
from relevance.features import PAIR_FEATURES, Features, Floats
from relevance.online import Answer
from relevance.pin_rows import Bools
from relevance.student import Student

_LEAST_EFFECT = 0.001  # levels; a number of less effect is not listed


class InputEffect(NamedTuple):
    input: str  # of pin_rows.INPUTS
    effect: float  # levels


class NumberEffect(NamedTuple):
    name: str  # of features.PAIR_FEATURES
    value: float  # as the student reads it, before normalisation
    usual: float  # the mean in training
    effect: float  # levels


class Explanation(NamedTuple):
    level: float  # expected level of the pin
    bare: float  # of the pin without any of its inputs
    inputs: tuple[InputEffect, ...]  # of those that are known, greatest effect first
    numbers: tuple[NumberEffect, ...]  # greatest effect first


def explain(student: Student, answer: Answer, row: int = 0) -> Explanation:
    """Of the answer's pin at `row`, which must be present."""
    one = answer.at(np.array([row]))
    known = np.flatnonzero(~np.append(pin_rows.absent_inputs(one.pins)[0], ~one.has_rates[0]))
    kept = _combinations(len(known))
    levels = _levels_keeping(student, one, known, kept)
    values = shapley(levels, kept)
    inputs = [InputEffect(pin_rows.INPUTS[i], float(value)) for i, value in zip(known, values, strict=True)]
    inputs.sort(key=lambda effect: -abs(effect.effect))
    return Explanation(float(levels[-1]), float(levels[0]), tuple(inputs), _numbers(student, one))


def shapley(values: NDArray[np.float64], kept: Bools) -> NDArray[np.float64]:
    """Each of k players' mean contribution over all orders of arrival (Shapley 1953); [k].

    `values` [2^k] is what each combination is worth, `kept` [2^k, k] who is in it, counted in binary: player i is in
    combination c where bit i of c is set.
    """
    players = kept.shape[1]
    size = kept.sum(axis=1)
    weights = np.array([factorial(s) * factorial(players - s - 1) / factorial(players) for s in range(players)])
    found = np.zeros(players)
    for i in range(players):
        without = np.flatnonzero(~kept[:, i])
        found[i] = (weights[size[without]] * (values[without + (1 << i)] - values[without])).sum()
    return found


def _combinations(players: int) -> Bools:
    """[2^players, players]; row c holds the bits of c."""
    bits: Bools = (np.arange(1 << players)[:, None] >> np.arange(players)) & 1 == 1
    return bits


def _levels_keeping(student: Student, one: Answer, known: NDArray[np.intp], kept: Bools) -> NDArray[np.float64]:
    """The expected level with each combination of the known inputs; [len(kept)]."""
    dropped = np.zeros((len(kept), len(pin_rows.INPUTS)), np.bool_)
    dropped[:, known] = ~kept
    many = np.zeros(len(kept), np.int64)
    pins = pin_rows.without(pin_rows.take(one.pins, many), dropped[:, :-1])
    has_rates = one.has_rates[many] & ~dropped[:, -1]
    return _levels(student, student.features(one.query, pins, one.rates[many] * has_rates[:, None], has_rates))


def _numbers(student: Student, one: Answer) -> tuple[NumberEffect, ...]:
    features = student.features(one.query, one.pins, one.rates, one.has_rates)
    usual = student.network.number_mean.numpy()
    numbers = np.repeat(features.numbers, 1 + len(PAIR_FEATURES), axis=0)
    numbers[np.arange(1, len(numbers)), np.arange(len(PAIR_FEATURES))] = usual
    levels = _levels(student, _with_numbers(features, numbers))
    effects = [
        NumberEffect(name, float(features.numbers[0, i]), float(usual[i]), float(levels[0] - levels[1 + i]))
        for i, name in enumerate(PAIR_FEATURES)
    ]
    kept = [effect for effect in effects if abs(effect.effect) >= _LEAST_EFFECT]
    return tuple(sorted(kept, key=lambda effect: -abs(effect.effect)))


def _with_numbers(features: Features, numbers: Floats) -> Features:
    n = len(numbers)
    return replace(
        features,
        query_of=np.zeros(n, np.int64),
        text=np.repeat(features.text, n, axis=0),
        visual=np.repeat(features.visual, n, axis=0),
        graph=np.repeat(features.graph, n, axis=0),
        numbers=numbers,
    )


def _levels(student: Student, features: Features) -> NDArray[np.float64]:
    levels: NDArray[np.float64] = student.predict(features).astype(np.float64) @ np.asarray(LEVELS, np.float64)
    return levels
