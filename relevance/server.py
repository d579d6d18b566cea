"""The HTTP service: scores and rankings over JSON, thin around `online.Scorer` and `ranking.rank`.

    POST /score     {"query": ..., "pin_ids": [...]}                    -> five probabilities and expected level a pin
    POST /rank      {"query": ..., "pin_ids": [...] or absent, ...}     -> pins by utility, best first
    GET  /healthz   the process answers      GET /readyz  the store answers and a model is loaded
    GET  /metrics   Prometheus

Run by `relevance serve`. A request that is no good is a 4xx with one line; whatever is missing behind the service is a
200 whose answers are flagged. Request handlers are plain functions, which FastAPI runs in its pool of threads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Annotated

import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

import enrich
from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance.candidates import workspace_index
from relevance.online import ScoredPin, Scorer
from relevance.ranking import RankSettings, UtilityWeights, rank

MAX_PINS = 10_000  # of one request
MAX_QUERY_CHARACTERS = 2_000  # as sent; scoring reads the first 500 after normalisation
MAX_BODY_BYTES = 4 * 2**20
_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0, 5.0)  # seconds

Candidates = Callable[[str, int], Sequence[str]]  # (query, how many) -> pin ids, best first


def _encodable(text: str) -> str:
    """JSON may escape half a surrogate pair, which no store and no answer can hold."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("expected text without lone surrogates")
    return text


Text = Annotated[str, AfterValidator(_encodable)]
Query = Annotated[Text, Field(max_length=MAX_QUERY_CHARACTERS, examples=["blue velvet armchair"])]
PinId = Annotated[Text, Field(min_length=1, max_length=512)]
Weight = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class ScoreRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    query: Query
    pin_ids: Annotated[list[PinId], Field(max_length=MAX_PINS, examples=[["pin-1", "pin-2"]])]


class Weights(BaseModel):
    """Of the utility; see relevance/ranking.py."""

    model_config = ConfigDict(extra="forbid")
    relevance: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = UtilityWeights().relevance
    click: Weight = UtilityWeights().click
    long_click: Weight = UtilityWeights().long_click
    save: Weight = UtilityWeights().save
    hide: Weight = UtilityWeights().hide
    caller: Weight = UtilityWeights().caller


class RankRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    query: Query
    pin_ids: Annotated[list[PinId] | None, Field(max_length=MAX_PINS)] = None  # absent: the service finds candidates
    engagement: Annotated[list[Weight] | None, Field(max_length=MAX_PINS)] = None  # the caller's, one a pin
    weights: Weights = Field(default_factory=Weights)
    floor: Annotated[float, Field(ge=1, le=5)] = RankSettings().floor
    limit: Annotated[int, Field(ge=1, le=MAX_PINS)] = 200


class Scored(BaseModel):
    pin_id: str
    probabilities: tuple[float, float, float, float, float]  # of levels 1..5
    relevance: float  # expected level
    missing: tuple[str, ...]

    @classmethod
    def of(cls, pin: ScoredPin) -> Scored:
        return cls(pin_id=pin.pin_id, probabilities=pin.probabilities, relevance=pin.relevance, missing=pin.missing)


class ScoreAnswer(BaseModel):
    query: str
    degraded: bool  # whether something behind the service was lost
    pins: list[Scored]  # in the order asked


class Ranked(Scored):
    rank: int
    engagement: float
    utility: float
    guarded: bool  # held below the pins of level 4 and 5


class RankAnswer(BaseModel):
    query: str
    degraded: bool
    pins: list[Ranked]  # best first, at most `limit`
    below_floor: int  # pins not ranked


