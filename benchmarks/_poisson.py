"""Requests at random moments: Poisson arrivals at a service, each timed from the moment it was due.

A client that waits for an answer before it asks again measures a service at its best; people do not wait for each
other. Arrivals here are drawn beforehand, and a late start counts as the service's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx
import numpy as np

Body = Callable[[], dict[str, object]]


class Load(NamedTuple):
    seconds: list[float]  # each answer's, from when it was due
    errors: int  # of another status than 200
    flagged: int  # answers that were degraded or partial


async def poisson(address: str, body: Body, rate: float, seconds: float, seed: int = 3) -> Load:
    """POST /score at `address`, `rate` requests a second on average for so many seconds."""
    random = np.random.default_rng(seed)
    due = np.cumsum(random.exponential(1 / rate, int(rate * seconds))).tolist()
    found: list[float] = []
    errors = flagged = 0
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=address, timeout=30, limits=limits) as client:

        async def ask(at: float, content: dict[str, object]) -> None:
            nonlocal errors, flagged
            answer = await client.post("/score", json=content)
            found.append(time.perf_counter() - at)
            if answer.status_code != 200:
                errors += 1
            elif b'"degraded":false,"partial":false' not in answer.content[:400]:
                flagged += 1

        begun, asked = time.perf_counter(), []
        for moment in due:
            content = body()
            await asyncio.sleep(max(0.0, begun + moment - time.perf_counter()))
            asked.append(asyncio.create_task(ask(begun + moment, content)))
        await asyncio.gather(*asked)
    return Load(found, errors, flagged)
