"""The sample catalogue's search log over two years, and a small log of an online experiment, both simulated.

A search is a user, a query of the user's language and a moment; the ranker shows some results, and `ranker.py`
says what the user does with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.sample_maker.chance import Floats, Rng, choose, stream
from data.sample_maker.queries import Query
from data.sample_maker.ranker import appeal, reactions
from data.sample_maker.truth import END, START, Pin
from data.sample_maker.users import User
from data.sample_maker.vocabulary import LANGUAGES

_POOL = 30  # results from which a search's page is drawn
_SEARCH_NOISE = 0.55  # of the score, a search: personalisation, freshness, chance
_DEPTHS = (4, 5, 5, 6, 6, 7, 8, 9)  # results that came into view
_SEASONS = {"christmas": (11, 12), "summer": (5, 6, 7, 8)}  # months in which a style is searched three times as often
EXPERIMENT_START = datetime(2026, 6, 8, tzinfo=START.tzinfo)
EXPERIMENT_DAYS = 14
_TREATMENT_GAIN = 0.35  # of the relevance that the treatment arm's ranker adds to the legacy score

QueriesOfLanguage = tuple[list[int], Floats]  # their indices and weights


class Event(NamedTuple):
    query: str
    pin_id: str
    event: str
    position: int
    user_hash: str
    country: str
    lang: str
    event_timestamp: datetime


class ExperimentEvent(NamedTuple):
    request_id: str
    session_id: str
    user_hash: str
    arm: str
    country: str
    lang: str
    query: str
    pin_id: str
    position: int
    event: str
    event_timestamp: datetime


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
        for event, delay in (("click", 3.0), ("long_click", 25.0), ("save", 6.0), ("hide", 2.0)):
            if happened[event][rank]:
                lingering += timedelta(seconds=1 + float(rng.exponential(delay)))
                yield Reaction(pin_id, rank + 1, event, lingering)


def make_engagements(seed: int, engine: Engine, users: list[User], searches: int) -> list[Event]:
    """The log of so many searches, by time."""
    rng = stream(seed, "log")
    of_lang = _queries_of_languages(engine.queries)
    activity = np.cumsum([user.activity for user in users])
    events: list[Event] = []
    for _ in range(searches):
        user = users[min(int(np.searchsorted(activity, rng.random() * activity[-1])), len(users) - 1)]
        indices, weights = of_lang[user.lang]
        if not indices:
            continue
        at = _moment(rng)
        query = choose(rng, indices, weights * _season(engine.queries, indices, at))
        asked = engine.queries[query]
        events.extend(
            Event(asked.text, done.pin_id, done.event, done.position, user.user_hash, user.country, asked.lang, done.at)
            for done in search(rng, engine, query, at, engine.scores[query])
        )
    return sorted(events, key=lambda event: event.event_timestamp)


def _queries_of_languages(queries: Sequence[Query]) -> dict[str, QueriesOfLanguage]:
    found: dict[str, list[int]] = {lang: [] for lang in LANGUAGES}
    for i, query in enumerate(queries):
        found[query.lang].append(i)
    return {lang: (rows, np.array([queries[i].weight for i in rows])) for lang, rows in found.items()}


def _season(queries: Sequence[Query], indices: Sequence[int], at: datetime) -> Floats:
    return np.array([3.0 if at.month in _SEASONS.get(queries[i].want.style or "", ()) else 1.0 for i in indices])


def _moment(rng: Rng) -> datetime:
    """A moment of the log's two years; a little more often late, and in the evening."""
    days = (END - START).days
    day = int(days * (1 - (1 - rng.random()) ** 1.1)) if rng.random() < 0.5 else int(rng.integers(days))
    hour = float(np.clip(rng.normal(19, 4.5), 0, 23.99))
    return START + timedelta(days=day, hours=hour, microseconds=int(rng.integers(10**6)))


def make_experiment(seed: int, engine: Engine, users: list[User], sessions: int) -> list[ExperimentEvent]:
    """Two weeks of a two-arm experiment: "control" is the legacy ranker, "treatment" ranks by relevance a bit more."""
    rng = stream(seed, "experiment")
    of_lang = _queries_of_languages(engine.queries)
    events: list[ExperimentEvent] = []
    for session in range(sessions):
        user = choose(rng, users)
        indices, weights = of_lang[user.lang]
        arm = "treatment" if int(user.user_hash[-1], 16) % 2 else "control"
        at = EXPERIMENT_START + EXPERIMENT_DAYS * rng.random() * timedelta(days=1)
        for request in range(1 + int(rng.poisson(0.5))) if indices else ():
            query = choose(rng, indices, weights)
            asked = engine.queries[query]
            scores = engine.scores[query] + (_TREATMENT_GAIN * engine.relevance[query] if arm == "treatment" else 0)
            names = (_id(seed, "request", session, request), _id(seed, "session", session, 0), user.user_hash, arm)
            asking = (user.country, asked.lang, asked.text)
            events.extend(
                ExperimentEvent(*names, *asking, done.pin_id, done.position, done.event, done.at)
                for done in search(rng, engine, query, at, scores)
            )
            at += timedelta(seconds=40 + float(rng.exponential(90)))
    return sorted(events, key=lambda event: (event.event_timestamp, event.request_id, event.position, event.event))


def _id(seed: int, kind: str, session: int, request: int) -> str:
    return hashlib.blake2b(f"{seed}/{kind}/{session}/{request}".encode(), digest_size=8).hexdigest()
