"""What a connection may send before its request is known: so many bytes of headers, in so many seconds.

uvicorn leaves both open (httptools keeps a header of any length), so a few slow or endless ones would take the
service's connections or its memory. The body is guard.py's. uvicorn is told of `HeadGuard` by start.py.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Protocol
else:
    _Protocol = AutoHTTPProtocol  # of httptools where that is installed, else of h11


class HeadGuard(_Protocol):
    """uvicorn's connection, closed with one line where its next request's headers are too long or too slow."""

    most_bytes = 64 * 2**10  # of the request line and the headers, as far as more than one packet brings them
    seconds = 10.0  # from the connection, or the first byte after the last request, to the end of the headers

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._fed = 0  # bytes that came since the last request, and were none yet
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before, comes_next = self.cycle, self._body_has_come()
        super().data_received(data)
        if not comes_next or self.cycle is not before:
            self._fed = 0
            self._stop_waiting()
            return
        self._fed += len(data)
        self._wait()
        if self._fed > self.most_bytes:
            self._refuse(b"431 Headers Too Large", f"at most {self.most_bytes} bytes of headers, found more")

    def _body_has_come(self) -> bool:
        """Whether what comes next is another request's head (or the rest of a body that was refused)."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or not cycle.more_body

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait()  # the one before is still answered
            return
        self._refuse(b"408 Request Timeout", "a whole request in time, found its headers still coming")

    def _refuse(self, status: bytes, expected: str) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps({"error": f"expected {expected}"}).encode()
            head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (status, len(body)) + body)
        self.transport.close()
