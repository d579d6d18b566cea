"""What a connection may do before its request is known, and while it is answered: bounded in bytes and in seconds.

uvicorn leaves both open (httptools keeps headers of any length, and an answer that nobody takes waits for ever), so a
few connections that are slow or without end would take the service's sockets or its memory. The body is guard.py's.
uvicorn is told of `Wire` by start.py.
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


class Wire(_Protocol):
    """uvicorn's connection, closed with one line where its next request's headers are too long or too slow, and without
    one where its answer is not taken.
    """

    most_bytes = 64 * 2**10  # of the request line and the headers, as far as more than one packet brings them
    seconds = 10.0  # from the connection, or the first byte after the last request, to the end of the headers
    taking_seconds = 60.0  # for as much of an answer as the socket does not hold

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._fed = 0  # bytes that came since the last request, and were none yet
        self._timer: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_taking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_taking()
        self._taking = self.loop.call_later(self.taking_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_taking()
        super().resume_writing()

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

    def _stop_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait()  # the one before is still answered
            return
        self._refuse(b"408 Request Timeout", "a whole request in time, found its headers still coming")

    def _refuse(self, status: bytes, expected: str) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body):  # else it has its answer
            body = json.dumps({"error": f"expected {expected}"}).encode()
            head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (status, len(body)) + body)
        self.transport.close()
