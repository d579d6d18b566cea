"""How many bytes of bodies are held at once: by requests that are being answered, and by who has yet to read them.

A small body always comes in. A larger one waits, its server unheard, until there is room for all that it may come to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from threading import Lock
from typing import Any

_LOOK = 0.02  # seconds between two looks whether there is room: another thread makes it


class BodyRoom:
    """Room for so many bytes; of one event loop and any threads. A body larger than all of it comes alone."""

    def __init__(self, most: int, small: int) -> None:
        """`small`: bytes of a body that asks for no room."""
        self.small = small
        self._most, self._held, self._lock = most, 0, Lock()

    @asynccontextmanager
    async def larger(self, size: int) -> AsyncIterator[None]:
        """While a body comes in that was small until here and may come to `size` bytes. Who has room waits for none."""
        while not self._take(size):
            await asyncio.sleep(_LOOK)
        try:
            yield
        finally:
            self._add(-size)

    def hold(self, size: int, until: Future[Any]) -> None:
        """What came in takes its room until that is done."""
        self._add(size)
        until.add_done_callback(lambda _: self._add(-size))

    def _take(self, size: int) -> bool:
        with self._lock:
            free = self._held == 0 or self._held + size <= self._most
            self._held += size if free else 0
        return free

    def _add(self, size: int) -> None:
        with self._lock:
            self._held += size
