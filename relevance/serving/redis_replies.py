"""A thousand replies of Redis from one connection: arrays of bulk strings (RESP2), cut out of what the socket gives.

redis-py reads a reply through four calls and makes a list of it; hiredis moves what is left of its buffer at each. Here
the bytes lie where they came in, each value is copied once, and nothing is made that the garbage collector must look
through. Where a connection is not a plain RESP2 socket, redis-py's own `read_response` is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_LINE_END = b"\r\n"
_A_REPLY = 4_096  # bytes to begin with, for each reply that is awaited; the buffer grows
_BULK, _NIL = ord("$"), -1
_WRONG_TYPE = b"-WRONGTYPE"  # someone wrote another kind of value under a pin's key
Take = Callable[[memoryview], bytes | None]  # what is kept of a value; the view is the buffer's, not to be kept itself


class Batch(NamedTuple):
    """Commands that are sent together, and how many they are."""

    commands: bytes
    size: int


class Replies:
    """Asks and reads into a buffer that is kept; for one thread."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def ask(self, connection: Any, batches: Sequence[Batch], takes: Sequence[Take]) -> list[bytes | None]:
        """What `takes` make of every reply, each an array of as many bulk strings, end to end; None for a nil.

        Each batch is sent while the one before it is answered, so that neither side waits and the server need not hold
        all answers at once. Raises redis-py's ConnectionError, TimeoutError, BusyLoadingError and ResponseError, as its
        own reader does; the connection must then be dropped, for replies may be left on it. A key that holds no hash
        (WRONGTYPE) costs that key alone: its first value is the error's line, which is no payload.
        """
        connection.send_packed_command([batch.commands for batch in batches[:1]])
        socket = getattr(connection, "_sock", None)
        if socket is None or str(getattr(connection, "protocol", "")) != "2":
            connection.send_packed_command([batch.commands for batch in batches[1:]])
            count = sum(batch.size for batch in batches)
            return [value for _ in range(count) for value in _read_by_client(connection, takes)]
        if len(self._buffer) < (room := sum(batch.size for batch in batches) * _A_REPLY):
            self._buffer = bytearray(room)
        values: list[bytes | None] = []
        filled = at = asked = 0
        for place, batch in enumerate(batches):
            if place + 1 < len(batches):
                connection.send_packed_command([batches[place + 1].commands], check_health=False)
            asked += batch.size * len(takes)
            while len(values) < asked:
                if filled == len(self._buffer):
                    self._buffer += bytes(filled)
                filled += _receive(socket, memoryview(self._buffer)[filled:])
                at = _cut(self._buffer, at, filled, takes, values)
        return values


def _read_by_client(connection: Any, takes: Sequence[Take]) -> list[bytes | None]:
    """One reply through redis-py's own reader."""
    import redis  # here: an optional extra, and nothing of this is used without it

    try:
        reply = connection.read_response(disable_decoding=True)
    except redis.ResponseError as error:
        return _of_damaged(b"-" + str(error).encode(), takes)
    return [None if value is None else take(memoryview(value)) for take, value in zip(takes, reply, strict=True)]


def _cut(buffer: bytearray, at: int, filled: int, takes: Sequence[Take], values: list[bytes | None]) -> int:
    """Add the values of the replies that are whole in buffer[at:filled]; where the first that is not begins."""
    opening, whole = b"*%d\r\n" % len(takes), len(values)
    view, find, size = memoryview(buffer), buffer.find, len(opening)
    while filled - at >= size:
        if not buffer.startswith(opening, at, filled):
            if (end := find(_LINE_END, at, filled)) < 0:
                return at
            values += _of_damaged(bytes(view[at:end]), takes)
            at, whole = end + 2, len(values)
            continue
        place = at + size
        for take in takes:
            end = find(_LINE_END, place, filled)
            if end < 0 or buffer[place] != _BULK:
                break
            length = int(view[place + 1 : end])
            place = end + 4 + length  # past the value and its own line end
            if length == _NIL:
                values.append(None)
                place = end + 2
            elif place <= filled:
                values.append(take(view[end + 2 : place - 2]))
            else:
                break
        else:
            at, whole = place, whole + len(takes)
            continue
        del values[whole:]
        return at
    return at


def _of_damaged(line: bytes, takes: Sequence[Take]) -> list[bytes | None]:
    """What stands for a reply that is an error of its own key; raises redis-py's error for one of the whole store."""
    import redis

    if line.startswith(_WRONG_TYPE):
        return [line, *[None] * (len(takes) - 1)]
    text = line.decode("utf-8", "replace")
    raise (redis.BusyLoadingError if text.startswith("-LOADING") else redis.ResponseError)(text[:200])


def _receive(socket: Any, room: memoryview) -> int:
    """How many bytes came; redis-py's errors where none did."""
    import redis

    try:
        count = int(socket.recv_into(room))
    except TimeoutError as error:
        raise redis.TimeoutError("Timeout reading from socket") from error
    except OSError as error:
        raise redis.ConnectionError(f"Error while reading from socket: {error}") from error
    if not count:
        raise redis.ConnectionError("Connection closed by server")
    return count
