"""The work behind the routes: a request's engine, its deadline, its place in the queue, and its answer as JSON.

Answers are written by pydantic's own serializer on the thread that computed them, so that the event loop never holds a
thousand pins; records.py describes them to OpenAPI and to tests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from fastapi import Response
from pydantic_core import to_json

from enrich.errors import BadInput
from relevance.candidates import CANDIDATES
from relevance.explaining import explain
from relevance.online import BREAKAGES, DEADLINE, PIN, STALE, Answer, ScoredPin
from relevance.ranking import RATED_EVENTS, RankedPin, Ranking, ranked
from relevance.service.cards import Cards, with_matches
from relevance.service.gate import Gate, OutOfTime
from relevance.service.live import Engine, Found, Live
from relevance.service.logs import RequestLine
from relevance.service.meters import Meters
from relevance.service.records import (
    ExplainRequest,
    FieldText,
    InspectRequest,
    Order,
    PinCard,
    RankRequest,
    ScoreRequest,
)
from relevance.service.shadow import Shadow
from relevance.serving.deadline import answer_by

Reply = dict[str, object]  # an answer as its record in records.py describes it, on its way to JSON
_SPARE_SECONDS = 0.05  # of a deadline, kept for writing the answer; of a short one a quarter


class _Times(NamedTuple):
    """By when a request is to be scored and answered, of `time.monotonic`."""

    scored: float
    answered: float


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers requests with what is live."""

    live: Live
    gate: Gate
    meters: Meters
    deadline_ms: int
    cards: Cards | None = None  # of the workspace, where the service has one
    shadow: Shadow | None = None

    async def score(self, request: ScoreRequest, line: RequestLine) -> Response:
        engine, (scored_by, until) = self.live.engine, self._times(request.deadline_ms)

        def work() -> bytes:
            answer = answer_by(engine.scorer, request.query, request.pin_ids, scored_by, line.request_id)
            return written(answer)

        def written(answer: Answer) -> bytes:
            pins = answer.scored_pins()
            reply = self._opening(engine, answer, pins, line)
            with self._stage("write"):
                return to_json(reply | {"pins": list(map(_scored, pins))})

        return await self._timely(
            work, lambda: written(engine.scorer.unanswered(request.query, request.pin_ids)), until
        )

    async def rank(self, request: RankRequest, line: RequestLine) -> Response:
        engine, (scored_by, until) = self.live.engine, self._times(request.deadline_ms)
        _refuse_unfit(request, engine)

        def work() -> bytes:
            answer = self._candidates_by(engine, request, scored_by, line)
            return written(answer, request.engagement)

        def written(answer: Answer, engagement: Sequence[float] | None) -> bytes:
            settings = request.settings(engine.ranking)
            with self._stage("rank"):
                ranking = ranked(answer, settings, engagement, keep_unknown=request.pin_ids is not None)
            reply = self._opening(engine, answer, _all_of(ranking), line)
            with self._stage("write"):
                pins = [_ranked(pin) for pin in ranking.pins[: request.limit]]
                return to_json(reply | {"pins": pins, "below_floor": len(ranking.below_floor)})

        asked = request.pin_ids or []
        return await self._timely(
            work, lambda: written(engine.scorer.unanswered(request.query, asked), request.engagement), until
        )

    async def explain(self, request: ExplainRequest, line: RequestLine) -> Response:
        engine, until = self.live.engine, self._times(None).answered

        def work() -> bytes:
            answer = engine.scorer.answer(request.query, [request.pin_id], line.request_id)
            pins = answer.scored_pins()
            reply = self._opening(engine, answer, pins, line) | {"pin": _scored(pins[0])}
            texts: list[FieldText] = []
            card = self.cards.of([request.pin_id])[0] if self.cards else None
            if card is not None:
                texts = with_matches(card.texts, answer.query.query)
            reply |= {"texts": [text.model_dump() for text in texts]}
            if not answer.pins.present[0]:
                return to_json(reply | {"bare": pins[0].relevance, "inputs": [], "numbers": []})
            found = explain(engine.scorer.student, answer)
            return to_json(
                reply
                | {
                    "bare": found.bare,
                    "inputs": [effect._asdict() for effect in found.inputs],
                    "numbers": [effect._asdict() for effect in found.numbers],
                }
            )

        return await self._whole(work, until)

    async def inspect(self, request: InspectRequest, line: RequestLine) -> Response:
        engine, (scored_by, until) = self.live.engine, self._times(None)

        def work() -> bytes:
            answer = self._candidates_by(engine, request, scored_by, line)
            settings = request.settings(engine.ranking)
            with self._stage("rank"):
                ranking = ranked(answer, settings, keep_unknown=request.pin_ids is not None)
            langs = dict(zip(answer.pin_ids, answer.pins.langs.tolist(), strict=True))
            passed = [pin for pin in ranking.pins if _passes(pin, langs[pin.scored.pin_id], request)]
            shown = _in_order(passed, request.order)[: request.limit]
            cards = self.cards.of([pin.scored.pin_id for pin in shown]) if self.cards else [None] * len(shown)
            reply = self._opening(engine, answer, _all_of(ranking), line)
            return to_json(
                reply
                | {
                    "candidates": len(answer.pin_ids),
                    "below_floor": len(ranking.below_floor),
                    "shown": len(passed),
                    "langs": sorted(set(filter(None, langs.values()))),
                    "weights": asdict(settings.weights),
                    "floor": settings.floor,
                    "pins": [
                        _ranked(pin)
                        | {"card": _card(card, pin, answer.query.query), "pin_lang": langs[pin.scored.pin_id] or None}
                        for pin, card in zip(shown, cards, strict=True)
                    ],
                }
            )

        return await self._whole(work, until)

    def _times(self, deadline_ms: int | None) -> _Times:
        now, seconds = time.monotonic(), (deadline_ms or self.deadline_ms) / 1000
        return _Times(now + seconds - min(_SPARE_SECONDS, seconds / 4), now + seconds)

    async def _timely(self, work: Callable[[], bytes], instead: Callable[[], bytes], until: float) -> Response:
        """What `work` writes, or `instead` once the deadline is over. Raises TooBusy."""
        try:
            body = await self.gate.run(work, until)
        except OutOfTime:
            body = await asyncio.to_thread(instead)  # beside the loop, and beside the threads that are late
        return Response(body, media_type="application/json")

    async def _whole(self, work: Callable[[], bytes], until: float) -> Response:
        """What `work` writes. Raises TooBusy, OutOfTime."""
        return Response(await self.gate.run(work, until), media_type="application/json")

    def _candidates_by(
        self, engine: Engine, request: RankRequest | InspectRequest, until: float, line: RequestLine
    ) -> Answer:
        """The answer of the pins asked for, else of the service's own candidates; the query's vector counts once."""
        found = Found(request.pin_ids) if request.pin_ids is not None else self._find(engine, request)
        answer = answer_by(engine.scorer, request.query, found.pin_ids, until, line.request_id)
        return answer if found.work is None else answer._replace(work=found.work.then(answer.work))

    def _find(self, engine: Engine, request: RankRequest | InspectRequest) -> Found:
        if engine.candidates is None:
            raise BadInput("expected pin_ids: this service was started without an index of candidates")
        begun = time.perf_counter()
        found = engine.candidates(request.query, max(CANDIDATES, request.limit))
        elsewhere = sum(found.work.seconds) if found.work else 0.0  # that is, in the stages of the query's vector
        self.meters.stages.labels("candidates").observe(time.perf_counter() - begun - elsewhere)
        return found

    def _stage(self, name: str) -> AbstractContextManager[object]:
        """Counts the time of what is done within."""
        return self.meters.stages.labels(name).time()

    def _opening(self, engine: Engine, answer: Answer, pins: Sequence[ScoredPin], line: RequestLine) -> Reply:
        """What every answer begins with; counted, logged and shown to the shadow, unless its caller was answered
        without it already, by a deadline.
        """
        degraded = any(pin.degraded for pin in pins) or not BREAKAGES.isdisjoint(answer.lost)  # of no pins too
        partial = DEADLINE in answer.lost
        if line.pins is None:
            line.pins, line.model, line.degraded, line.partial = len(answer.pin_ids), engine.model, degraded, partial
            self.meters.saw(answer, pins, degraded)
            if partial:
                self.meters.partial.inc()
            elif self.shadow is not None:
                self.shadow.saw(line.request_id, engine.scorer.student, answer)
        return {
            "request_id": line.request_id,
            "query": answer.query.query,
            "model": engine.model,
            "degraded": degraded,
            "partial": partial,
        }


