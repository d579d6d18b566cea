"""The whole sample catalogue in memory: every part made in turn, each from the latent truth and those before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from data.sample_maker.boards import Board, Save, make_boards, make_saves
from data.sample_maker.chance import stream
from data.sample_maker.engagements import Event, make_engagements
from data.sample_maker.experiment import ExperimentEvent, make_experiment
from data.sample_maker.judgments import JudgedPair, Judgment, choose_pairs, make_judgments
from data.sample_maker.pages import Web, make_web
from data.sample_maker.pins import Pin, make_pins
from data.sample_maker.queries import Query, make_queries
from data.sample_maker.ranker import legacy_scores, text_match
from data.sample_maker.relevance import relevance_matrix
from data.sample_maker.search import Engine
from data.sample_maker.settings import SampleSettings
from data.sample_maker.texts import PinTexts, make_texts
from data.sample_maker.users import User, make_users


class World(NamedTuple):
    """Everything of one sample before it is written. `engine.relevance` and the wants are latent."""

    pins: list[Pin]
    texts: list[PinTexts]
    users: list[User]
    boards: list[Board]
    saves: list[Save]
    queries: list[Query]
    engine: Engine
    log: list[Event]
    experiment: list[ExperimentEvent]
    judged: list[JudgedPair]
    judgments: list[Judgment]
    web: Web


def make_world(settings: SampleSettings) -> World:
    """The whole of it but for pictures and pages' bytes, the same for the same settings."""
    seed = settings.seed
    pins = make_pins(seed, settings.pins)
    texts = make_texts(seed, pins)
    users = make_users(seed, settings.number(settings.users_per_pin))
    boards = make_boards(seed, users, settings.number(settings.boards_per_pin))
    saves = make_saves(seed, boards, pins)
    queries = make_queries(seed, pins, settings.number(settings.queries_per_pin))
    relevance = relevance_matrix(seed, [query.want for query in queries], pins)
    matched = text_match([query.text for query in queries], _documents(pins, texts, boards, saves))
    langs = [query.lang for query in queries]
    engine = Engine.of(pins, queries, legacy_scores(stream(seed, "ranker"), matched, relevance, pins, langs), relevance)
    log = make_engagements(seed, engine, users, settings.number(settings.searches_per_pin))
    experiment = make_experiment(seed, engine, users, settings.number(settings.experiment_sessions_per_pin))
    judged = choose_pairs(seed, pins, queries, settings.number(settings.judged_per_pin), relevance, engine.scores)
    judgments = make_judgments(seed, pins, queries, judged, relevance)
    web = make_web(seed, pins)
    return World(pins, texts, users, boards, saves, queries, engine, log, experiment, judged, judgments, web)


def _documents(
    pins: Sequence[Pin], texts: Sequence[PinTexts], boards: Sequence[Board], saves: Sequence[Save]
) -> list[str]:
    """What the legacy ranker reads of each pin: title, description, the titles of its boards."""
    title_of = {board.board_id: board.title for board in boards}
    saved_under: dict[str, list[str]] = defaultdict(list)
    for save in saves:
        saved_under[save.pin_id].append(title_of[save.board_id])
    return [
        " ".join([text.title or "", text.description or "", *saved_under[pin.pin_id]])
        for pin, text in zip(pins, texts, strict=True)
    ]
