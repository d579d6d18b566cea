"""Heads of picture files that keep a decoder busy, or make it take memory, before it says how large the picture is.

Reads bytes; writes nothing. `images.py` asks before it opens a picture. Pillow reads PNG's chunks, GIF's comments,
JPEG's segments and the bytes between them, TIFF's strips, JPEG 2000's boxes, Photoshop's resources and the heads of
PPM, XPM and XBM in Python, a few hundred thousand pieces a second, and decodes what lies in an icon as soon as it is
opened.
"""

from __future__ import annotations

import re
import struct
from typing import Literal

from enrich.image_faults import BadImage, ImageReason

MAX_ICON_PIXELS = 4_000_000  # the largest are 1024 × 1024
_MAX_PIECES = 100_000  # chunks of a PNG, blocks before a GIF's picture; 32 MB of the usual sizes have fewer
_MAX_SEGMENTS = 10_000  # of a JPEG before its picture; 48 MB of the longest are 770
_MAX_HEAD = 2**16  # bytes of a PPM's; and those of a JPEG's that belong to no segment
_MAX_LINES = 1_000  # of an XBM's head, which has four
_MAX_XPM_BYTES = 8 * 2**20
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = re.compile(_PNG_HEAD + rb".{8}(.{8})", re.DOTALL)
_J2K_SIZE = re.compile(rb"\xff\x4f\xff\x51.{4}(.{8})", re.DOTALL)
_J2K_TILES = re.compile(rb"\xff\x4f\xff\x51.{4}(.{24})", re.DOTALL)
_STRIPS = (273, 324)  # TIFF's tags of where strips and tiles are
_MAX_TILES = 4_096  # 12 kB each are taken before one is read
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_LONE_MARKERS = (0x01, *range(0xD0, 0xDA))  # without a length
_START_OF_SCAN = 0xDA
_PPM_COMMENT = re.compile(rb"#[^\r\n]*")


