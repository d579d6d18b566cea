"""How hard a host may be asked: so many connections, so long between requests, and not at all once it is silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MAX_HOSTS = 10_000  # remembered; the idle ones are forgotten beyond that


@dataclass(slots=True)
class _Host:
    slots: asyncio.Semaphore
    next_start: float = 0.0  # loop time before which no request may start
    silences: int = 0  # requests in a row that the host did not answer
    waiting: int = field(default=0)


class Politeness:
    """The turns of every host. `connections` and `delay` (seconds) hold per host."""

    def __init__(self, connections: int, delay: float) -> None:
        self._connections = connections
        self._delay = delay
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str, crawl_delay: float | None = None) -> AsyncIterator[None]:
        """Wait for the host's next free connection and moment, and hold that connection."""
        state = self._of(host)
        state.waiting += 1
        try:
            async with state.slots:
                loop = asyncio.get_running_loop()
                start = max(loop.time(), state.next_start)
                state.next_start = start + max(self._delay, crawl_delay or 0.0)
                if start > loop.time():
                    await asyncio.sleep(start - loop.time())
                yield
        finally:
            state.waiting -= 1

    def silent(self, host: str) -> None:
        """The host did not answer."""
        self._of(host).silences += 1

    def answered(self, host: str) -> None:
        """The host answered, whatever it said."""
        self._of(host).silences = 0

    def silences(self, host: str) -> int:
        """Requests in a row that the host did not answer."""
        return self._of(host).silences

    def _of(self, host: str) -> _Host:
        if host not in self._hosts:
            if len(self._hosts) >= MAX_HOSTS:
                self._forget_idle()
            self._hosts[host] = _Host(asyncio.Semaphore(self._connections))
        return self._hosts[host]

    def _forget_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        self._hosts = {name: host for name, host in self._hosts.items() if host.waiting or host.next_start > now}