def _refuse_unfit(request: RankRequest, engine: Engine) -> None:
    """What `ranked` would refuse, before anything is scored. Raises BadInput."""
    if request.pin_ids is None and engine.candidates is None:
        raise BadInput("expected pin_ids: this service was started without an index of candidates")
    if request.engagement is not None and len(request.engagement) != len(request.pin_ids or ()):
        raise BadInput(
            f"expected one engagement prediction a pin of pin_ids ({len(request.pin_ids or ())}), found "
            f"{len(request.engagement)}"
        )


def _all_of(ranking: Ranking) -> list[ScoredPin]:
    return [*(pin.scored for pin in ranking.pins), *ranking.below_floor]


def _passes(pin: RankedPin, lang: str, request: InspectRequest) -> bool:
    """A pin that is not there has no input, though it names none."""
    missing = pin.scored.missing
    gone = not {PIN, STALE}.isdisjoint(missing)
    return (
        (request.lang is None or lang == request.lang)
        and (request.has is None or not (gone or request.has in missing))
        and (request.lacks is None or gone or request.lacks in missing)
    )


def _in_order(pins: Sequence[RankedPin], order: Order) -> Sequence[RankedPin]:
    """The pins, which come by utility, by `order`; ties as they stood."""
    if order is Order.UTILITY:
        return pins
    keys = [pin.scored.relevance if order is Order.RELEVANCE else pin.engagement for pin in pins]
    return [pins[i] for i in np.argsort(-np.asarray(keys, np.float64), kind="stable").tolist()]


def _scored(pin: ScoredPin) -> Reply:
    return {
        "pin_id": pin.pin_id,
        "probabilities": pin.probabilities,
        "relevance": pin.relevance,
        "missing": pin.missing,
    }


def _ranked(pin: RankedPin) -> Reply:
    return _scored(pin.scored) | {
        "rank": pin.rank,
        "engagement": pin.engagement,
        "utility": pin.utility,
        "guarded": pin.guarded,
        "rates": dict(zip(RATED_EVENTS, pin.rates, strict=True)),
        "rates_of": pin.rates_of,
    }


def _card(card: PinCard | None, pin: RankedPin, query: str) -> Reply:
    if card is None:
        card = PinCard(pin_id=pin.scored.pin_id, lang=None, link_url=None, image=None, texts=[])
    texts = [text.model_dump() for text in with_matches(card.texts, query)]
    return card.model_dump() | {"texts": texts}
