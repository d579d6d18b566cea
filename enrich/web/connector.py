"""The only door to the network: resolves a host once, refuses what is not public, connects to exactly what it checked.

httpcore asks this backend for every TCP connection. A name is resolved here and nowhere else, every address that it
has must be public (one that is not betrays a rebinding or a mistake), and the socket is opened to one of those very
addresses, so nothing can change between the check and the connection. TLS still verifies the host's name. What comes
over a connection is counted, whatever it is: a body in chunks of a byte, or answers that announce another without end.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore
from httpcore import SOCKET_OPTION

from enrich.errors import CorkboardError
from enrich.web.addresses import refuse_address
from enrich.web.decompress import TooLarge

MAX_ADDRESSES = 4  # tried of one host

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # host, port -> IP literals, in the order to try


class Unresolved(CorkboardError):
    """The host's name has no address, or the resolver did not say in time."""


class Resolver:
    """The system's resolver, which blocks: so many threads of its own that slow names hold up nothing else."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Raises Unresolved."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, _getaddrinfo, host, port)
        except (OSError, UnicodeError) as error:
            raise Unresolved(f"expected an address for {host}, found none ({error})") from error
        return list(dict.fromkeys(str(address[4][0]) for address in found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


class _Counted(httpcore.AsyncNetworkStream):
    """A connection that raises TooLarge where more than `limit` bytes come in answer to what was last written."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, limit: int) -> None:
        self._stream = stream
        self._limit = self._left = limit

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        content = await self._stream.read(max_bytes, timeout)
        self._left -= len(content)
        if self._left < 0:
            raise TooLarge(f"more than {self._limit} bytes in answer to one request")
        return content

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._left = self._limit
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Counted(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._limit)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class CheckedBackend(httpcore.AnyIOBackend):
    """httpcore's asyncio backend behind the check. `connect_to` sends every connection to one loopback address.

    A connection over which more than `limit` bytes come between two writes raises TooLarge.
    """

    def __init__(self, resolve: Resolve, allow_loopback: bool, connect_to: tuple[str, int] | None, limit: int) -> None:
        self._resolve = resolve
        self._allow_loopback = allow_loopback
        self._connect_to = connect_to
        self._limit = limit

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises UnsafeURL or Unresolved within `timeout`, httpcore.ConnectError or ConnectTimeout within another."""
        if self._connect_to is not None:
            address, port = self._connect_to
            connected = await super().connect_tcp(address, port, timeout, local_address, socket_options)
            return _Counted(connected, self._limit)
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked(host, port)
        except TimeoutError as error:
            raise Unresolved(f"expected an address for {host}, found none within {timeout} s") from error
        connected = await self._first(addresses, port, timeout, local_address, socket_options)
        return _Counted(connected, self._limit)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SOCKET_OPTION] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.UnsupportedProtocol("expected a host, found a Unix socket")

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        addresses = await self._resolve(host, port)
        if not addresses:
            raise Unresolved(f"expected an address for {host}, found none")
        for address in addresses:
            refuse_address(address, allow_loopback=self._allow_loopback)
        return addresses[:MAX_ADDRESSES]

    async def _first(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        """The first address that answers; each has an equal share of the time."""
        share = timeout / len(addresses) if timeout is not None else None
        for last, address in enumerate(addresses, start=1 - len(addresses)):
            try:
                return await super().connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if last == 0:
                    raise
        raise Unresolved("expected at least one address")
