"""The HTTP service: scores, rankings and explanations over JSON, and the page that inspects them.

    POST /score     {"query": ..., "pin_ids": [...]}                    -> five probabilities and expected level a pin
    POST /rank      {"query": ..., "pin_ids": [...] or absent, ...}     -> pins by utility, best first
    POST /explain   {"query": ..., "pin_id": ...}                       -> which inputs moved the score, texts, missing
    GET  /pins/ID   what the catalogue says of a pin, and whence        GET /pins/ID/image   its picture, small
    GET  /          the inspector page; POST /inspect and /teacher are its own
    GET  /healthz   the process answers      GET /readyz  the store answers; versions of model, features and code
    GET  /metrics   Prometheus               GET /openapi.json   all of these, described

Where keys are asked for, all but /, /healthz, /readyz and the page's own files need one. A request that is no good is a
4xx with {"error": one line}; a full queue is a 429 with Retry-After; whatever is missing behind the service is a 200
whose answers are flagged, or whose cards are empty. guard.py stands before all of it, desk.py does the work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

import enrich
from enrich.errors import BadInput
from relevance.service.asked_teacher import AskedTeacher
from relevance.service.cards import Cards
from relevance.service.desk import Desk
from relevance.service.gate import Gate, OutOfTime, TooBusy
from relevance.service.guard import LINE, OPEN, Guard
from relevance.service.inspector import add_inspector, add_teacher
from relevance.service.keys import ApiKeys
from relevance.service.live import Live
from relevance.service.logs import RequestLine
from relevance.service.meters import Meters
from relevance.service.pictures import Pictures
from relevance.service.records import (
    ExplainAnswer,
    ExplainRequest,
    InspectAnswer,
    InspectRequest,
    Problem,
    RankAnswer,
    RankRequest,
    Readiness,
    ScoreAnswer,
    ScoreRequest,
)
from relevance.service.settings import ServiceSettings
from relevance.service.shadow import Shadow

_LOOKS_AT_ONCE, _LOOKS_WAITING = 2, 400  # a page asks for all its pictures at once
_TEACHER_AT_ONCE, _TEACHER_WAITING = 1, 16  # questions of seconds each
_LONGEST_ERROR = 500  # characters; a field's name may be the caller's own
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": said}
    for status, said in (
        (400, "no JSON"),
        (401, "no API key that is known, where keys are asked for"),
        (408, "a body that came too slowly"),
        (411, "a body in chunks"),
        (413, "a body that is too long"),
        (422, "a body that is no such request"),
        (429, "too many requests wait already; Retry-After says how many seconds to wait"),
    )
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What an app is made of; the engine alone is enough."""

    live: Live
    settings: ServiceSettings = field(default_factory=ServiceSettings)
    meters: Meters = field(default_factory=Meters)
    keys: ApiKeys | None = None
    cards: Cards | None = None
    pictures: Pictures | None = None
    teacher: AskedTeacher | None = None
    shadow: Shadow | None = None


