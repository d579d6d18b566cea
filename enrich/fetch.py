"""Fetch pages and images over HTTP(S): safely, politely, within bounds, every outcome with its reason.

Safety: `addresses.parse_url` judges each URL, of redirects too, and `connector.CheckedBackend` each address. Manners:
robots.txt (RFC 9309), so many connections and so long between requests per host, Crawl-delay and Retry-After, a named
user agent. Bounds: time to connect, between bytes and in all; bytes on the wire and inflated; redirects; attempts. A
host that hangs, drips, resets, loops or lies costs its own turn. No proxy, cookie or credential is ever sent.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import NamedTuple, Self, TypeVar
from urllib.parse import urljoin

import httpcore
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

import enrich
from enrich.errors import BadInput
from enrich.web.addresses import UnsafeURL as UnsafeURL
from enrich.web.addresses import WebURL, parse_url
from enrich.web.addresses import check_url as check_url
from enrich.web.connector import CheckedBackend, Resolve, Resolver
from enrich.web.decompress import ACCEPT_ENCODING, Inflater, TooLarge
from enrich.web.fetch_reasons import TRANSIENT as TRANSIENT
from enrich.web.fetch_reasons import UNANSWERED, HealingWait, failure_of, heals_soon, parse_retry_after
from enrich.web.fetch_reasons import FetchFailed as FetchFailed
from enrich.web.fetch_reasons import Reason as Reason
from enrich.web.politeness import Politeness
from enrich.web.robots import MAX_ROBOTS_BYTES, RobotsCache, Rules
from enrich.web.robots import robots_allows as robots_allows

Taken = TypeVar("Taken")
HTML_TYPES = ("text/html", "application/xhtml+xml")
USER_AGENT = f"CorkboardBot/{enrich.__version__} (link titles for search relevance)"
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How to fetch. Seconds and bytes; the defaults suit strangers' servers."""

    user_agent: str = USER_AGENT
    concurrency: int = 64  # requests at once, over all hosts
    host_connections: int = 2  # requests at once to one host
    host_delay: float = 1.0  # between the starts of two requests to one host
    max_crawl_delay: float = 30.0  # the most of a site's own Crawl-delay that is kept
    connect_timeout: float = 5.0  # name, TCP and TLS
    read_timeout: float = 10.0  # between two pieces of an answer
    total_timeout: float = 30.0  # for one request, from its turn to its last byte
    max_wire_bytes: int = 5_000_000  # of one body as sent
    max_bytes: int = 10_000_000  # of one body inflated
    max_redirects: int = 5
    attempts: int = 2  # at what can heal within a run
    backoff: float = 0.5  # mean wait before the second attempt, doubling, with jitter
    max_silences: int = 5  # unanswered requests in a row after which a host is left for the next run
    obey_robots: bool = True
    robots_keep: float = 86_400.0  # for which a robots.txt is believed (RFC 9309: at most a day)
    allow_loopback: bool = False  # for tests and demonstrations
    connect_to: str | None = None  # ADDRESS:PORT on loopback that stands for every host, over plain http

    def __post_init__(self) -> None:
        if min(self.concurrency, self.host_connections, self.attempts) < 1:
            raise BadInput("expected concurrency, host_connections and attempts of at least 1; raise them")
        if self.connect_to is not None:
            self.connect_address()

    def connect_address(self) -> tuple[str, int] | None:
        """`connect_to` taken apart. Raises BadInput unless it is a loopback address and a port."""
        if self.connect_to is None:
            return None
        host, _, port = self.connect_to.rpartition(":")
        host = "127.0.0.1" if host == "localhost" else host.strip("[]")
        try:
            if not ipaddress.ip_address(host).is_loopback or not 0 < int(port) < 65536:
                raise ValueError(self.connect_to)
        except ValueError as error:
            raise BadInput(
                f"expected a loopback address and port to connect to, as in 127.0.0.1:8000, found {self.connect_to!r}"
            ) from error
        return host, int(port)


class Outcome(NamedTuple):
    """What became of one URL: its content, or the reason why there is none."""

    url: str  # as asked for
    reason: str | None = None
    final_url: str | None = None  # after redirects
    content_type: str | None = None
    body: bytes = b""


class _Want(NamedTuple):
    """What of an answer is taken."""

    types: tuple[str, ...] = ()  # media types; empty for any
    max_bytes: int = 0
    cut: bool = False  # take the first max_bytes of a larger body, instead of failing


