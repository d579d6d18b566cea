"""What stands before every route: an id and a log line a request, limits on its body, keys, and errors as one line.

A plain ASGI wrapper, so that a request costs it microseconds. A refused request is a 4xx with {"error": one line};
whatever breaks inside is a 500 of the same form, logged with its traceback under the id that the caller gets.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from relevance.service.keys import ApiKeys
from relevance.service.logs import LOG, RequestLine, request_id
from relevance.service.meters import Meters
from relevance.service.settings import MAX_BODY_BYTES

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/", "/healthz", "/readyz"})  # asked for without a key, as are the page's own files
_PAGE = "/page/"
_UNREAD = frozenset({408, 411, 413})  # refusals of a body that is still on its way
LINE = "request_line"  # under which a request's log line is found in its scope's state


class Refused(HTTPException):
    """A request that is answered without being looked into; where its body still comes, its connection ends."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(status, error, {"connection": "close"} if status in _UNREAD else None)


class Guard:
    """Wraps an app."""

    def __init__(self, app: App, meters: Meters, keys: ApiKeys | None, body_seconds: float) -> None:
        self._app, self._meters, self._keys, self._body_seconds = app, meters, keys, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        line = RequestLine(request_id(headers.get("x-request-id")), scope["method"])
        scope.setdefault("state", {})[LINE] = line

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                line.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", line.request_id.encode())]
            await send(message)

        try:
            line.caller = self._admitted(scope["path"], headers)
            await self._app(scope, _Body(receive, self._body_seconds).receive, answered)
        except Refused as refusal:
            await _answer(answered, refusal.status_code, refusal.detail, refusal.headers)
        except Exception:  # noqa: BLE001  # the last line of defence: whatever broke is logged, and the caller gets an answer
            LOG.exception("request %s broke", line.request_id)
            if line.status == 500:  # no answer was begun
                await _answer(answered, 500, f"expected no fault here, found one; say request {line.request_id}")
        finally:
            line.path = getattr(scope.get("route"), "path", "other")
            line.ms = round((time.perf_counter() - started) * 1000, 2)
            self._meters.seconds.labels(line.path).observe(line.ms / 1000)
            self._meters.requests.labels(line.path, str(line.status)).inc()
            LOG.info("request", extra={"request": line})

    def _admitted(self, path: str, headers: dict[str, str]) -> str | None:
        """The caller's name where keys are asked for. Raises Refused."""
        caller = self._keys.caller(headers) if self._keys is not None else None
        if self._keys is not None and caller is None and not (path in OPEN or path.startswith(_PAGE)):
            raise Refused(401, "expected an API key in X-API-Key or Authorization: Bearer, found none that is known")
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers:
            raise Refused(411, "expected a Content-Length, found chunks; send the body whole")
        if not (length.isascii() and length.isdigit() and len(length) < 19 and int(length) <= MAX_BODY_BYTES):
            raise Refused(
                413, f"expected a body of at most {MAX_BODY_BYTES} bytes, found {length[:20]}; send fewer pins at once"
            )
        return caller


class _Body:
    """A request's body, of which no more comes than may and no later."""

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive, self._left, self._whole = receive, MAX_BODY_BYTES, False
        self._until = time.monotonic() + seconds

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()  # a disconnect, however late
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._until - time.monotonic()))
        except TimeoutError as error:
            raise Refused(408, "expected the whole body in time, found it still coming; send it faster") from error
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise Refused(413, f"expected a body of at most {MAX_BODY_BYTES} bytes, found more; send fewer pins")
        self._whole = not message.get("more_body", False)
        return message


async def _answer(send: Send, status: int, error: str, more: Mapping[str, str] | None = None) -> None:
    body = json.dumps({"error": error}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **(more or {})}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
