"""Response bodies inflated, never past a limit: a bomb costs its limit and no more.

gzip and deflate are inflated piece by piece, as they come, by ISA-L (six times as fast as zlib on a bomb, twice on a
page); br and zstd (Arrow's codecs) once the body is whole, which its own limit on the wire bounds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import cast

import pyarrow as pa
from isal import isal_zlib

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
_GZIP_OR_ZLIB = 47  # zlib's window bits that tell the two by their header
_RAW_DEFLATE = -15  # what some servers mean by "deflate"
_BROKEN = cast(type[Exception], isal_zlib.error)  # its stubs call it a value
_PIECE = 65_536  # bytes inflated at once


class TooLarge(ValueError):
    """The body is larger than the limit."""


class BadEncoding(ValueError):
    """The body is not in the encoding that its header names, or in one that we did not ask for."""


class _Encoding(StrEnum):
    """Content-Encoding, one of a kind: a body that is encoded twice was not asked for."""

    IDENTITY = "identity"
    DEFLATE = "deflate"  # gzip too: the two are told apart by their first bytes
    BROTLI = "brotli"  # Arrow's names of the codecs
    ZSTD = "zstd"


_NAMES = {
    "": _Encoding.IDENTITY,
    "identity": _Encoding.IDENTITY,
    "gzip": _Encoding.DEFLATE,
    "x-gzip": _Encoding.DEFLATE,
    "deflate": _Encoding.DEFLATE,
    "br": _Encoding.BROTLI,
    "zstd": _Encoding.ZSTD,
}


class Inflater:
    """Turns the pieces of a body into its content. `encoding` is the Content-Encoding header, `limit` in bytes.

    What is past the limit raises TooLarge; where the body may be `cut` it is left out, and the inflater is `full`.
    """

    def __init__(self, encoding: str, limit: int, cut: bool = False) -> None:
        name = encoding.strip().lower()
        if name not in _NAMES:
            raise BadEncoding(f"expected one of {ACCEPT_ENCODING}, found {encoding!r}")
        self._encoding = _NAMES[name]
        self._inflate = isal_zlib.decompressobj(_GZIP_OR_ZLIB) if self._encoding is _Encoding.DEFLATE else None
        self._kept: list[bytes] = []  # pieces of what is inflated as a whole
        self._left = limit
        self._cut = cut
        self.full = False
        self._begun = False

    def feed(self, piece: bytes) -> bytes:
        """The content of the next piece, as far as it is known yet. Raises TooLarge or BadEncoding."""
        if self._encoding in (_Encoding.BROTLI, _Encoding.ZSTD):
            self._kept.append(piece)
            return b""
        return self._counted(self._inflated(piece) if self._encoding is _Encoding.DEFLATE else piece)

    def finish(self, whole: bool = True) -> bytes:
        """The rest of the content, once every piece was fed; not `whole`: what can be had of a body that was cut off.

        Raises TooLarge or BadEncoding.
        """
        if not self._kept:
            return b""
        stream = pa.CompressedInputStream(pa.BufferReader(b"".join(self._kept)), self._encoding.value)
        found = bytearray()
        try:
            while not self.full and (piece := stream.read(_PIECE)):
                found += self._counted(piece)
        except OSError as error:  # how Arrow says that a stream is broken or cut off
            if whole:
                raise BadEncoding(f"expected a body in {self._encoding}, found {error}") from error
        return bytes(found)

    def _counted(self, content: bytes) -> bytes:
        kept = content[: self._left]
        if len(kept) < len(content):
            if not self._cut:
                raise TooLarge("the body is larger than the limit")
            self.full = True
        self._left -= len(kept)
        return kept

    def _inflated(self, piece: bytes) -> bytes:
        """The piece inflated, as far as a byte past the limit."""
        found = b""
        while piece and self._inflate is not None and len(found) <= self._left:
            try:
                found += self._inflate.decompress(piece, self._left - len(found) + 1)
            except _BROKEN as error:
                if self._begun:
                    raise BadEncoding(f"expected a compressed body, found {error}") from error
                self._begun, self._inflate = True, isal_zlib.decompressobj(_RAW_DEFLATE)
                continue
            self._begun = True
            piece = self._inflate.unused_data if self._inflate.eof else b""
            if piece:  # another member of the same gzip stream, or padding, which ends it
                self._inflate = isal_zlib.decompressobj(_GZIP_OR_ZLIB) if piece.startswith(b"\x1f\x8b") else None
        return found