def create_app(parts: Parts) -> FastAPI:
    """The service around its parts."""
    gate = Gate(parts.settings.threads, parts.settings.waiting, parts.meters.waiting.set)
    looks, lessons = Gate(_LOOKS_AT_ONCE, _LOOKS_WAITING), Gate(_TEACHER_AT_ONCE, _TEACHER_WAITING)
    desk = Desk(parts.live, gate, parts.meters, parts.settings.deadline_ms, parts.cards, parts.shadow)
    app = FastAPI(
        title="Corkboard relevance",
        version=enrich.__version__,
        description="Graded search relevance of pins: levels 1 (highly irrelevant) to 5 (highly relevant).",
        lifespan=partial(_lifespan, parts, (gate, looks, lessons)),
        responses=_PROBLEMS,
        docs_url=None,  # FastAPI's pages load their scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(Guard, meters=parts.meters, keys=parts.keys, body_seconds=parts.settings.body_seconds)
    _handle_errors(app, parts.meters)
    _add_answers(app, desk)
    _add_health(app, parts)
    if parts.keys is not None:
        _describe_keys(app)
    add_inspector(app, looks, parts.live, parts.cards, parts.pictures, parts.settings.deadline_ms)
    add_teacher(app, lessons, parts.teacher)
    return app


@asynccontextmanager
async def _lifespan(parts: Parts, gates: tuple[Gate, ...], _: FastAPI) -> AsyncIterator[None]:
    """Watch for another model, run the shadow; at the end let what was begun end."""
    _show_version(parts)
    for gate in gates:
        gate.open()
    if parts.shadow is not None:
        parts.shadow.start()
    if parts.settings.reload_seconds:
        parts.live.watch(parts.settings.reload_seconds, partial(_reloaded, parts))
    yield
    parts.live.stop()
    for gate in gates:
        gate.close()
    if parts.shadow is not None:
        parts.shadow.stop()


def _reloaded(parts: Parts, done: bool) -> None:
    parts.meters.reloads.labels("done" if done else "failed").inc()
    if done:
        _show_version(parts)


def _show_version(parts: Parts) -> None:
    """One process more with this version; of the one before, one less."""
    engine = parts.live.engine
    parts.meters.show_version(engine.model, engine.features or "", enrich.__version__)


def _line(request: Request) -> RequestLine:
    line: RequestLine = getattr(request.state, LINE)
    return line


def _add_answers(app: FastAPI, desk: Desk) -> None:
    @app.post("/score", response_model=ScoreAnswer)
    async def score(body: ScoreRequest, request: Request) -> Response:
        """Five probabilities and an expected level a pin, in the order asked."""
        return await desk.score(body, _line(request))

    @app.post("/rank", response_model=RankAnswer)
    async def rank(body: RankRequest, request: Request) -> Response:
        """Pins by relevance and engagement, best first."""
        return await desk.rank(body, _line(request))

    @app.post("/explain", response_model=ExplainAnswer)
    async def explain(body: ExplainRequest, request: Request) -> Response:
        """Which inputs moved this score, which were missing, and the texts behind it."""
        return await desk.explain(body, _line(request))

    @app.post("/inspect", response_model=InspectAnswer)
    async def inspect(body: InspectRequest, request: Request) -> Response:
        """Candidates as cards, for the inspector page."""
        return await desk.inspect(body, _line(request))


def _add_health(app: FastAPI, parts: Parts) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
    def readyz(response: Response) -> Readiness:
        """503 while the online store does not answer or holds nothing of what was loaded into it."""
        engine, fault = parts.live.engine, parts.live.fault
        ready = engine.scorer.ready()
        response.status_code = 200 if ready else 503
        return Readiness(
            status="ready" if ready else "degraded",
            reasons=[
                *(["the online store is lost, was emptied, or was never loaded"] if not ready else []),
                *engine.fit.reasons,
                *([f"what changed cannot be loaded, the old stays: {fault}"] if fault else []),
            ],
            model=engine.model,
            features=engine.features,
            shadow=parts.shadow.model if parts.shadow else None,
            corkboard=enrich.__version__,
        )

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        return Response(parts.meters.page(), media_type=CONTENT_TYPE_LATEST)


def _describe_keys(app: FastAPI) -> None:
    """Say in /openapi.json how a key is sent and where none is needed; guard.py is what asks for it."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        described = plain()
        described["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        described["security"] = [{"key": []}, {"bearer": []}]
        for path in OPEN & set(described["paths"]):
            for operation in described["paths"][path].values():
                operation["security"] = []
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's own documentation does


def _handle_errors(app: FastAPI, meters: Meters) -> None:
    """Every error as one line."""

    @app.exception_handler(BadInput)
    async def bad_input(_: Request, error: BadInput) -> JSONResponse:
        return JSONResponse({"error": str(error)[:_LONGEST_ERROR]}, status_code=422)

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        sent = request.headers.get("content-type", "none")
        if request.method == "POST" and "json" not in sent:  # curl's own default is a form
            said = f"expected a body of JSON under Content-Type: application/json, found {sent!r}"
            return JSONResponse({"error": said[:_LONGEST_ERROR]}, status_code=422)
        line = " ".join(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}".split())
        return JSONResponse({"error": line[:_LONGEST_ERROR]}, status_code=422)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, status_code=error.status_code, headers=error.headers)

    @app.exception_handler(TooBusy)
    async def too_busy(_: Request, error: TooBusy) -> JSONResponse:
        meters.refused.inc()
        return JSONResponse({"error": str(error)}, status_code=429, headers={"retry-after": str(error.retry_after)})

    @app.exception_handler(OutOfTime)
    async def out_of_time(_: Request, error: OutOfTime) -> JSONResponse:
        meters.refused.inc()
        said = "expected time to answer, found too much to do before the deadline; ask again in 1 s"
        return JSONResponse({"error": said}, status_code=429, headers={"retry-after": "1"})
