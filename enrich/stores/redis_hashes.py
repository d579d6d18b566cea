"""Thousands of Redis hashes read or written in one trip, by the client's own rules of trying again.

All commands are sent before the first answer is read. redis-py's pipeline does the same; packing each command and
reading each answer by itself, it takes more time for that than the server does. A client of a cluster goes through
redis-py's pipeline, and a connection that speaks RESP3 is read by its own reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import hiredis
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_BUFFER = 65_536  # bytes sent, and read, at once; or one command that is longer


class Hash(NamedTuple):
    key: bytes
    values: tuple[bytes | None, ...]  # None leaves the field as it is


def read_hashes(redis: Any, keys: Sequence[bytes], fields: tuple[bytes, ...]) -> list[list[bytes | None]]:
    """The values of every key's `fields`. Raises redis-py's errors, once it has tried again in vain."""
    if type(redis) is Redis:
        command = _template(b"HMGET", (None, *fields))
        return _ask(redis, (command % (len(key), key) for key in keys))
    with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hmget(key, fields)
        return list(pipe.execute())


def write_hashes(redis: Any, hashes: Iterable[Hash], fields: tuple[bytes, ...], ttl: int | None) -> None:
    """Set `fields` of every hash, each hash whole or not at all, to expire `ttl` seconds later; errors as above."""
    if type(redis) is Redis:
        _ask(redis, (part for one in hashes for part in _commands(one, fields, ttl)))
        return
    with redis.pipeline(transaction=False) as pipe:
        for key, values in hashes:
            pipe.hset(key, mapping={f: v for f, v in zip(fields, values, strict=True) if v is not None})
            if ttl:
                pipe.expire(key, ttl)
        pipe.execute()


def _commands(one: Hash, fields: tuple[bytes, ...], ttl: int | None) -> Iterable[bytes]:
    key, values = one
    if None in values:
        kept = [(f, v) for f, v in zip(fields, values, strict=True) if v is not None]
        fields, values = tuple(f for f, _ in kept), tuple(v for _, v in kept)
    arguments = [x for value in values if value is not None for x in (len(value), value)]
    yield _template(b"HSET", (None, *(x for f in fields for x in (f, None)))) % (len(key), key, *arguments)
    if ttl:
        yield _template(b"EXPIRE", (None, b"%d" % ttl)) % (len(key), key)


@lru_cache(maxsize=64)
def _template(name: bytes, arguments: tuple[bytes | None, ...]) -> bytes:
    """A command as it is sent (https://redis.io/docs/latest/develop/reference/protocol-spec/), to be filled, for each
    argument that is None, with a length and as many bytes.
    """
    written = [b"*%d\r\n$%d\r\n%b\r\n" % (len(arguments) + 1, len(name), name)]
    for said in arguments:
        literal = b"%b" if said is None else said.replace(b"%", b"%%")
        written.append(b"$%b\r\n%b\r\n" % (b"%d" if said is None else b"%d" % len(said), literal))
    return b"".join(written)


def _ask(redis: Any, commands: Iterable[bytes]) -> list[Any]:
    """Every command's answer, not decoded. Each may be sent again after a lost connection."""
    buffers, count = _buffers(commands)
    if not count:
        return []
    connection: Any = redis.connection_pool.get_connection()
    try:
        answers: list[Any] = connection.retry.call_with_retry(
            lambda: _round_trip(connection, buffers, count), lambda error: connection.disconnect()
        )
        return answers
    finally:
        redis.connection_pool.release(connection)


def _buffers(commands: Iterable[bytes]) -> tuple[list[bytes], int]:
    """The commands, some in each buffer, and how many they are."""
    buffers: list[bytes] = []
    held: list[bytes] = []
    size = count = 0
    for command in commands:
        held.append(command)
        size += len(command)
        count += 1
        if size >= _BUFFER:
            buffers.append(b"".join(held))
            held, size = [], 0
    return [*buffers, b"".join(held)], count


def _round_trip(connection: Any, buffers: list[bytes], count: int) -> list[Any]:
    try:
        connection.send_packed_command(buffers)
        return _answers(connection, count)
    except BaseException:  # whatever it was, answers may be left on the line: nobody may read them as their own
        connection.disconnect()
        raise


def _answers(connection: Any, count: int) -> list[Any]:
    socket, parser = getattr(connection, "_sock", None), getattr(connection, "_parser", None)
    if socket is None or parser is None or str(connection.protocol) != "2":
        return [connection.read_response(disable_decoding=True) for _ in range(count)]
    reader = hiredis.Reader(replyError=parser.parse_error)
    answers: list[Any] = []
    while len(answers) < count:
        reader.feed(_received(socket))
        while (answer := reader.gets()) is not False:
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
    return answers


def _received(socket: Any) -> bytes:
    try:
        content: bytes = socket.recv(_BUFFER)
    except TimeoutError as error:
        raise RedisTimeoutError("Timeout reading from socket") from error
    except OSError as error:
        raise RedisConnectionError(f"Error while reading from socket: {error}") from error
    if not content:
        raise RedisConnectionError("Connection closed by server")
    return content
