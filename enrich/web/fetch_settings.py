"""How to fetch: every bound and every courtesy of `enrich.fetch`, with its default and its unit."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import enrich
from enrich.errors import BadInput

USER_AGENT = f"CorkboardBot/{enrich.__version__} (link titles for search relevance)"


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How to fetch. Seconds and bytes; the defaults suit strangers' servers."""

    user_agent: str = USER_AGENT
    concurrency: int = 256  # requests at once, over all hosts; and hosts at once
    host_connections: int = 2  # requests at once to one host
    host_delay: float = 1.0  # between the starts of two requests to one host
    sharers: int = 1  # fetchers that ask the same hosts, each so many times as seldom
    connect_timeout: float = 5.0  # for the name, for TCP and for TLS, each
    read_timeout: float = 10.0  # between two pieces of an answer
    total_timeout: float = 30.0  # for one request, from its turn to its last byte
    max_wire_bytes: int = 3_000_000  # of one body as sent
    max_bytes: int = 6_000_000  # of one body inflated
    max_redirects: int = 5
    attempts: int = 2  # at what can heal within a run
    backoff: float = 0.5  # mean wait before the second attempt, doubling, with jitter
    max_silences: int = 5  # unanswered requests in a row after which a host is left for the next run
    obey_robots: bool = True  # robots.txt and X-Robots-Tag
    robots_keep: float = 86_400.0  # for which a robots.txt is believed (RFC 9309: at most a day)
    allow_loopback: bool = False  # for tests and demonstrations
    connect_to: str | None = None  # ADDRESS:PORT on loopback that stands for every host, over plain http

    def __post_init__(self) -> None:
        if min(self.concurrency, self.host_connections, self.sharers, self.attempts) < 1:
            raise BadInput("expected concurrency, host_connections, sharers and attempts of at least 1; raise them")
        if self.connect_to is not None:
            self.connect_address()

    @property
    def agent(self) -> str:
        """The product token of the user agent, as robots.txt names it."""
        return self.user_agent.partition("/")[0]

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
