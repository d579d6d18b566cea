"""The sample catalogue's judgments: which pairs were put before people, and what three of them said of each.

Pairs are drawn a query at a time over the true levels, from what is plausible: what the ranker liked, what shares
something with the wish. Annotators each have a leaning, a care and a share of slips; they agree on about two pairs in
three.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.sample_maker.chance import Floats, Rng, stream
from data.sample_maker.pins import END, Pin
from data.sample_maker.queries import Query
from data.sample_maker.relevance import cost, true_level

ANNOTATORS = 25
VOTES = 3
JUDGED_DAYS = 230  # the judgments' time: the last so many days before two weeks before the log's end
_PINS_AGE = timedelta(days=45)  # a pin is at least so old when it is judged
_WANTED_PER_LEVEL = {5: 2.1, 4: 2.2, 3: 2.1, 2: 1.6, 1: 1.4}  # pairs a query, on average
_PLAUSIBILITY = 0.4  # how strongly the ranker's score and what a pin shares with the wish draw pairs
_TONGUE = 2.5  # what a pin in the query's language is liked more, in units of the ranker's score


class Judgment(NamedTuple):
    query: str
    pin_id: str
    level: int
    annotator_id: str
    judged_at: datetime
    lang: str


class Annotator(NamedTuple):
    """`leaning` in levels; `spread` the standard deviation of a vote, in levels; `slips` a probability."""

    annotator_id: str
    leaning: float
    spread: float
    slips: float


class JudgedPair(NamedTuple):
    """Indices of a query and a pin, and when the pair was put before its annotators."""

    query: int
    pin: int
    at: datetime


def make_annotators(seed: int, n: int = ANNOTATORS) -> list[Annotator]:
    rng = stream(seed, "annotators")
    return [
        Annotator(
            "rater-" + hashlib.blake2b(f"{seed}/{i}".encode(), digest_size=3).hexdigest(),
            float(rng.normal(0, 0.13)),
            float(rng.uniform(0.22, 0.42)),
            float(rng.uniform(0.01, 0.05)),
        )
        for i in range(n)
    ]


def choose_pairs(
    seed: int, pins: Sequence[Pin], queries: Sequence[Query], judged: int, relevance: Floats, scores: Floats
) -> list[JudgedPair]:
    """About nine pairs of each of `judged` queries (the head always, the tail by chance)."""
    rng = stream(seed, "pairs-judged")
    head = min(judged // 3, len(queries))
    tail = rng.choice(np.arange(head, len(queries)), min(judged, len(queries)) - head, replace=False)
    pairs: list[JudgedPair] = []
    for query in (*range(head), *sorted(int(i) for i in tail)):
        at = END - timedelta(days=14 + JUDGED_DAYS * float(rng.random()), microseconds=int(rng.integers(10**6)))
        asked = queries[query]
        likely = np.array([_TONGUE * (pin.lang == asked.lang) - cost(asked.want, pin) for pin in pins])
        old_enough = np.array([pin.created_at < at - _PINS_AGE for pin in pins])
        chosen = _pairs_of(rng, true_level(relevance[query]), scores[query] + likely, old_enough)
        pairs.extend(JudgedPair(query, pin, at) for pin in chosen)
    return pairs


def _pairs_of(rng: Rng, levels: NDArray[np.int64], plausible: Floats, allowed: NDArray[np.bool_]) -> list[int]:
    chosen: list[int] = []
    for level, mean in _WANTED_PER_LEVEL.items():
        candidates = np.flatnonzero((levels == level) & allowed)
        n = min(int(mean) + int(rng.random() < mean % 1), len(candidates))
        if n:
            weights = np.exp(_PLAUSIBILITY * (plausible[candidates] - plausible[candidates].max()))
            chosen.extend(int(pin) for pin in rng.choice(candidates, n, replace=False, p=weights / weights.sum()))
    return chosen


def vote(rng: Rng, annotator: Annotator, relevance: float) -> int:
    """The annotator's level of a pair: the truth, leaning and noise, or a slip to any level."""
    if rng.random() < annotator.slips:
        return 1 + int(rng.integers(5))
    seen = np.clip(relevance, 0.8, 5.2) + annotator.leaning + rng.normal(0, annotator.spread)
    return int(np.clip(np.floor(seen + 0.5), 1, 5))


def make_judgments(
    seed: int, pins: Sequence[Pin], queries: Sequence[Query], pairs: Sequence[JudgedPair], relevance: Floats
) -> list[Judgment]:
    """Three votes a pair, by different annotators within two days, by time."""
    rng = stream(seed, "judgments")
    annotators = make_annotators(seed)
    judgments: list[Judgment] = []
    for pair in pairs:
        query = queries[pair.query]
        for i in rng.choice(len(annotators), VOTES, replace=False):
            at = pair.at + timedelta(hours=float(rng.exponential(8.0)), microseconds=int(rng.integers(10**6)))
            level = vote(rng, annotators[i], float(relevance[pair.query, pair.pin]))
            judgments.append(
                Judgment(query.text, pins[pair.pin].pin_id, level, annotators[i].annotator_id, at, query.lang)
            )
    return sorted(judgments, key=lambda judgment: judgment.judged_at)
