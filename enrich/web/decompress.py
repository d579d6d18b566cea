"""Response bodies inflated piece by piece, never past a limit: a bomb costs its limit and no more."""

from __future__ import annotations

import zlib

ACCEPT_ENCODING = "gzip, deflate"
_GZIP_OR_ZLIB = 47  # zlib's window bits that tell the two by their header
_RAW_DEFLATE = -15  # what some servers mean by "deflate"


class TooLarge(ValueError):
    """The body is larger than the limit."""


class BadEncoding(ValueError):
    """The body is not in the encoding that its header names, or in one that we did not ask for."""


class Inflater:
    """Turns the pieces of a body into its content. `encoding` is the Content-Encoding header, `limit` in bytes."""

    def __init__(self, encoding: str, limit: int) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise BadEncoding(f"expected one of {ACCEPT_ENCODING}, found {encoding!r}")
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB) if name not in ("", "identity") else None
        self._left = limit
        self._begun = False

    def feed(self, piece: bytes) -> bytes:
        """The content of the next piece. Raises TooLarge or BadEncoding."""
        content = self._inflated(piece) if self._inflate is not None else piece
        self._left -= len(content)
        if self._left < 0:
            raise TooLarge("the body is larger than the limit")
        return content

    def _inflated(self, piece: bytes) -> bytes:
        found = b""
        while piece and self._inflate is not None:
            try:
                found += self._inflate.decompress(piece, self._left - len(found) + 1)
            except zlib.error as error:
                if self._begun:
                    raise BadEncoding(f"expected a compressed body, found {error}") from error
                self._begun, self._inflate = True, zlib.decompressobj(_RAW_DEFLATE)
                continue
            self._begun = True
            if len(found) > self._left or self._inflate.unconsumed_tail:
                raise TooLarge("the body inflates past the limit")
            piece = self._inflate.unused_data if self._inflate.eof else b""
            if piece:  # another member of the same gzip stream, or padding, which ends it
                self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB) if piece.startswith(b"\x1f\x8b") else None
        return found
