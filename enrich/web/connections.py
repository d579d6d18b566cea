"""The open connections of many hosts: a small pool a host, so that a request looks through its own host's alone.

(One pool for all hosts looks through every connection at every request: at 256 it spends longer on that than on the
page.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpcore


@dataclass(slots=True)
class _Pool:
    pool: httpcore.AsyncConnectionPool
    users: int = 0


class Connections:
    """Pools by host, at most `keep` of them idle: the one idle for longest is closed first."""

    def __init__(self, open_pool: Callable[[], httpcore.AsyncConnectionPool], keep: int) -> None:
        self._open_pool = open_pool
        self._keep = keep
        self._pools: OrderedDict[str, _Pool] = OrderedDict()  # the last used last

    @asynccontextmanager
    async def of(self, host: str) -> AsyncIterator[httpcore.AsyncConnectionPool]:
        """The host's pool, which stays open while it is held."""
        if host not in self._pools:
            self._pools[host] = _Pool(self._open_pool())
        self._pools.move_to_end(host)
        held = self._pools[host]
        held.users += 1
        try:
            yield held.pool
        finally:
            held.users -= 1
            await self._shed()

    async def leave(self, host: str) -> None:
        """Nothing more is wanted of the host for now: close what is open to it, unless somebody uses it."""
        if host in self._pools and not self._pools[host].users:
            await self._pools.pop(host).pool.aclose()

    async def close(self) -> None:
        """Close every connection."""
        while self._pools:
            await self._pools.popitem()[1].pool.aclose()

    async def _shed(self) -> None:
        excess = len(self._pools) - self._keep
        idle = [host for host, held in self._pools.items() if not held.users] if excess > 0 else []
        for host in idle[:excess]:
            await self.leave(host)