class _Answer(NamedTuple):
    location: str | None = None
    content_type: str | None = None
    body: bytes = b""


class Fetcher:
    """Fetches on the running event loop; make it, use it and `close` it there. `resolve` defaults to the system's."""

    def __init__(
        self, settings: FetchSettings, types: tuple[str, ...] = HTML_TYPES, resolve: Resolve | None = None
    ) -> None:
        self._settings = settings
        self._want = _Want(types, settings.max_bytes)
        self._resolver = Resolver()
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._politeness = Politeness(settings.host_connections, settings.host_delay, settings.max_silences)
        self._robots = RobotsCache(self._ask_robots, settings.robots_keep)
        backend = CheckedBackend(resolve or self._resolver, settings.allow_loopback, settings.connect_address())
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=None,  # bounded by concurrency, and by host_connections
            max_keepalive_connections=settings.concurrency,
            keepalive_expiry=15.0,
            http2=True,
            network_backend=backend,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._robots.close()
        await self._pool.aclose()
        self._resolver.close()

    async def fetch_all(self, urls: Sequence[str], take: Callable[[Outcome], Taken]) -> list[Taken]:
        """What `take` makes of each URL's outcome, in the order given; a body is dropped once it was taken."""

        async def one(url: str) -> Taken:
            return take(await self.fetch(url))

        return await asyncio.gather(*(one(url) for url in urls))

    async def fetch(self, url: str) -> Outcome:
        """The outcome of one URL, in bounded time once its host's turn has come; never raises."""
        try:
            target = parse_url(url, allow_loopback=self._settings.allow_loopback)
            final, answer = await self._follow(target, self._want, self._settings.obey_robots)
        except UnsafeURL:
            return Outcome(url, Reason.UNSAFE_URL.value)
        except FetchFailed as failure:
            return Outcome(url, failure.reason)
        return Outcome(url, None, str(final), answer.content_type, answer.body)

    async def _follow(self, url: WebURL, want: _Want, obey_robots: bool) -> tuple[WebURL, _Answer]:
        for _ in range(self._settings.max_redirects + 1):
            rules = await self._robots.rules(url) if obey_robots else None
            if rules is not None and not rules.allows(str(url)):
                raise FetchFailed(Reason.REFUSED_ROBOTS)
            answer = await self._healed(url, want, rules.crawl_delay if rules is not None else None)
            if answer.location is None:
                return url, answer
            try:
                joined = urljoin(str(url), answer.location)
            except ValueError as error:
                raise FetchFailed(Reason.BAD_REDIRECT) from error
            url = parse_url(joined, allow_loopback=self._settings.allow_loopback)
        raise FetchFailed(Reason.TOO_MANY_REDIRECTS)

    async def _ask_robots(self, url: WebURL) -> Rules:
        """The host's rules (RFC 9309, 2.3.1): none where it has no robots.txt; unreachable where it cannot say."""
        agent = self._settings.user_agent
        try:
            _, answer = await self._follow(
                url._replace(target="/robots.txt"), _Want((), MAX_ROBOTS_BYTES, cut=True), obey_robots=False
            )
        except FetchFailed as failure:
            status = failure.reason.removeprefix("status-")
            if status.startswith("5") or status == "429":
                raise FetchFailed(Reason.ROBOTS_UNREACHABLE) from failure
            if failure.reason in UNANSWERED or failure.reason in (Reason.DNS, Reason.TLS, Reason.HOST_SILENT):
                raise
            return Rules(b"", agent)
        return Rules(answer.body, agent)

    async def _healed(self, url: WebURL, want: _Want, crawl_delay: float | None) -> _Answer:
        """One answer, asked for again where that may help."""
        settings = self._settings
        retrying = AsyncRetrying(
            stop=stop_after_attempt(settings.attempts),
            retry=retry_if_exception(heals_soon),
            wait=HealingWait(settings.backoff),
            reraise=True,
        )
        delay = min(crawl_delay or 0.0, settings.max_crawl_delay)
        return await retrying(self._in_turn, url, want, delay)

    async def _in_turn(self, url: WebURL, want: _Want, delay: float) -> _Answer:
        try:
            async with self._politeness.turn(url.host, delay), self._slots:
                async with asyncio.timeout(self._settings.total_timeout):
                    answer = await self._ask(url, want)
        except Exception as error:  # whatever a hostile server makes the client raise costs its page alone
            failure = failure_of(error)
            if failure.reason in UNANSWERED:
                self._politeness.silent(url.host)
            elif failure.reason != Reason.HOST_SILENT:
                self._politeness.answered(url.host)
            raise failure from error
        self._politeness.answered(url.host)
        return answer

    async def _ask(self, url: WebURL, want: _Want) -> _Answer:
        settings = self._settings
        scheme = "http" if settings.connect_to is not None else url.scheme
        headers = [
            (b"Host", url.host_header.encode()),
            (b"User-Agent", settings.user_agent.encode()),
            (b"Accept", (", ".join((*want.types, "*/*;q=0.1"))).encode()),
            (b"Accept-Encoding", ACCEPT_ENCODING.encode()),
        ]
        timeout = {"connect": settings.connect_timeout, "read": settings.read_timeout, "write": settings.read_timeout}
        target = httpcore.URL(scheme=scheme, host=url.host.strip("[]"), port=url.port, target=url.target)
        async with self._pool.stream("GET", target, headers=headers, extensions={"timeout": timeout}) as response:
            return await self._taken(response, want)

    async def _taken(self, response: httpcore.Response, want: _Want) -> _Answer:
        header = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        if response.status in _REDIRECTS:
            if "location" not in header:
                raise FetchFailed(Reason.BAD_REDIRECT)
            return _Answer(header["location"].strip())
        if response.status != 200:
            raise FetchFailed(f"status-{response.status}", parse_retry_after(header.get("retry-after")))
        content_type = header.get("content-type")
        if want.types and content_type and content_type.split(";")[0].strip().lower() not in want.types:
            raise FetchFailed(Reason.NOT_HTML)
        wire_limit = min(self._settings.max_wire_bytes, want.max_bytes)
        length = header.get("content-length", "")
        if not want.cut and length.isdecimal() and int(length[:20]) > wire_limit:
            raise FetchFailed(Reason.TOO_LARGE)
        body = await _body(response, header.get("content-encoding", ""), want, wire_limit)
        if want.types and not content_type and not body.lstrip()[:1] == b"<":
            raise FetchFailed(Reason.NOT_HTML)
        return _Answer(None, content_type, body)


