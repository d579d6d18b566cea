"""Bare clients to measure `enrich.fetch` against: as polite to each host, and checking nothing at all.

No robots.txt, no judgement of URLs and addresses, no bounds on size, no retries, no reasons. Every request goes to
`address`, whatever its host. `bare_httpcore` is our own engine with a pool a host, the stronger of the two;
`bare_httpx` is one AsyncClient, as httpx's documentation shows.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

_REDIRECTS = 5


class Manners(NamedTuple):
    """What both sides keep to. Seconds."""

    connections: int = 2  # at once to a host
    delay: float = 0.1  # between two starts at a host
    read: float = 2.0
    total: float = 5.0


Get = Callable[[str], Awaitable[None]]


async def bare_httpcore(urls: Sequence[str], address: str, manners: Manners) -> None:
    pools: defaultdict[str, httpcore.AsyncConnectionPool] = defaultdict(
        lambda: httpcore.AsyncConnectionPool(max_connections=None, http2=True)
    )
    timeout = {"connect": manners.read, "read": manners.read, "write": manners.read}

    async def get(url: str) -> None:
        for _ in range(_REDIRECTS + 1):
            parts = urlsplit(url)
            headers = [(b"Host", parts.netloc.encode())]
            response = await pools[parts.netloc].request(
                "GET", f"http://{address}{parts.path}", headers=headers, extensions={"timeout": timeout}
            )
            found = [value.decode() for name, value in response.headers if name.lower() == b"location"]
            if not found:
                return
            url = urljoin(url, found[0])

    await _all(urls, get, manners)
    for pool in pools.values():
        await pool.aclose()


async def bare_httpx(urls: Sequence[str], address: str, manners: Manners) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=manners.read) as client:

        async def get(url: str) -> None:
            for _ in range(_REDIRECTS + 1):
                parts = urlsplit(url)
                response = await client.get(f"http://{address}{parts.path}", headers={"Host": parts.netloc})
                if "location" not in response.headers:
                    return
                url = urljoin(url, response.headers["location"])

        await _all(urls, get, manners)


async def _all(urls: Sequence[str], get: Get, manners: Manners) -> None:
    hosts: defaultdict[str, list[str]] = defaultdict(list)
    for url in reversed(urls):
        hosts[urlsplit(url).netloc].append(url)
    await asyncio.gather(*(_host(queue, get, manners) for queue in hosts.values()))


async def _host(queue: list[str], get: Get, manners: Manners) -> None:
    loop, next_start = asyncio.get_running_loop(), 0.0

    async def worker() -> None:
        nonlocal next_start
        while queue:
            url = queue.pop()
            start = max(loop.time(), next_start)
            next_start = start + manners.delay
            await asyncio.sleep(start - loop.time())
            try:
                async with asyncio.timeout(manners.total):
                    await get(url)
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpx.HTTPError):
                continue
            except (TimeoutError, httpx.InvalidURL):
                continue

    await asyncio.gather(*(worker() for _ in range(manners.connections)))