def check_head(data: bytes) -> None:
    """Raises BadImage for a file that costs more than its picture can."""
    if data.startswith(_PNG_HEAD):
        _check_chunks(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        _check_blocks(data)
    elif data.startswith(b"\xff\xd8\xff"):
        _check_segments(data)
    elif data.startswith((b"II", b"MM")):
        _check_strips(data)
    elif data.startswith((b"\0\0\1\0", b"icns")):
        _check_icons(data)
        if data[0]:
            _check_boxes(data, 8, 4, "n ICNS")
    elif data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        _check_tiles(data)
        if not data[0]:
            _check_boxes(data, 0, 0, " JPEG 2000")
    elif data.startswith(b"8BPS") and data.count(b"8BIM") > _MAX_PIECES:
        raise BadImage(ImageReason.CORRUPT, f"a PSD of more than {_MAX_PIECES} resources")
    elif data[:16].lstrip().startswith(b"#define"):
        if data.count(b"#") > _MAX_LINES:
            raise BadImage(ImageReason.CORRUPT, f"an XBM whose head is longer than {_MAX_LINES} lines")
    elif data[:1] == b"P" and data[1:2] in b"123456fFy":
        if len(data) > _MAX_HEAD and len(_PPM_COMMENT.sub(b"", data[:_MAX_HEAD]).split()) < 4:
            raise BadImage(ImageReason.CORRUPT, f"a PPM whose head is longer than {_MAX_HEAD} bytes")
    elif data.startswith(b"/* XPM */") and len(data) > _MAX_XPM_BYTES:
        raise BadImage(ImageReason.TOO_MANY_BYTES, f"{len(data)} bytes where {_MAX_XPM_BYTES} of XPM are allowed")


def _check_chunks(data: bytes) -> None:
    """A chunk is its length, 32 bits big-endian, four letters, so many bytes and a checksum."""
    at = len(_PNG_HEAD)
    for _ in range(_MAX_PIECES):
        if at + 12 > len(data):
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    raise BadImage(ImageReason.CORRUPT, f"a PNG of more than {_MAX_PIECES} chunks")


def _check_blocks(data: bytes) -> None:
    """An extension is "!", its kind, and blocks, each after a byte that is its length, up to one of none."""
    at, flags = 13, data[10] if len(data) > 13 else 0
    at += 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    for _ in range(_MAX_PIECES):
        if data[at : at + 1] == b"!":
            at += 2
        if at >= len(data) or data[at : at + 1] == b",":
            return
        at += 1 + data[at]
    raise BadImage(ImageReason.CORRUPT, f"a GIF of more than {_MAX_PIECES} blocks before its picture")


def _check_segments(data: bytes) -> None:
    """A segment is a marker, its length, 16 bits big-endian that count themselves, and so many bytes."""
    at, spare = 2, 0
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(data, at)
        spare += (marker.start() if marker else len(data)) - at
        if spare > _MAX_HEAD:
            raise BadImage(ImageReason.CORRUPT, f"a JPEG of more than {_MAX_HEAD} bytes that belong to no segment")
        if marker is None or marker[1][0] == _START_OF_SCAN:
            return
        lone = marker[1][0] in _LONE_MARKERS
        at = marker.end() + (0 if lone else max(2, int.from_bytes(data[marker.end() : marker.end() + 2], "big")))
    raise BadImage(ImageReason.CORRUPT, f"a JPEG of more than {_MAX_SEGMENTS} segments before its picture")


def _check_strips(data: bytes) -> None:
    """Of the first directory: entries of 12 bytes (BigTIFF: 20), a tag and a type of 16 bits, and a count."""
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    large = 43 in data[2:4]
    at_start, counted, wide, each = (8, 8, 8, 20) if large else (4, 2, 4, 12)
    at = int.from_bytes(data[at_start : at_start + wide], order)
    entries, at = min(int.from_bytes(data[at : at + counted], order), 2**16), at + counted
    for entry in range(at, min(at + each * entries, len(data)), each):
        tag, count = data[entry : entry + 2], int.from_bytes(data[entry + 4 : entry + 4 + wide], order)
        if int.from_bytes(tag, order) in _STRIPS and count > _MAX_PIECES:
            raise BadImage(ImageReason.CORRUPT, f"a TIFF of {count} strips where {_MAX_PIECES} are allowed")


def _check_boxes(data: bytes, start: int, size_at: int, kind: str) -> None:
    """A box is its size, 32 bits big-endian, that counts itself, and four letters, before or after it."""
    at = start
    for _ in range(_MAX_PIECES):
        size = int.from_bytes(data[at + size_at : at + size_at + 4], "big")
        if at + 8 > len(data) or size < 8:
            return
        at += size
    raise BadImage(ImageReason.CORRUPT, f"a{kind} of more than {_MAX_PIECES} boxes")


def _check_tiles(data: bytes) -> None:
    """Six numbers of 32 bits: right, bottom, left and top of the picture, width and height of a tile."""
    for found in _J2K_TILES.finditer(data):
        right, bottom, _, _, width, height = struct.unpack(">6I", found[1])
        tiles = -(-right // max(width, 1)) * -(-bottom // max(height, 1))
        if tiles > _MAX_TILES:
            raise BadImage(ImageReason.CORRUPT, f"a JPEG 2000 of {tiles} tiles where {_MAX_TILES} are allowed")


def _check_icons(data: bytes) -> None:
    claims = [(found[1][:4], found[1][4:]) for kind in (_PNG_SIZE, _J2K_SIZE) for found in kind.finditer(data)]
    sizes = [(int.from_bytes(width, "big"), int.from_bytes(height, "big")) for width, height in claims]
    for width, height in [*sizes, *(_bitmaps(data) if data[0] == 0 else [])]:
        if width * height > MAX_ICON_PIXELS:
            raise BadImage(ImageReason.TOO_MANY_PIXELS, f"an icon of {width} × {height} pixels")


def _bitmaps(data: bytes) -> list[tuple[int, int]]:
    """Width and height of the bitmaps of an ICO: an entry is 16 bytes, its last four say where the bitmap is."""
    count = int.from_bytes(data[4:6], "little")
    starts = {int.from_bytes(data[at + 12 : at + 16], "little") for at in range(6, 6 + 16 * count, 16)}
    heads = [data[start : start + 12] for start in starts]
    sides = [(head[4:8], head[8:12]) for head in heads if not head.startswith(_PNG_HEAD)]
    return [(int.from_bytes(width, "little"), int.from_bytes(height, "little") // 2) for width, height in sides]
