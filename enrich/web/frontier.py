"""In which order much is asked of many hosts: hosts side by side, the longest queue first, one host's work in turn.

So a slow host holds up nothing but itself, the run is as long as its slowest host and no longer, and the number of
tasks depends on neither the number of hosts nor that of URLs.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Frontier(Generic[Item]):
    """What is still to be asked, a queue a host."""

    def __init__(self, items: Iterable[Item], host_of: Callable[[Item], str]) -> None:
        queues: defaultdict[str, deque[Item]] = defaultdict(deque)
        for item in items:
            queues[host_of(item)].append(item)
        self._queues: Iterator[tuple[str, deque[Item]]] = iter(
            sorted(queues.items(), key=lambda queue: -len(queue[1]))  # stable: ties stay in the order given
        )

    async def drain(
        self, work: Callable[[Item], Awaitable[None]], leave: Callable[[str], Awaitable[None]], hosts: int, each: int
    ) -> None:
        """`work` every item: so many `hosts` at once, `each` so many of its items; `leave` a host when it is done.

        What `work` raises stops everything, and is raised.
        """
        try:
            async with asyncio.TaskGroup() as places:
                for _ in range(hosts):
                    places.create_task(self._take_hosts(work, leave, each))
        except BaseExceptionGroup as group:
            raise _first(group) from group

    async def _take_hosts(
        self, work: Callable[[Item], Awaitable[None]], leave: Callable[[str], Awaitable[None]], each: int
    ) -> None:
        for host, queue in self._queues:  # one iterator for all places: each host is taken once
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(each, len(queue))):
                    workers.create_task(_empty(queue, work))
            await leave(host)


async def _empty(queue: deque[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    while queue:
        await work(queue.popleft())


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
