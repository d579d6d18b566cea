"""The inspector page and what it alone asks for: its files, pins by id, their pictures, and the teacher's opinion.

The page is a few files beside this one (page/), served as they are: no build step, nothing from elsewhere. Its content
policy allows scripts and styles of this service alone, so that no text of a pin can become one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from enrich.images import BadImage
from relevance.service.asked_teacher import AskedTeacher
from relevance.service.cards import Cards
from relevance.service.gate import Gate
from relevance.service.live import Live
from relevance.service.pictures import Pictures
from relevance.service.records import PinAnswer, PinId, Problem, Taught, TeacherAnswer, TeacherRequest

Result = TypeVar("Result")
_PAGE = FilePath(__file__).with_name("page")
_MEDIA = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
_NOT_THERE: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "not there"}}
_TEACHER_SECONDS = 60.0  # that the page waits for the teacher, which must be loaded first

AskedPin = Annotated[PinId, Path(description="as in the catalogue", examples=["255529192"])]


def add_inspector(
    app: FastAPI,
    looks: Gate,
    live: Live,
    cards: Cards | None,
    pictures: Pictures | None,
    deadline_ms: int,
) -> None:
    """`cards` and `pictures` are the workspace's; without them their routes answer 404.

    `looks` is a gate of their own, so that looking never takes a thread from scoring.
    """

    async def look(work: Callable[[], Result]) -> Result:
        return await looks.run(work, time.monotonic() + deadline_ms / 1000)

    _add_page(app)
    _add_pins(app, live, look, cards, pictures)


def add_teacher(app: FastAPI, lessons: Gate, teacher: AskedTeacher | None) -> None:
    """`teacher` is the workspace's; `lessons` is a gate of its own, so that no picture and no pin waits for it."""

    @app.post("/teacher", response_model=TeacherAnswer, responses=_NOT_THERE)
    async def ask_teacher(body: TeacherRequest) -> TeacherAnswer:
        """What the cross-encoder says of a few pairs: about 10 ms a pin, and seconds at first."""
        if teacher is None or not teacher.there:
            raise HTTPException(404, "expected a teacher in this workspace, found none; run `relevance train-teacher`")
        until = time.monotonic() + _TEACHER_SECONDS
        model, pins = await lessons.run(lambda: teacher.ask(body.query, body.pin_ids), until)
        return TeacherAnswer(query=body.query, model=model, pins=[Taught(**pin._asdict()) for pin in pins])


def _add_page(app: FastAPI) -> None:
    _add_file(app, "/", _PAGE / "inspector.html")
    for file in sorted(_PAGE.iterdir()):
        if file.suffix in _MEDIA:
            _add_file(app, f"/page/{file.name}", file)


def _add_file(app: FastAPI, path: str, file: FilePath) -> None:
    body, media = file.read_bytes(), _MEDIA[file.suffix]

    @app.get(path, include_in_schema=False)
    async def page() -> Response:
        headers = {"content-security-policy": _POLICY, "cache-control": "no-cache", **_SAFE}
        return Response(body, media_type=media, headers=headers)


def _add_pins(
    app: FastAPI, live: Live, look: Callable[..., Any], cards: Cards | None, pictures: Pictures | None
) -> None:
    @app.get(
        "/pins/{pin_id:path}/image",
        response_class=Response,
        responses={**_NOT_THERE, 200: {"content": {"image/jpeg": {}}}, 304: {"description": "as before"}},
    )
    async def image(pin_id: AskedPin, request: Request) -> Response:
        """The pin's picture as a small JPEG. 404 with a reason where it cannot be had."""
        uri = await look(lambda: cards.image_uri(pin_id)) if cards is not None else None
        if uri is None or pictures is None:
            raise HTTPException(404, "expected a pin of this catalogue that has a picture, found none")
        try:
            picture = await look(lambda: pictures.thumbnail(uri))
        except BadImage as error:
            raise HTTPException(404, f"expected a picture, found none that may be shown ({error.reason})") from error
        headers = {"etag": f'"{picture.etag}"', "cache-control": "private, max-age=300", **_SAFE}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(picture.jpeg, media_type="image/jpeg", headers=headers)

    @app.get("/pins/{pin_id:path}", response_model=PinAnswer, responses=_NOT_THERE)
    async def pin(pin_id: AskedPin) -> Response:
        """What the catalogue says of a pin, where each value came from, and whether the online store holds it."""

        def work() -> PinAnswer | None:
            card = cards.of([pin_id])[0] if cards is not None else None
            if card is None or cards is None:
                return None
            served = live.engine.scorer.holds(pin_id)
            return PinAnswer(**card.model_dump(), served=served, facts=cards.facts(pin_id))

        found = await look(work)
        if found is None:
            raise HTTPException(404, "expected a pin of this catalogue, found none of this id")
        return JSONResponse(found.model_dump(mode="json"))
