"""The HTTP service: scores and rankings over JSON, thin around `online.Scorer` and `ranking.rank`.

    POST /score     {"query": ..., "pin_ids": [...]}                    -> five probabilities and expected level a pin
    POST /rank      {"query": ..., "pin_ids": [...] or absent, ...}     -> pins by utility, best first
    GET  /healthz   the process answers      GET /readyz  the store answers; versions of model, features and code
    GET  /metrics   Prometheus

Run by `relevance serve`. A request that is no good is a 4xx with {"error": one line}; whatever is missing behind the
service is a 200 whose answers are flagged. Handlers are plain functions, which FastAPI runs in its pool of threads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Annotated, Literal

import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

import enrich
from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance.candidates import CANDIDATES, workspace_index
from relevance.feature_store import SCORING_SERVICE, fingerprint
from relevance.online import ScoredPin, Scorer
from relevance.ranking import RankedPin, RankSettings, UtilityWeights, rank
from relevance.serving.steady_memory import steady_memory

MAX_PINS = 10_000  # of one request
MAX_QUERY_CHARACTERS = 2_000  # as sent; scoring reads the first 500 after normalisation
MAX_BODY_BYTES = 4 * 2**20  # MAX_PINS ids of 400 bytes
_LONGEST_ERROR = 500  # characters; a field's name may be the caller's own
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
    model: str  # fingerprint of the student that answers
    degraded: bool  # whether the store was lost or empty, or held a damaged pin
    pins: list[Scored]  # in the order asked


class Ranked(Scored):
    rank: int
    engagement: float
    utility: float
    guarded: bool  # held below the pins of level 4 and 5

    @classmethod
    def of_ranked(cls, pin: RankedPin) -> Ranked:
        scored = Scored.of(pin.scored).model_dump()
        return cls(**scored, rank=pin.rank, engagement=pin.engagement, utility=pin.utility, guarded=pin.guarded)


class RankAnswer(BaseModel):
    query: str
    model: str  # fingerprint of the student that scores
    degraded: bool
    pins: list[Ranked]  # best first, at most `limit`
    below_floor: int  # pins not ranked


class Readiness(BaseModel):
    """Whether the store answers, and the versions of all that an answer follows from."""

    status: Literal["ready", "degraded"]
    model: str  # fingerprint of the student
    features: str | None  # fingerprint of the feature service that is read; None where the caller did not say
    corkboard: str


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


def create_app(scorer: Scorer, candidates: Candidates | None = None, features: str | None = None) -> FastAPI:
    """The service around a scorer; `candidates` finds pins for /rank requests that name none.

    `features` is the version of the features behind it (`feature_store.fingerprint`), which /readyz tells.
    """
    app = FastAPI(title="Corkboard relevance", version=enrich.__version__)
    meters, model = _Meters(), scorer.student.record.fingerprint
    _guard(app, meters)

    @app.post("/score")
    def score(request: ScoreRequest) -> ScoreAnswer:
        """Five probabilities and an expected level a pin, in the order asked."""
        scored = scorer.score(request.query, request.pin_ids)
        degraded = meters.saw(scored)
        return ScoreAnswer(query=request.query, model=model, degraded=degraded, pins=[Scored.of(pin) for pin in scored])

    @app.post("/rank")
    def rank_pins(request: RankRequest) -> RankAnswer:
        """Pins by relevance and engagement, best first."""
        pins, own = request.pin_ids, request.pin_ids is None
        if pins is None:
            if candidates is None:
                raise BadInput("expected pin_ids: this service was started without an index of candidates")
            pins = list(candidates(request.query, max(CANDIDATES, request.limit)))
        settings = RankSettings(UtilityWeights(**request.weights.model_dump()), request.floor)
        ranking = rank(scorer, request.query, pins, settings, request.engagement, keep_unknown=not own)
        degraded = meters.saw([*(pin.scored for pin in ranking.pins), *ranking.below_floor])
        return RankAnswer(
            query=request.query,
            model=model,
            degraded=degraded,
            pins=[Ranked.of_ranked(pin) for pin in ranking.pins[: request.limit]],
            below_floor=len(ranking.below_floor),
        )

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz(response: Response) -> Readiness:
        """503 while the online store does not answer or holds no pins (scores are then the prior, flagged)."""
        ready = scorer.ready()
        response.status_code = 200 if ready else 503
        status: Literal["ready", "degraded"] = "ready" if ready else "degraded"
        return Readiness(status=status, model=model, features=features, corkboard=enrich.__version__)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(meters.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def serve(workspace: Workspace, host: str, port: int) -> None:
    """Serve the workspace's student and its index of candidates until stopped."""
    torch.set_num_threads(1)  # requests are answered side by side; one of them need not take every core
    scorer, index = Scorer.open(workspace), workspace_index(workspace)
    steady_memory()

    def candidates(query: str, limit: int) -> Sequence[str]:
        return index.search(query, scorer.query_vector(query), limit)

    uvicorn.run(
        create_app(scorer, candidates, fingerprint(workspace, SCORING_SERVICE)),
        host=host,
        port=port,
        access_log=False,  # /metrics counts; a line a request would cost more than its answer
    )


def _guard(app: FastAPI, meters: _Meters) -> None:
    """Limits on the body, errors as one line, and every request timed."""

    @app.exception_handler(BadInput)
    def bad_input(_: Request, error: BadInput) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=422)

    @app.exception_handler(RequestValidationError)
    def not_valid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        line = " ".join(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}".split())
        return JSONResponse({"error": line[:_LONGEST_ERROR]}, status_code=422)

    @app.exception_handler(HTTPException)
    def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, status_code=error.status_code, headers=error.headers)

    @app.middleware("http")
    async def timed(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        started, status = perf_counter(), 500
        try:
            response = _refusal(request) or await answer(request)
            status = response.status_code
        finally:
            path = getattr(request.scope.get("route"), "path", "other")
            meters.seconds.labels(path).observe(perf_counter() - started)
            meters.requests.labels(path, str(status)).inc()
        return response


def _refusal(request: Request) -> Response | None:
    """The answer to a request whose body must not be read: of unknown length, or too long."""
    length = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers:
        return JSONResponse({"error": "expected a Content-Length, found chunks; send the body whole"}, status_code=411)
    if not (length.isascii() and length.isdigit() and len(length) < 19 and int(length) <= MAX_BODY_BYTES):
        found = f"expected a body of at most {MAX_BODY_BYTES} bytes, found {length[:20]}; send fewer pins at once"
        return JSONResponse({"error": found}, status_code=413)
    return None
