"""Why something was not fetched, what may heal, and how long to wait for it.

FetchFailed (CorkboardError)     what was asked for cannot be had; .reason is one of `Reason` or status-NNN
"""

from __future__ import annotations

import random
import re
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum

import httpcore

from enrich.errors import BadInput, CorkboardError
from enrich.job import RETRY_ALL
from enrich.web.addresses import NotWebURL, UnsafeURL
from enrich.web.connector import Unresolved
from enrich.web.dates import read_date
from enrich.web.decompress import BadEncoding, TooLarge
from enrich.web.politeness import MAX_PAUSE, HostBusy, HostSilent


class Reason(StrEnum):
    """Why something was not fetched. An HTTP error is not listed: it is status-NNN."""

    NOT_A_WEB_URL = "not-a-web-url"
    UNSAFE_URL = "unsafe-url"  # a private address or name, a user name, a port of something else
    REFUSED_ROBOTS = "refused-robots"
    REFUSED_NOINDEX = "refused-noindex"  # by X-Robots-Tag or <meta name=robots>
    ROBOTS_UNREACHABLE = "robots-unreachable"
    DNS = "dns"
    CONNECTION = "connection"
    TLS = "tls"
    PROTOCOL = "protocol"
    TIMEOUT_CONNECT = "timeout-connect"
    TIMEOUT_READ = "timeout-read"
    TIMEOUT_TOTAL = "timeout-total"
    HOST_SILENT = "host-silent"
    ASKED_TO_WAIT = "asked-to-wait"  # longer than a run waits
    TOO_LARGE = "too-large"
    NOT_HTML = "not-html"
    BAD_ENCODING = "bad-encoding"
    BAD_REDIRECT = "bad-redirect"
    TOO_MANY_REDIRECTS = "too-many-redirects"
    ELSEWHERE = "elsewhere"  # redirected to a host that another worker asks; never stored
    CLIENT_ERROR = "client-error"


NEVER_FETCHED: frozenset[str] = frozenset((Reason.NOT_A_WEB_URL, Reason.UNSAFE_URL))  # whatever the host does
UNANSWERED: frozenset[str] = frozenset(
    (Reason.CONNECTION, Reason.TIMEOUT_CONNECT, Reason.TIMEOUT_READ, Reason.TIMEOUT_TOTAL)
)
_HEALING_STATUSES = (429, 500, 502, 503, 504)  # within seconds
_PASSING_STATUSES = (408, 425, 429, *range(500, 600))  # by the next run
_HEALS_SOON: frozenset[str] = frozenset(
    (Reason.CONNECTION, Reason.PROTOCOL, Reason.TIMEOUT_CONNECT, *(f"status-{code}" for code in _HEALING_STATUSES))
)
TRANSIENT: frozenset[str] = UNANSWERED | {  # reasons that may be gone at the next run
    *(Reason.DNS, Reason.PROTOCOL, Reason.ROBOTS_UNREACHABLE, Reason.HOST_SILENT, Reason.ASKED_TO_WAIT),
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
        case NotWebURL():
            return FetchFailed(Reason.NOT_A_WEB_URL)
        case UnsafeURL():
            return FetchFailed(Reason.UNSAFE_URL)
        case Unresolved():
            return FetchFailed(Reason.DNS)
        case HostSilent():
            return FetchFailed(Reason.HOST_SILENT)
        case HostBusy():
            return FetchFailed(Reason.ASKED_TO_WAIT)
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


def unavailable(reason: str) -> bool:
    """Whether a robots.txt that failed so is one that the host does not have (RFC 9309, 2.3.1.3), so forbids nothing.

    4xx but 429, by which a host asks to be left alone; an empty 204; a redirect to nowhere or to where nobody may go
    (if that is the host itself, its pages fail by it next). Whatever else fails, a protocol error or a body that cannot
    be read too, leaves all forbidden.
    """
    return reason in ("status-204", Reason.BAD_REDIRECT, *NEVER_FETCHED) or (
        reason.startswith("status-4") and reason != "status-429"
    )


def heals_soon(failure: FetchFailed) -> bool:
    """Whether asking again within this run may help."""
    return failure.reason in _HEALS_SOON and failure.retry_after <= MAX_PAUSE


def healing_wait(attempt: int, backoff: float) -> float:
    """Seconds before what failed at its `attempt` (1, 2, ...) is asked again: exponential, with full jitter.

    What the host itself asks for comes on top, in `Politeness.pause`. Source: AWS, "Exponential backoff and jitter".
    """
    return random.uniform(0.0, min(MAX_PAUSE, backoff * 2.0**attempt))


def parse_retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for; it is a number or an HTTP date."""
    if not header:
        return 0.0
    if header.strip().isdecimal():
        return float(header)
    until = read_date(header)
    return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until is not None else 0.0


def refuse_unknown(retry: frozenset[str], *reasons: Iterable[str]) -> None:
    """Raises BadInput where something to `retry` is none of the `reasons`, nor a status."""
    known = {RETRY_ALL, *(str(reason) for some in reasons for reason in some)}
    for reason in sorted(map(str, retry - known)):
        if not re.fullmatch(r"status-[1-9]\d\d", reason):
            raise BadInput(
                f"expected a reason to retry, one of {', '.join(sorted(known))} or status-404 and the like, found "
                f"{reason!r}; give --retry once for each"
            )
