"""The sample catalogue's online experiment: two weeks of searches in two arms, one of them ranking a bit better."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import NamedTuple

from data.sample_maker.chance import choose, stream
from data.sample_maker.pins import START
from data.sample_maker.search import Engine, queries_of_languages, search
from data.sample_maker.users import User

EXPERIMENT_START = datetime(2026, 6, 8, tzinfo=START.tzinfo)
EXPERIMENT_DAYS = 14
TREATMENT_GAIN = 0.35  # of the relevance that the treatment arm's ranker adds to the legacy score


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


def make_experiment(
    seed: int, engine: Engine, users: list[User], sessions: int, gain: float = TREATMENT_GAIN
) -> list[ExperimentEvent]:
    """Two weeks of a two-arm experiment: "control" is the legacy ranker, "treatment" ranks by relevance a bit more.

    `gain` is the relevance that treatment's ranker adds to the legacy score; with 0 the arms are alike.
    """
    rng = stream(seed, "experiment")
    of_lang = queries_of_languages(engine.queries)
    events: list[ExperimentEvent] = []
    for session in range(sessions):
        user = choose(rng, users)
        indices, weights = of_lang[user.lang]
        arm = "treatment" if int(user.user_hash[-1], 16) % 2 else "control"
        at = EXPERIMENT_START + EXPERIMENT_DAYS * rng.random() * timedelta(days=1)
        for request in range(1 + int(rng.poisson(0.5))) if indices else ():
            query = choose(rng, indices, weights)
            asked = engine.queries[query]
            scores = engine.scores[query] + (gain * engine.relevance[query] if arm == "treatment" else 0)
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
