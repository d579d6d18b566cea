"""Thousands of commands to Redis, all sent before the first answer is read, by the client's own rules of trying again.

redis-py's pipeline does the same, and takes half of a load's time to pack each command by itself. Here they are packed
into buffers of 64 KB. A client of several nodes (a cluster, sentinels) goes through its own pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from redis import Redis

Command = tuple[bytes, ...]  # its name, then its arguments

_BUFFER = 65_536  # bytes sent at once, or one command that is longer


def ask(redis: Any, commands: Sequence[Command]) -> list[Any]:
    """Every command's answer, not decoded. Commands must be such as may be sent again after a lost connection.

    Raises redis-py's errors: of the connection when it has tried again in vain, ResponseError for what Redis refuses.
    """
    if not commands:
        return []
    if type(redis) is not Redis:
        with redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(pipe.execute())
    connection: Any = redis.connection_pool.get_connection()
    try:
        return connection.retry.call_with_retry(  # type: ignore[no-any-return]
            lambda: _round_trip(connection, commands), lambda error: connection.disconnect()
        )
    finally:
        redis.connection_pool.release(connection)


def _round_trip(connection: Any, commands: Sequence[Command]) -> list[Any]:
    try:
        connection.send_packed_command(packed(commands))
        return [connection.read_response(disable_decoding=True) for _ in commands]
    except BaseException:  # whatever it was, answers may be left on the line: nobody may read them as their own
        connection.disconnect()
        raise


def packed(commands: Sequence[Command]) -> Iterator[bytes]:
    """Arrays of bulk strings (https://redis.io/docs/latest/develop/reference/protocol-spec/), some in each buffer."""
    held: list[bytes] = []
    size = 0
    for command in commands:
        held.append(b"*%d\r\n" % len(command))
        for part in command:
            held += (b"$%d\r\n" % len(part), part, b"\r\n")
            size += len(part)
        if size >= _BUFFER:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
