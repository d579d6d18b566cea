"""Fetch pages and images over HTTP(S): safely, politely, within bounds, every outcome with its reason.

Safety: `addresses.parse_url` judges each URL, of redirects too, and `connector.CheckedBackend` each address. Manners:
robots.txt (RFC 9309), X-Robots-Tag, so many connections and so long between requests per host, Crawl-delay and
Retry-After, a named user agent, conditional requests. Bounds: time to connect, between bytes and in all; bytes on the
wire and inflated; redirects; attempts. A host that hangs, drips, resets, loops or lies costs its own turn. No proxy,
cookie or credential is ever sent.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from types import TracebackType
from typing import NamedTuple, Self, TypeVar
from urllib.parse import urljoin

import httpcore

from enrich.web.addresses import UnsafeURL as UnsafeURL
from enrich.web.addresses import WebURL, parse_url
from enrich.web.addresses import check_url as check_url
from enrich.web.body_room import BodyRoom
from enrich.web.connections import Connections
from enrich.web.connector import CheckedBackend, Resolve, Resolver
from enrich.web.exchange import Answer, Validators, Want, request_headers, take_answer
from enrich.web.fetch_reasons import TRANSIENT as TRANSIENT
from enrich.web.fetch_reasons import UNANSWERED, failure_of, healing_wait, heals_soon, unavailable
from enrich.web.fetch_reasons import FetchFailed as FetchFailed
from enrich.web.fetch_reasons import Reason as Reason
from enrich.web.fetch_settings import FetchSettings as FetchSettings
from enrich.web.frontier import Frontier
from enrich.web.politeness import Politeness
from enrich.web.robots import MAX_ROBOTS_BYTES, RobotsCache, Rules
from enrich.web.robots import robots_allows as robots_allows

Taken = TypeVar("Taken")
HTML_TYPES = ("text/html", "application/xhtml+xml")
_FRAMED = 2  # times the bytes of the largest body that may come for one request, heads and chunk sizes included
_KEEP_ALIVE = 15.0  # seconds for which an idle connection is kept
_NOT_ASKED = (Reason.HOST_SILENT, Reason.ASKED_TO_WAIT)  # tell nothing new of the host
_SAYS_WHY = (Reason.DNS, Reason.TLS, *_NOT_ASKED)  # of a robots.txt that cannot be had: its pages cannot, either


class Request(NamedTuple):
    """A URL to fetch, and what is known of it."""

    url: str
    known: Validators = Validators()  # that came with it the last time ...
    known_url: str | None = None  # ... from here, after redirects
    start: str | None = None  # where to begin instead: where earlier redirects led
    redirects: int = 0  # followed until there

    @property
    def host(self) -> str:
        """Whose turn it takes; "" for a URL that will not be asked for."""
        try:
            return parse_url(self.start or self.url, allow_loopback=True).host
        except UnsafeURL:
            return ""


class Outcome(NamedTuple):
    """What became of one URL: its content, or the reason why there is none."""

    url: str  # as asked for
    reason: str | None = None
    final_url: str | None = None  # after redirects; of reason elsewhere: where it goes on
    content_type: str | None = None
    body: bytes = b""
    validators: Validators = Validators()
    unchanged: bool = False  # since the validators of the request; then there is no body
    snippet: bool = True  # whether X-Robots-Tag lets the description be used
    redirects: int = 0  # followed
    seconds: float = 0.0  # from its turn at the frontier to its end


class _Elsewhere(FetchFailed):
    def __init__(self, url: WebURL, redirects: int) -> None:
        super().__init__(Reason.ELSEWHERE)
        self.url, self.redirects = url, redirects


class Fetcher:
    """Fetches on the running event loop; use it and `close` it there.

    `resolve` defaults to the system's, `tls` to the certificates of certifi. A redirect to a host that is not in
    `hosts` is not followed but handed back. Large bodies wait for `room`, where there is one.
    """

    def __init__(
        self,
        settings: FetchSettings,
        types: tuple[str, ...] = HTML_TYPES,
        resolve: Resolve | None = None,
        hosts: Callable[[str], bool] | None = None,
        tls: ssl.SSLContext | None = None,
        room: BodyRoom | None = None,
    ) -> None:
        self._settings = settings
        agent = settings.agent if settings.obey_robots else None
        self._want = Want(types, settings.max_wire_bytes, settings.max_bytes, agent=agent, room=room)
        self._hosts = hosts
        self._resolver = Resolver(settings.concurrency)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._politeness = Politeness(
            settings.host_connections, settings.host_delay, settings.max_silences, settings.sharers
        )
        self._robots = RobotsCache(self._ask_robots, settings.robots_keep)
        self._backend = CheckedBackend(
            resolve or self._resolver,
            settings.allow_loopback,
            settings.connect_address(),
            limit=_FRAMED * settings.max_wire_bytes,
        )
        self._tls = tls
        self._connections = Connections(self._pool, settings.concurrency)

    def _pool(self) -> httpcore.AsyncConnectionPool:
        """One host's connections, bounded by its turns; names are looked up and addresses checked by our backend."""
        return httpcore.AsyncConnectionPool(
            ssl_context=self._tls or _tls(),
            max_connections=None,
            max_keepalive_connections=self._settings.host_connections,
            keepalive_expiry=_KEEP_ALIVE,
            http2=True,
            network_backend=self._backend,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._robots.close()
        await self._connections.close()
        self._resolver.close()

    async def fetch_all(self, urls: Sequence[str], take: Callable[[Outcome], Taken]) -> list[Taken]:
        """What `take` makes of each URL's outcome, in the order given; a body is dropped once it was taken."""
        taken: dict[int, Taken] = {}

        async def one(item: tuple[int, Request]) -> None:
            taken[item[0]] = take(await self.fetch(item[1]))

        numbered = enumerate(Request(url) for url in urls)
        await self._drain(Frontier(numbered, lambda item: item[1].host), one)
        return [taken[number] for number in range(len(urls))]

    async def visit(self, requests: Sequence[Request], take: Callable[[Outcome], None]) -> None:
        """Hand each request's outcome to `take` as it comes, in no order; what `take` raises stops everything."""

        async def one(request: Request) -> None:
            take(await self.fetch(request))

        await self._drain(Frontier(requests, lambda request: request.host), one)

    async def _drain(self, frontier: Frontier[Taken], work: Callable[[Taken], Awaitable[None]]) -> None:
        settings = self._settings
        each = 2 * settings.host_connections  # so that one that waits to be asked again keeps no connection idle
        await frontier.drain(work, self._connections.leave, settings.concurrency, each)

    async def fetch(self, request: Request) -> Outcome:
        """The outcome of one URL, in bounded time once its host's turn has come; never raises."""
        url, started = request.url, time.monotonic()
        try:
            final, answer, redirects = await self._follow(request)
        except UnsafeURL as error:
            return Outcome(url, failure_of(error).reason, seconds=time.monotonic() - started)
        except _Elsewhere as elsewhere:
            return Outcome(url, elsewhere.reason, str(elsewhere.url), redirects=elsewhere.redirects)
        except FetchFailed as failure:
            return Outcome(url, failure.reason, seconds=time.monotonic() - started)
        return Outcome(
            *(url, None, str(final), answer.content_type, answer.body, answer.validators, answer.unchanged),
            *(answer.allowed.snippet, redirects, time.monotonic() - started),
        )

    async def _follow(self, request: Request) -> tuple[WebURL, Answer, int]:
        """Where a request ends, what is there, and after how many redirects."""
        url = self._parsed(request.start or request.url)
        for redirects in range(request.redirects, self._settings.max_redirects + 1):
            if redirects > request.redirects and self._hosts is not None and not self._hosts(url.host):
                raise _Elsewhere(url, redirects)
            rules = await self._robots.rules(url) if self._settings.obey_robots else None
            if rules is not None and not rules.allows(str(url)):
                raise FetchFailed(Reason.REFUSED_ROBOTS)
            known = request.known if str(url) == request.known_url else Validators()
            answer = await self._healed(url, self._want, known, rules.crawl_delay if rules is not None else None)
            if answer.location is None:
                return url, answer, redirects
            url = self._joined(url, answer.location)
        raise FetchFailed(Reason.TOO_MANY_REDIRECTS)

    async def _ask_robots(self, url: WebURL) -> Rules:
        """The host's rules (RFC 9309, 2.3.1): none where it has no robots.txt, all forbidden where it cannot say."""
        agent = self._settings.user_agent
        want = Want((), MAX_ROBOTS_BYTES, MAX_ROBOTS_BYTES, cut=True)
        at = url._replace(target="/robots.txt")
        try:
            for _ in range(self._settings.max_redirects + 1):
                answer = await self._healed(at, want, Validators(), None)
                if answer.location is None:
                    return Rules(answer.body, agent)
                at = self._joined(at, answer.location)
        except UnsafeURL:
            return Rules(b"", agent)  # it leads where nothing can be had
        except FetchFailed as failure:
            if failure.reason in UNANSWERED or failure.reason in _SAYS_WHY:
                raise
            if not unavailable(failure.reason):
                raise FetchFailed(Reason.ROBOTS_UNREACHABLE) from failure
        return Rules(b"", agent)  # none, or behind more redirects than are followed

    def _joined(self, url: WebURL, location: str) -> WebURL:
        try:
            joined = urljoin(str(url), location)
        except ValueError as error:
            raise FetchFailed(Reason.BAD_REDIRECT) from error
        return self._parsed(joined)

    def _parsed(self, url: str) -> WebURL:
        return parse_url(url, allow_loopback=self._settings.allow_loopback)

    async def _healed(self, url: WebURL, want: Want, known: Validators, crawl_delay: float | None) -> Answer:
        """One answer, asked for again where that may help."""
        settings, delay = self._settings, crawl_delay or 0.0
        for attempt in range(1, settings.attempts):
            try:
                return await self._in_turn(url, want, known, delay)
            except FetchFailed as failure:
                if not heals_soon(failure):
                    raise
            await asyncio.sleep(healing_wait(attempt, settings.backoff))
        return await self._in_turn(url, want, known, delay)

    async def _in_turn(self, url: WebURL, want: Want, known: Validators, delay: float) -> Answer:
        try:
            async with self._politeness.turn(url.host, delay), self._slots:
                async with asyncio.timeout(self._settings.total_timeout):
                    answer = await self._ask(url, want, known)
        except Exception as error:  # whatever a hostile server makes the client raise costs its page alone
            failure = failure_of(error)
            self._learn(url.host, failure)
            raise failure from error
        self._politeness.answered(url.host)
        return answer

    def _learn(self, host: str, failure: FetchFailed) -> None:
        if failure.retry_after:
            self._politeness.pause(host, failure.retry_after)
        if failure.reason in UNANSWERED:
            self._politeness.silent(host)
        elif failure.reason not in _NOT_ASKED:
            self._politeness.answered(host)

    async def _ask(self, url: WebURL, want: Want, known: Validators) -> Answer:
        settings = self._settings
        scheme = "http" if settings.connect_to is not None else url.scheme
        timeout = {"connect": settings.connect_timeout, "read": settings.read_timeout, "write": settings.read_timeout}
        target = httpcore.URL(scheme=scheme, host=url.host.strip("[]"), port=url.port, target=url.target)
        headers = request_headers(url, settings.user_agent, want, known)
        async with (
            self._connections.of(url.host) as pool,
            pool.stream("GET", target, headers=headers, extensions={"timeout": timeout}) as response,
        ):
            return await take_answer(response, want, conditional=known != Validators())


@cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the certificates takes longer than a page."""
    return httpcore.default_ssl_context()


class FetchSession:
    """A Fetcher for code that is not asynchronous: one event loop, whose connections and rules last until the end."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._fetcher.close())
        self._runner.close()

    def fetch_all(self, urls: Sequence[str], take: Callable[[Outcome], Taken]) -> list[Taken]:
        """As Fetcher.fetch_all. Cannot be called where an event loop already runs."""
        return self._runner.run(self._fetcher.fetch_all(urls, take))

    def visit(self, requests: Sequence[Request], take: Callable[[Outcome], None]) -> None:
        """As Fetcher.visit. Cannot be called where an event loop already runs."""
        self._runner.run(self._fetcher.visit(requests, take))
