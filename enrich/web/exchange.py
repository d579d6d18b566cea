"""One request and what of its answer is taken: the headers that we send, the bounds on what comes back.

FetchFailed     status-NNN, not-html, too-large, bad-encoding, bad-redirect, refused-noindex
"""

from __future__ import annotations

import asyncio
import codecs
import re
from contextlib import AsyncExitStack, suppress
from typing import NamedTuple

import httpcore

from enrich.web.addresses import WebURL
from enrich.web.body_room import BodyRoom
from enrich.web.decompress import ACCEPT_ENCODING, Inflater, TooLarge
from enrich.web.directives import Allowed, allowed_by, name_last_day
from enrich.web.fetch_reasons import FetchFailed, Reason, parse_retry_after

_REDIRECTS = (301, 302, 303, 307, 308)
_NOT_MODIFIED = 304
_MAX_VALIDATOR = 1_000  # bytes; a longer one is not worth keeping
# How documents, pictures and archives begin, whatever their Content-Type says (WHATWG MIME Sniffing, 6).
_NO_PAGE = (b"%PDF-", b"%!PS-Adobe-", b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"PK\x03\x04", b"\x1f\x8b\x08")
_DRAINED_BYTES = 65_536  # of a body that is not wanted, for which a new connection would cost more ...
_DRAINED_SECONDS = 1.0  # ... and no longer


class Want(NamedTuple):
    """What of an answer is taken."""

    types: tuple[str, ...] = ()  # media types; empty for any
    max_wire_bytes: int = 0
    max_bytes: int = 0  # inflated
    cut: bool = False  # take the first max_bytes of a larger body, instead of failing
    agent: str | None = None  # the product token that X-Robots-Tag may speak to; None: it is not looked at
    room: BodyRoom | None = None  # that large bodies wait for


class Validators(NamedTuple):
    """By what a server tells whether a page has changed, as it gave them (RFC 9110, 8.8)."""

    etag: str | None = None
    last_modified: str | None = None


class Answer(NamedTuple):
    location: str | None = None  # where a redirect leads; then there is nothing else
    content_type: str | None = None
    body: bytes = b""
    validators: Validators = Validators()
    unchanged: bool = False  # since the validators that were sent; then there is no body
    allowed: Allowed = Allowed()


def request_headers(url: WebURL, user_agent: str, want: Want, known: Validators) -> list[tuple[bytes, bytes]]:
    """The headers of one request, conditional where `known` says something."""
    said = [
        ("Host", url.host_header),
        ("User-Agent", user_agent),
        ("Accept", ", ".join((*want.types, "*/*;q=0.1"))),
        ("Accept-Encoding", ACCEPT_ENCODING),
        ("If-None-Match", known.etag),
        ("If-Modified-Since", known.last_modified),
    ]
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in said if value]


async def take_answer(response: httpcore.Response, want: Want, conditional: bool) -> Answer:
    """What is wanted of a response; its body is read only where it is. Raises FetchFailed, TooLarge, BadEncoding."""
    try:
        answer = _judged(response, want, conditional)
    except FetchFailed:
        await _drain(response)
        raise
    if answer.location is not None or answer.unchanged:
        await _drain(response)
        return answer
    body = await _body(response, want)
    if want.types and (body.startswith(_NO_PAGE) or not (answer.content_type or _is_markup(body))):
        raise FetchFailed(Reason.NOT_HTML)
    return answer._replace(body=body)


def _is_markup(body: bytes) -> bool:
    return body.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"<"


def _judged(response: httpcore.Response, want: Want, conditional: bool) -> Answer:
    """What a response's head says, its body still to be read. Raises FetchFailed."""
    if response.status in _REDIRECTS:
        location = _location(response)
        if not location:
            raise FetchFailed(Reason.BAD_REDIRECT)
        return Answer(location)
    said = _headers(response, b"x-robots-tag") if want.agent is not None else []
    allowed = allowed_by(said, want.agent or "")
    told = Validators(_validator(response, b"etag"), _validator(response, b"last-modified"))
    validators = Validators() if name_last_day(said) else told  # or the day would pass unseen behind a 304
    unchanged = response.status == _NOT_MODIFIED and conditional
    if response.status != 200 and not unchanged:
        raise FetchFailed(f"status-{response.status}", parse_retry_after(_header(response, b"retry-after")))
    if not allowed.indexing:
        raise FetchFailed(Reason.REFUSED_NOINDEX)
    if unchanged:
        return Answer(validators=validators, unchanged=True, allowed=allowed)
    content_type = _header(response, b"content-type")
    if want.types and content_type and re.split("[;,]", content_type)[0].strip().lower() not in want.types:
        raise FetchFailed(Reason.NOT_HTML)
    return Answer(None, content_type, b"", validators, False, allowed)


async def _drain(response: httpcore.Response) -> None:
    """Read a short body that nobody wants, so that its connection can be used again; give a long or slow one up."""
    length, left = _header(response, b"content-length") or "", _DRAINED_BYTES
    if length.isdecimal() and int(length[:20]) > left:
        return
    with suppress(TimeoutError, TooLarge, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(_DRAINED_SECONDS):
            async for piece in response.aiter_stream():
                left -= len(piece)
                if left < 0:
                    return


async def _body(response: httpcore.Response, want: Want) -> bytes:
    limit = min(want.max_wire_bytes, want.max_bytes)
    length = _header(response, b"content-length") or ""
    if not want.cut and length.isdecimal() and int(length[:20]) > limit:
        raise FetchFailed(Reason.TOO_LARGE)
    encoding = _header(response, b"content-encoding") or ""
    inflater = Inflater(encoding, want.max_bytes, want.cut)
    most = int(length[:20]) if length.isdecimal() and not encoding else want.max_bytes
    body, left, room = bytearray(), limit, want.room
    async with AsyncExitStack() as held:
        async for piece in response.aiter_stream():
            if len(piece) > left and not want.cut:
                raise TooLarge("the body is larger on the wire than the limit")
            body += inflater.feed(piece[:left])
            left -= len(piece)
            if left < 0 or inflater.full:
                break
            if room is not None and len(body) > room.small:
                await held.enter_async_context(room.larger(most))
                room = None
        body += inflater.finish(whole=left >= 0)
        return bytes(body)


def _headers(response: httpcore.Response, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in response.headers if key.lower() == name]


def _header(response: httpcore.Response, name: bytes) -> str | None:
    """The last that the server sent."""
    return next(iter(_headers(response, name)[::-1]), None)


def _location(response: httpcore.Response) -> str:
    """Where a redirect leads. Servers write other than ASCII in UTF-8 or, rarely, Latin-1, though they may not."""
    raw = (_header(response, b"location") or "").strip().encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _validator(response: httpcore.Response, name: bytes) -> str | None:
    value = _header(response, name)
    return value if value and len(value) <= _MAX_VALIDATOR else None
