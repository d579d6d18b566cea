"""The sample catalogue's search log over two years: users, each with a query of their language and a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from data.sample_maker.chance import Floats, Rng, choose, stream
from data.sample_maker.pins import END, START
from data.sample_maker.queries import Query
from data.sample_maker.search import Engine, queries_of_languages, search
from data.sample_maker.users import User

_SEASONS = {"christmas": (11, 12), "summer": (5, 6, 7, 8)}  # months in which a style is searched three times as often


class Event(NamedTuple):
    query: str
    pin_id: str
    event: str
    position: int
    user_hash: str
    country: str
    lang: str
    event_timestamp: datetime


def make_engagements(seed: int, engine: Engine, users: list[User], searches: int) -> list[Event]:
    """The log of so many searches, by time."""
    rng = stream(seed, "log")
    of_lang = queries_of_languages(engine.queries)
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


def _season(queries: Sequence[Query], indices: Sequence[int], at: datetime) -> Floats:
    return np.array([3.0 if at.month in _SEASONS.get(queries[i].want.style or "", ()) else 1.0 for i in indices])


def _moment(rng: Rng) -> datetime:
    """A moment of the log's two years; a little more often late, and in the evening."""
    days = (END - START).days
    day = int(days * (1 - (1 - rng.random()) ** 1.1)) if rng.random() < 0.5 else int(rng.integers(days))
    hour = float(np.clip(rng.normal(19, 4.5), 0, 23.99))
    return START + timedelta(days=day, hours=hour, microseconds=int(rng.integers(10**6)))
