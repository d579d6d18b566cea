"""How hard a host may be asked: so many connections, so long between requests, and not at all once it is silent.

HostSilent (CorkboardError)     the host left so many requests in a row without an answer that it is left alone
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from enrich.errors import CorkboardError

MAX_HOSTS = 10_000  # remembered; the idle ones are forgotten beyond that


class HostSilent(CorkboardError):
    """The host is left alone."""


@dataclass(slots=True)
class _Host:
    slots: asyncio.Semaphore
    next_start: float = 0.0  # loop time before which no request may start
    silences: int = 0  # requests in a row that the host did not answer
    waiting: int = 0


class Politeness:
    """The turns of every host: at once, seconds between two starts, and unanswered requests in a row per host."""

    def __init__(self, connections: int, delay: float, max_silences: int) -> None:
        self._connections = connections
        self._delay = delay
        self._max_silences = max_silences
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str, crawl_delay: float | None = None) -> AsyncIterator[None]:
        """Wait for the host's next free connection and moment, and hold that connection. Raises HostSilent."""
        state = self._of(host)
        state.waiting += 1
        try:
            async with state.slots:
                if state.silences >= self._max_silences:
                    raise HostSilent(f"{host} did not answer {state.silences} requests in a row")
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

    def _of(self, host: str) -> _Host:
        if host not in self._hosts:
            if len(self._hosts) >= MAX_HOSTS:
                self._forget_idle()
            self._hosts[host] = _Host(asyncio.Semaphore(self._connections))
        return self._hosts[host]

    def _forget_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        self._hosts = {name: host for name, host in self._hosts.items() if host.waiting or host.next_start > now}