class _Meters:
    """What /metrics shows; one registry an app, so that two can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "relevance_request_seconds", "Time to answer.", ["path"], buckets=_LATENCIES, registry=self.registry
        )
        self.requests = Counter("relevance_requests", "Requests answered.", ["path", "status"], registry=self.registry)
        self.pins = Counter("relevance_pins", "Pins scored.", registry=self.registry)
        self.degraded = Counter("relevance_degraded_pins", "Pins answered degraded.", registry=self.registry)
        self.missing = Counter("relevance_missing_inputs", "Absent inputs.", ["input"], registry=self.registry)

    def saw(self, pins: Sequence[ScoredPin]) -> bool:
        """Count the answers; whether any is degraded."""
        degraded = sum(pin.degraded for pin in pins)
        self.pins.inc(len(pins))
        self.degraded.inc(degraded)
        absent: dict[str, int] = {}
        for pin in pins:
            for name in pin.missing:
                absent[name] = absent.get(name, 0) + 1
        for name, count in absent.items():
            self.missing.labels(name).inc(count)
        return degraded > 0


def create_app(scorer: Scorer, candidates: Candidates | None = None) -> FastAPI:
    """The service around a scorer; `candidates` finds pins for /rank requests that name none."""
    app = FastAPI(title="Corkboard relevance", version=enrich.__version__)
    meters = _Meters()
    _guard(app, meters)

    @app.post("/score")
    def score(request: ScoreRequest) -> ScoreAnswer:
        """Five probabilities and an expected level a pin, in the order asked."""
        scored = scorer.score(request.query, request.pin_ids)
        degraded = meters.saw(scored)
        return ScoreAnswer(query=request.query, degraded=degraded, pins=[Scored.of(pin) for pin in scored])

    @app.post("/rank")
    def rank_pins(request: RankRequest) -> RankAnswer:
        """Pins by relevance and engagement, best first."""
        pins = request.pin_ids
        if pins is None:
            if candidates is None:
                raise BadInput("expected pin_ids: this service was started without an index of candidates")
            pins = list(candidates(request.query, request.limit))
        settings = RankSettings(UtilityWeights(**request.weights.model_dump()), request.floor)
        ranking = rank(scorer, request.query, pins, settings, request.engagement)
        degraded = meters.saw([*(pin.scored for pin in ranking.pins), *ranking.below_floor])
        shown = [
            Ranked(**Scored.of(p.scored).model_dump(), rank=p.rank, engagement=p.engagement, utility=p.utility,
                   guarded=p.guarded)
            for p in ranking.pins[: request.limit]
        ]  # fmt: skip
        return RankAnswer(query=request.query, degraded=degraded, pins=shown, below_floor=len(ranking.below_floor))

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz(response: Response) -> dict[str, str]:
        """503 while the online store does not answer (scores are then the prior, flagged)."""
        ready = not any(pin.degraded for pin in scorer.score("ready", ["ready"]))
        response.status_code = 200 if ready else 503
        return {"status": "ready" if ready else "degraded", "model": scorer.student.record.fingerprint}

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(meters.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def serve(workspace: Workspace, host: str, port: int) -> None:
    """Serve the workspace's student and its index of candidates until stopped."""
    torch.set_num_threads(1)  # requests are answered side by side; one of them need not take every core
    scorer, index = Scorer.open(workspace), workspace_index(workspace)

    def candidates(query: str, limit: int) -> Sequence[str]:
        return index.search(query, scorer.query_vector(query), limit)

    uvicorn.run(create_app(scorer, candidates), host=host, port=port, log_level="warning")


def _guard(app: FastAPI, meters: _Meters) -> None:
    """Limits on the body, errors as one line, and every request timed."""

    @app.exception_handler(BadInput)
    def bad_input(_: Request, error: BadInput) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=422)

    @app.exception_handler(RequestValidationError)
    def not_valid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{place}: {first['msg']}"[:500]}, status_code=422)

    @app.middleware("http")
    async def timed(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        started = perf_counter()
        length = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers:
            response: Response = JSONResponse({"error": "expected a Content-Length, not chunks"}, status_code=411)
        elif not (length.isascii() and length.isdigit() and len(length) < 19 and int(length) <= MAX_BODY_BYTES):
            response = JSONResponse({"error": f"expected at most {MAX_BODY_BYTES} bytes"}, status_code=413)
        else:
            response = await answer(request)
        route = request.scope.get("route")
        path = getattr(route, "path", "other")
        meters.seconds.labels(path).observe(perf_counter() - started)
        meters.requests.labels(path, str(response.status_code)).inc()
        return response
