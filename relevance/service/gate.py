"""How much is worked on at once: a few threads, a bounded queue before them, and no answer later than it is wanted.

A request that finds the queue full is refused at once (`TooBusy`), with the seconds after which it may be worth asking
again; one whose time is over while it waits, or while its work hangs, ends as `OutOfTime`. Work that is begun is never
cut off: its thread is taken again when it is done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import TypeVar

Result = TypeVar("Result")
_SMOOTHING = 0.1  # of the mean time of work, for each piece that ends


class TooBusy(Exception):
    """The queue is full."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"expected a free place in the queue, found it full; ask again in {retry_after} s")
        self.retry_after = retry_after  # seconds


class OutOfTime(Exception):
    """The deadline passed before an answer was there."""


class Gate:
    """For the event loop of one process."""

    def __init__(self, threads: int, waiting: int, show: Callable[[int], None] | None = None) -> None:
        """`show` is told how many requests are in the queue, whenever their number changes."""
        self._threads, self._limit, self._show = threads, waiting, show
        self._mean_seconds = 0.01
        self.open()
        self.waiting = 0  # requests in the queue

    def open(self) -> None:
        """Begin, or begin again after `close`, in whichever event loop runs then."""
        self._pool = ThreadPoolExecutor(self._threads, "answer")
        self._free = asyncio.Semaphore(self._threads)

    async def run(self, work: Callable[[], Result], until: float) -> Result:
        """What `work` gives, on a thread. `until` is of `time.monotonic`. Raises TooBusy, OutOfTime."""
        await self._place(until)
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._timed, work)
        future.add_done_callback(self._ended)
        try:
            return await asyncio.wait_for(asyncio.shield(future), max(0.0, until - time.monotonic()))
        except TimeoutError as error:
            raise OutOfTime from error

    def close(self) -> None:
        """Let what was begun end; nothing new begins."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _place(self, until: float) -> None:
        if self._free.locked() and self.waiting >= self._limit:
            raise TooBusy(max(1, ceil(self.waiting * self._mean_seconds / self._threads)))
        self._wait(1)
        try:
            await asyncio.wait_for(self._free.acquire(), max(0.0, until - time.monotonic()))
        except TimeoutError as error:
            raise OutOfTime from error
        finally:
            self._wait(-1)

    def _wait(self, more: int) -> None:
        self.waiting += more
        if self._show is not None:
            self._show(self.waiting)

    def _timed(self, work: Callable[[], Result]) -> Result:
        started = time.perf_counter()
        try:
            return work()
        finally:
            self._mean_seconds += _SMOOTHING * (time.perf_counter() - started - self._mean_seconds)

    def _ended(self, future: asyncio.Future[Result]) -> None:
        self._free.release()
        if not future.cancelled():
            future.exception()  # seen, also where nobody waits for it any more
