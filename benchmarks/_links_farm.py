"""A loopback web to fetch: 200 host names on one port, real pages, a latency, and some of every fault.

    python -m benchmarks._links_farm [--latency SECONDS] [--small]      prints ADDRESS:PORT, serves until it is ended

Reads ../shared/data/link_pages/pages.parquet, or, where that is absent, data/sample/pages. `farm()` runs it in a
process of its own; `farm_urls` says which URLs it has and what must become of each. Used by `benchmarks.links_fetch`.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

ROOT = Path(__file__).resolve().parents[1]
REAL_PAGES = ROOT.parent / "shared" / "data" / "link_pages" / "pages.parquet"
SAMPLE_PAGES = ROOT / "data" / "sample" / "pages"
HOSTS = 200
LATENCY = 0.05  # seconds before an answer
FAULT_SHARE = 0.02  # of the URLs, for each kind
FAULTS = {  # the first part of a path -> the reason that must come of it
    "hang": "timeout-read",
    "drip": "timeout-total",
    "reset": "connection",
    "short": "protocol",
    "garbage": "protocol",
    "loop": "too-many-redirects",
    "away": "unsafe-url",
    "huge": "too-large",
    "bomb": "too-large",
    "mislabelled": "bad-encoding",
    "picture": "not-html",
    "missing": "status-404",
    "unavailable": "status-503",
    "private": "refused-robots",
    "unlisted": "refused-noindex",
}
_BOMB = gzip.compress(b" " * 20_000_000)
_DRIP_EVERY = 0.2  # seconds
_SMALL = [
    f"<title>Page {n} | Farm</title><meta name=description content='The {n}th page of the farm.'>".encode()
    for n in range(1_000)
]


class FarmURL(NamedTuple):
    url: str
    reason: str | None  # that must come of it; None for a page


def farm_urls(count: int, hosts: int = HOSTS, fault_share: float = FAULT_SHARE, seed: int = 0) -> list[FarmURL]:
    """`count` distinct URLs, host after host; `fault_share` of them for each fault, in a random order."""
    faulty = [kind for kind in FAULTS for _ in range(round(count * fault_share))]
    kinds: list[str | None] = [*faulty, *[None] * (count - len(faulty))]
    random.Random(seed).shuffle(kinds)
    return [
        FarmURL(f"http://host{n % hosts}.example/{kind or 'page'}/{n}", FAULTS[kind] if kind else None)
        for n, kind in enumerate(kinds)
    ]


@contextmanager
def farm(latency: float = LATENCY, small: bool = False) -> Iterator[str]:
    """Its ADDRESS:PORT, served by a process of its own until the end; `small`: pages of a few hundred bytes."""
    command = [
        sys.executable,
        "-m",
        "benchmarks._links_farm",
        "--latency",
        str(latency),
        *(["--small"] if small else []),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


def real_pages() -> list[bytes]:
    """The pages that the farm serves: real ones, or the sample's where those are absent."""
    if REAL_PAGES.is_file():
        return list(pl.read_parquet(REAL_PAGES, columns=["html"])["html"])
    return [path.read_bytes() for path in sorted(SAMPLE_PAGES.rglob("*.html"))]


class _Site(asyncio.Protocol):
    """One connection: a request, a pause, an answer, and again. No pipelining."""

    def __init__(self, pages: list[bytes], latency: float) -> None:
        self._pages = pages
        self._latency = latency
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" in self._received:
            path = self._received.split(b" ", 2)[1].decode("latin-1")
            self._received = b""
            asyncio.get_running_loop().call_later(self._latency, partial(self._answer, path))

    def _answer(self, path: str) -> None:
        if self._transport is None:
            return
        kind = path.split("/")[1]
        if kind == "robots.txt":
            self._send(b"User-agent: *\nDisallow: /private\n", "text/plain")
        elif kind in _MISBEHAVE:
            _MISBEHAVE[kind](self, self._transport)
        elif (number := path.rsplit("/", 1)[1]).isdecimal():
            self._send(self._pages[int(number) % len(self._pages)])
        else:  # of another host: a client that checks nothing follows redirects to it
            self._send(b"", status="404 Not Found")

    def _send(self, body: bytes, content_type: str = "text/html", status: str = "200 OK", *lines: str) -> None:
        if self._transport is None:
            return
        head = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *lines, "", ""]
        self._transport.write("\r\n".join(head).encode() + body)

    def _drip(self) -> None:
        if self._transport is not None:
            self._transport.write(b" ")
            asyncio.get_running_loop().call_later(_DRIP_EVERY, self._drip)

    def hang(self, transport: asyncio.Transport) -> None:
        """Say nothing."""

    def drip(self, transport: asyncio.Transport) -> None:
        transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        self._drip()

    def reset(self, transport: asyncio.Transport) -> None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def short(self, transport: asyncio.Transport) -> None:
        transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<html>")
        transport.close()

    def garbage(self, transport: asyncio.Transport) -> None:
        transport.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        transport.close()

    def loop(self, transport: asyncio.Transport) -> None:
        self._send(b"", "text/html", "302 Found", "Location: /loop/again")

    def away(self, transport: asyncio.Transport) -> None:
        self._send(b"", "text/html", "302 Found", "Location: http://169.254.169.254/latest/meta-data/")

    def huge(self, transport: asyncio.Transport) -> None:
        transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000000000000\r\n\r\n")
        transport.close()

    def bomb(self, transport: asyncio.Transport) -> None:
        self._send(_BOMB, "text/html", "200 OK", "Content-Encoding: gzip")

    def mislabelled(self, transport: asyncio.Transport) -> None:
        self._send(b"<title>Plain</title>", "text/html", "200 OK", "Content-Encoding: gzip")

    def picture(self, transport: asyncio.Transport) -> None:
        self._send(b"\x89PNG", "image/png")

    def missing(self, transport: asyncio.Transport) -> None:
        self._send(b"", "text/html", "404 Not Found")

    def unavailable(self, transport: asyncio.Transport) -> None:
        self._send(b"", "text/html", "503 Service Unavailable")

    def unlisted(self, transport: asyncio.Transport) -> None:
        self._send(self._pages[0], "text/html", "200 OK", "X-Robots-Tag: noindex")


_MISBEHAVE = {kind: getattr(_Site, kind) for kind in FAULTS if kind != "private"}


async def _serve(latency: float, pages: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Site(pages, latency), "127.0.0.1", 0, backlog=4096)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"{host}:{port}", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a loopback web with faults, until ended.")
    parser.add_argument("--latency", type=float, default=LATENCY, help="seconds before an answer")
    parser.add_argument("--small", action="store_true", help="pages of a few hundred bytes")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.latency, _SMALL if arguments.small else real_pages()))


if __name__ == "__main__":
    main()
