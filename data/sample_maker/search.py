"""One search of the sample catalogue: which pins the legacy ranker shows, and what it leaves in a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.sample_maker.chance import Floats, Rng, choose
from data.sample_maker.pins import Pin
from data.sample_maker.queries import Query
from data.sample_maker.ranker import Reactions, appeal, reactions
from data.sample_maker.vocabulary import LANGUAGES

_POOL = 30  # results from which a search's page is drawn
_SEARCH_NOISE = 0.55  # of the score, a search: personalisation, freshness, chance
_DEPTHS = (4, 5, 5, 6, 6, 7, 8, 9)  # results that came into view
_DELAYS = (3.0, 25.0, 6.0, 2.0)  # seconds, on average, before a click, long click, save, hide

QueriesOfLanguage = tuple[list[int], Floats]  # their indices and weights


@dataclass(frozen=True, slots=True)
class Engine:
    """What a search needs: the pins, how the ranker scores them and how relevant they truly are, [queries, pins]."""

    pins: Sequence[Pin]
    queries: Sequence[Query]
    scores: Floats
    relevance: Floats
    charm: Floats
    created: NDArray[np.datetime64]

    @classmethod
    def of(cls, pins: Sequence[Pin], queries: Sequence[Query], scores: Floats, relevance: Floats) -> Engine:
        created = np.array([pin.created_at.replace(tzinfo=None) for pin in pins], "datetime64[us]")
        return cls(pins, queries, scores, relevance, appeal(pins), created)

    def shown(self, rng: Rng, query: int, at: datetime, scores: Floats) -> NDArray[np.int64]:
        """The pins that a search shows, best first; only those that exist by then."""
        pool = np.argpartition(-scores, min(_POOL, len(scores) - 1))[:_POOL]
        pool = pool[self.created[pool] < np.datetime64(at.replace(tzinfo=None), "us")]
        noisy = scores[pool] + rng.normal(0, _SEARCH_NOISE, len(pool))
        best: NDArray[np.int64] = pool[np.argsort(-noisy)][: choose(rng, _DEPTHS)]
        return best


class Reaction(NamedTuple):
    pin_id: str
    position: int
    event: str
    at: datetime


def search(rng: Rng, engine: Engine, query: int, at: datetime, scores: Floats) -> Iterator[Reaction]:
    """What one search leaves in the log: an impression a result, and what the user did."""
    shown = engine.shown(rng, query, at, scores)
    happened = reactions(rng, engine.relevance[query, shown], engine.charm[shown])
    lingering = at
    for rank, pin in enumerate(shown):
        pin_id = engine.pins[pin].pin_id
        yield Reaction(pin_id, rank + 1, "impression", at + timedelta(microseconds=rank))
        for event, done, delay in zip(Reactions._fields, happened, _DELAYS, strict=True):
            if done[rank]:
                lingering += timedelta(seconds=1 + float(rng.exponential(delay)))
                yield Reaction(pin_id, rank + 1, event, lingering)


def queries_of_languages(queries: Sequence[Query]) -> dict[str, QueriesOfLanguage]:
    """Of each language, its queries' places and how often they are asked."""
    found: dict[str, list[int]] = {lang: [] for lang in LANGUAGES}
    for i, query in enumerate(queries):
        found[query.lang].append(i)
    return {lang: (rows, np.array([queries[i].weight for i in rows])) for lang, rows in found.items()}
