"""Why something was not fetched, what may heal, and how long to wait for it.

FetchFailed (CorkboardError)     what was asked for cannot be had; .reason is one of `Reason` or status-NNN
"""

from __future__ import annotations

import email.utils
import ssl
from datetime import UTC, datetime
from enum import StrEnum

import httpcore
from tenacity import RetryCallState, wait_random_exponential

from enrich.errors import CorkboardError
from enrich.web.addresses import UnsafeURL
from enrich.web.connector import Unresolved
from enrich.web.decompress import BadEncoding, TooLarge
from enrich.web.politeness import HostSilent

MAX_RETRY_WAIT = 30.0  # seconds; a host that asks for more is left for the next run


class Reason(StrEnum):
    """Why something was not fetched. An HTTP error is not listed: it is status-NNN."""

    UNSAFE_URL = "unsafe-url"
    REFUSED_ROBOTS = "refused-robots"
    ROBOTS_UNREACHABLE = "robots-unreachable"
    DNS = "dns"
    CONNECTION = "connection"
    TLS = "tls"
    PROTOCOL = "protocol"
    TIMEOUT_CONNECT = "timeout-connect"
    TIMEOUT_READ = "timeout-read"
    TIMEOUT_TOTAL = "timeout-total"
    HOST_SILENT = "host-silent"
    TOO_LARGE = "too-large"
    NOT_HTML = "not-html"
    BAD_ENCODING = "bad-encoding"
    BAD_REDIRECT = "bad-redirect"
    TOO_MANY_REDIRECTS = "too-many-redirects"
    CLIENT_ERROR = "client-error"


UNANSWERED: frozenset[str] = frozenset(
    (Reason.CONNECTION, Reason.TIMEOUT_CONNECT, Reason.TIMEOUT_READ, Reason.TIMEOUT_TOTAL)
)
_HEALING_STATUSES = (429, 500, 502, 503, 504)  # within seconds
_PASSING_STATUSES = (408, 425, 429, *range(500, 600))  # by the next run
_HEALS_SOON: frozenset[str] = frozenset(
    (Reason.CONNECTION, Reason.PROTOCOL, Reason.TIMEOUT_CONNECT, *(f"status-{code}" for code in _HEALING_STATUSES))
)
TRANSIENT: frozenset[str] = UNANSWERED | {  # reasons that may be gone at the next run
    *(Reason.DNS, Reason.PROTOCOL, Reason.ROBOTS_UNREACHABLE, Reason.HOST_SILENT),
    *(f"status-{code}" for code in _PASSING_STATUSES),
}


class FetchFailed(CorkboardError):
    """What was asked for cannot be had."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = str(reason)
        self.retry_after = retry_after  # seconds that the host asked to wait


def failure_of(error: Exception) -> FetchFailed:
    """What an exception of the client means."""
    match error:
        case FetchFailed():
            return error
        case UnsafeURL():
            return FetchFailed(Reason.UNSAFE_URL)
        case Unresolved():
            return FetchFailed(Reason.DNS)
        case HostSilent():
            return FetchFailed(Reason.HOST_SILENT)
        case TooLarge():
            return FetchFailed(Reason.TOO_LARGE)
        case BadEncoding():
            return FetchFailed(Reason.BAD_ENCODING)
        case httpcore.ConnectTimeout() | httpcore.PoolTimeout():
            return FetchFailed(Reason.TIMEOUT_CONNECT)
        case httpcore.TimeoutException():  # between two pieces
            return FetchFailed(Reason.TIMEOUT_READ)
        case TimeoutError():
            return FetchFailed(Reason.TIMEOUT_TOTAL)
        case httpcore.ConnectError() if isinstance(error.__cause__ or error.__context__, ssl.SSLError):
            return FetchFailed(Reason.TLS)
        case httpcore.NetworkError() | OSError():
            return FetchFailed(Reason.CONNECTION)
        case httpcore.ProtocolError():
            return FetchFailed(Reason.PROTOCOL)
        case _:
            return FetchFailed(Reason.CLIENT_ERROR)


def heals_soon(error: BaseException) -> bool:
    """Whether asking again within this run may help."""
    return isinstance(error, FetchFailed) and error.reason in _HEALS_SOON and error.retry_after <= MAX_RETRY_WAIT


class HealingWait:
    """Exponential with full jitter, but as long as the host asked for."""

    def __init__(self, backoff: float) -> None:
        self._jitter = wait_random_exponential(multiplier=backoff, max=MAX_RETRY_WAIT)

    def __call__(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, FetchFailed) else 0.0
        return max(asked, self._jitter(state))


def parse_retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for; it is a number or an HTTP date."""
    if not header:
        return 0.0
    if header.strip().isdecimal():
        return float(header)
    try:
        until = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
