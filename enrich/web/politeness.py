"""How hard a host may be asked: so many connections, so long between requests, and not at all once it is silent.

HostRefused (CorkboardError)
├── HostSilent     the host left so many requests in a row without an answer that it is left alone
└── HostBusy       the host asked for a longer pause (Retry-After, Crawl-delay) than a run waits for
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from enrich.errors import CorkboardError

MAX_HOSTS = 10_000  # remembered; the idle ones are forgotten beyond that
MAX_PAUSE = 30.0  # seconds that a host can make us wait; one that asks for more is left for the next run


class HostRefused(CorkboardError):
    """The host is left alone."""


class HostSilent(HostRefused):
    """It does not answer."""


class HostBusy(HostRefused):
    """It asked not to be asked for a while."""


@dataclass(slots=True)
class _Host:
    slots: asyncio.Semaphore
    next_start: float = 0.0  # loop time before which no request may start
    paused_until: float = 0.0  # loop time before which the host asked for no request
    silences: int = 0  # requests in a row that the host did not answer
    waiting: int = 0


class Politeness:
    """The turns of every host: at once, seconds between two starts, and unanswered requests in a row per host."""

    def __init__(self, connections: int, delay: float, max_silences: int, sharers: int = 1) -> None:
        """Of `sharers` that ask the same hosts and know nothing of each other each has its share of what is allowed."""
        self._connections = max(1, connections // sharers)
        self._delay = delay
        self._max_silences = max_silences
        self._sharers = sharers
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str, crawl_delay: float | None = None) -> AsyncIterator[None]:
        """Wait for the host's next free connection and moment, and hold that connection. Raises HostRefused."""
        state = self._of(host)
        state.waiting += 1
        try:
            async with state.slots:
                await self._wait(host, state, max(self._delay, crawl_delay or 0.0))
                yield
        finally:
            state.waiting -= 1

    async def _wait(self, host: str, state: _Host, delay: float) -> None:
        if state.silences >= self._max_silences:
            raise HostSilent(f"{host} did not answer {state.silences} requests in a row")
        loop, most = asyncio.get_running_loop(), max(MAX_PAUSE, self._delay)
        while (now := loop.time()) < (start := max(state.next_start, state.paused_until)):
            if state.paused_until > now + most or state.next_start > now + most * self._sharers:
                raise HostBusy(f"{host} asked for a pause of {start - now:.0f} s more")
            await asyncio.sleep(start - now)
        # from when it does start: a late start does not draw the next one nearer
        state.next_start = now + delay * self._sharers

    def pause(self, host: str, seconds: float) -> None:
        """The host asked for no request for so long (Retry-After)."""
        state = self._of(host)
        state.paused_until = max(state.paused_until, asyncio.get_running_loop().time() + seconds)

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
        self._hosts = {
            name: host
            for name, host in self._hosts.items()
            if host.waiting or max(host.next_start, host.paused_until) > now
        }