async def _body(response: httpcore.Response, encoding: str, want: _Want, wire_limit: int) -> bytes:
    inflater, body, wire = Inflater(encoding, want.max_bytes), bytearray(), 0
    async for piece in response.aiter_stream():
        wire += len(piece)
        try:
            body += inflater.feed(piece)
            if wire > wire_limit:
                raise TooLarge("the body is larger on the wire than the limit")
        except TooLarge:
            if want.cut:
                break
            raise
    return bytes(body)


@cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the certificates takes longer than a page."""
    return httpcore.default_ssl_context()


class FetchSession:
    """A Fetcher for code that is not asynchronous: one event loop, whose connections and rules last until the end."""

    def __init__(
        self, settings: FetchSettings, types: tuple[str, ...] = HTML_TYPES, resolve: Resolve | None = None
    ) -> None:
        self._runner = asyncio.Runner()
        self._settings, self._types, self._resolve = settings, types, resolve
        self._fetcher: Fetcher | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fetcher is not None:
            self._runner.run(self._fetcher.close())
        self._runner.close()

    def fetch_all(self, urls: Sequence[str], take: Callable[[Outcome], Taken]) -> list[Taken]:
        """As Fetcher.fetch_all. Cannot be called where an event loop already runs."""
        return self._runner.run(self._fetch_all(urls, take))

    async def _fetch_all(self, urls: Sequence[str], take: Callable[[Outcome], Taken]) -> list[Taken]:
        if self._fetcher is None:
            self._fetcher = Fetcher(self._settings, self._types, self._resolve)
        return await self._fetcher.fetch_all(urls, take)


def fetch_bytes(url: str, settings: FetchSettings | None = None) -> bytes:
    """The content of one URL of any media type, an image for one. Raises FetchFailed. For many, keep a FetchSession."""
    with FetchSession(settings or FetchSettings(), types=()) as session:
        outcome = session.fetch_all([url], lambda outcome: outcome)[0]
    if outcome.reason is not None:
        raise FetchFailed(outcome.reason)
    return outcome.body
