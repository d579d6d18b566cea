"""Files made to cost more than they show; each is small, or as large as is allowed at all.

As a program: loads every file of the folders named, whole and small, and prints a JSON line a file (name, outcome,
seconds), then one of the memory that it took at most (megabytes).
"""

from __future__ import annotations

import json
import struct
import sys
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from enrich.images import MAX_BYTES, BadImage, load_image

ROOM = MAX_BYTES - 100_000


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    stored = BytesIO()
    image.save(stored, format, **options)
    return stored.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *extra: bytes, depth: int = 8, colour: int = 2, rows: bytes | None = None) -> bytes:
    """A PNG with chunks of one's own before its pixels (None: black)."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    pixels = bytes(height * (1 + width * channels * depth // 8)) if rows is None else rows
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    ends = chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + ends


def ico(*bodies: bytes, entries: int | None = None) -> bytes:
    """An icon of these pictures, or of so many entries that all are the first."""
    bodies = bodies if entries is None else (bodies[0],) * entries
    first = 6 + 16 * len(bodies)
    starts = [first] * len(bodies) if entries is not None else list(np.cumsum([first, *map(len, bodies[:-1])]))
    table = [struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(b), s) for b, s in zip(bodies, starts, strict=True)]
    return (
        struct.pack("<HHH", 0, 1, len(bodies)) + b"".join(table) + b"".join(bodies if entries is None else bodies[:1])
    )


def icns(kind: bytes, body: bytes) -> bytes:
    return b"icns" + struct.pack(">I", 16 + len(body)) + kind + struct.pack(">I", 8 + len(body)) + body


def tiff(*tags: tuple[int, int, int, int], after: bytes = b"", next_ifd: int = 0) -> bytes:
    """A little-endian TIFF: tags as (tag, type, count, value or offset)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", next_ifd) + after


def grey_tiff(
    width: int, height: int, *extra: tuple[int, int, int, int], after: bytes = b"", next_ifd: int = 0
) -> bytes:
    base = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    base += [(273, 4, 1, 8), (278, 4, 1, height), (279, 4, 1, width * height)]
    kept = [tag for tag in base if tag[0] not in {other[0] for other in extra}]
    return tiff(*kept, *extra, after=after, next_ifd=next_ifd)


def claimed_jpeg() -> bytes:
    """A small picture that says it is 15,000 × 15,000."""
    whole = encoded(Image.new("L", (8, 8)), "JPEG")
    return claiming(whole, whole.index(b"\xff\xc0") + 5, ">HH", 15_000, 15_000)


def many_ifds() -> bytes:
    """As many pages as there is room for, each of no tags but the first."""
    first = grey_tiff(8, 8, after=b"")
    start = len(first)
    pages = np.zeros(ROOM // 6, [("tags", "<u2"), ("next", "<u4")])
    pages["next"] = start + 6 * np.arange(1, len(pages) + 1)
    return grey_tiff(8, 8, after=pages.tobytes(), next_ifd=start)


def many_strips(count: int) -> bytes:
    """A TIFF of one row a strip, all of which lie at the same place."""
    after_head = len(grey_tiff(8, count))
    where = (273, 4, count, after_head), (279, 4, count, after_head + 4 * count)
    places = np.concatenate([np.full(count, 8, "<u4"), np.full(count, 8, "<u4")])
    return grey_tiff(8, count, (278, 4, 1, 1), *where, after=places.tobytes())


def many_boxes() -> bytes:
    """A JPEG 2000 file with as many empty boxes as there is room for before its picture."""
    whole = encoded(Image.new("RGB", (16, 16)), "JPEG2000")
    return whole[:12] + b"\0\0\0\x08free" * (ROOM // 8) + whole[12:]


def jpeg_after(between: bytes) -> bytes:
    """A JPEG with these bytes before its first segment."""
    whole = encoded(Image.new("RGB", (8, 8), "red"), "JPEG")
    return whole[:2] + between + whole[2:]


def many_resources() -> bytes:
    resource = b"8BIM" + struct.pack(">H", 1_000) + bytes(6)
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 8, 8, 8, 3) + bytes(4)
    room = ROOM // len(resource)
    return head + struct.pack(">I", room * len(resource)) + resource * room + bytes(500)


def many_scans() -> bytes:
    """A progressive JPEG whose last scan is told again and again."""
    whole = encoded(Image.new("RGB", (4_000, 4_000), "red"), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * 20_000 + b"\xff\xd9"


def claiming(data: bytes, at: int, form: str, *sizes: int) -> bytes:
    """`data` with other numbers at a place."""
    return data[:at] + struct.pack(form, *sizes) + data[at + struct.calcsize(form) :]


def many_tiles(tile: int) -> bytes:
    """A JPEG 2000 codestream that claims to be cut into tiles of that side."""
    whole = encoded(Image.new("RGB", (64, 64), "red"), "JPEG2000", no_jp2=True)
    size = whole.index(b"\xff\x51") + 6
    return claiming(claiming(whole, size, ">II", 4_000, 4_000), size + 16, ">II", tile, tile)


def gif_of_frames() -> bytes:
    frame = b"\x21\xf9\x04\0\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame * (ROOM // len(frame)) + b";"


def gif_of_comments() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + b"!\xfe" + b"\x01a" * (ROOM // 2) + b"\0;"


def webp_of_frames() -> bytes:
    frames = [Image.new("RGB", (16, 16), (level, 0, 0)) for level in range(200)]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])


def claimed_webp() -> bytes:
    whole = encoded(Image.new("RGBA", (16, 16)), "WEBP", lossless=True, exif=b"Exif\0\0")
    return claiming(whole, 24, "<HBHB", 16_000, 0, 16_000, 0)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "texts.png": lambda: png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 5_000),
    "profile.png": lambda: png(8, 8, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(30_000_000)))),
    "chunks.png": lambda: png(8, 8, chunk(b"teXt", b"") * (ROOM // 12)),
    "frames.png": lambda: png(8, 8, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
    "large.png": lambda: png(7_000, 7_000, colour=6),
    "deep.png": lambda: png(3_000, 3_000, depth=16, colour=0),
    "bomb.png": lambda: png(20_000, 20_000, rows=b""),
    "frames.gif": gif_of_frames,
    "comments.gif": gif_of_comments,
    "claims.gif": lambda: b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b";",
    "frames.webp": webp_of_frames,
    "claims.webp": claimed_webp,
    "tags.tif": lambda: grey_tiff(
        8, 8, *((tag, 1, 60_000_000, 8) for tag in range(40_000, 60_000)), after=bytes(10**6)
    ),
    "strips.tif": lambda: grey_tiff(8, 8, (273, 4, 4_000_000, 8), (279, 4, 4_000_000, 8), after=bytes(ROOM)),
    "tile.tif": lambda: grey_tiff(8, 8, (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8), (325, 4, 1, 9)),
    "deflated_tile.tif": lambda: grey_tiff(
        8, 8, (259, 3, 1, 8), (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8), (325, 4, 1, 90)
    ),
    "pages.tif": many_ifds,
    "rows.tif": lambda: many_strips(50_000),
    "more_rows.tif": lambda: many_strips(2_000_000),
    "resources.psd": many_resources,
    "segments.jpg": lambda: jpeg_after(b"\xff\xe2\0\4ab" * (ROOM // 6)),
    "tables.jpg": lambda: jpeg_after((b"\xff\xdb\0\x43\0" + b"\1" * 64) * (ROOM // 70)),
    "fill.jpg": lambda: jpeg_after(b"\xff" * ROOM),
    "between.jpg": lambda: jpeg_after(b"\xff\xe2\0\4ab" + bytes(ROOM)),
    "boxes.jp2": many_boxes,
    "boxes.icns": lambda: b"icns" + struct.pack(">I", 8 + ROOM // 8 * 8) + b"abcd\0\0\0\x08" * (ROOM // 8),
    "lines.xbm": lambda: b"#define im_width 8\n#define im_height 8\n" + b"#define a_b 1\n" * (ROOM // 15),
    "claims.tif": lambda: grey_tiff(60_000, 60_000),
    "scans.jpg": many_scans,
    "claims.jpg": claimed_jpeg,
    "tiles.j2k": lambda: many_tiles(16),
    "more_tiles.j2k": lambda: many_tiles(1),
    "inside.ico": lambda: ico(png(20_000, 20_000, rows=b"")),
    "bitmap.ico": lambda: ico(struct.pack("<IiiHHIIiiII", 40, 15_000, 30_000, 1, 32, 0, 0, 0, 0, 0, 0) + bytes(100)),
    "entries.ico": lambda: ico(png(8, 8), entries=65_535),
    "inside.icns": lambda: icns(b"ic10", png(15_000, 15_000, rows=b"")),
    "comment.ppm": lambda: b"P6 #" + b"a" * ROOM,
    "digits.ppm": lambda: b"P6 " + b"1" * ROOM,
    "plain.ppm": lambda: b"P2 4000 4000 9 " + b"1 " * 8_000_000,
    "large.ppm": lambda: b"P2 800 800 9 " + b"1 " * 640_000,
    "runs.bmp": lambda: (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 1_078, 40, 800, 800, 1, 8, 1, 0, 0, 0, 0, 0)
        + bytes(1_024)
        + b"\x01a" * 640_000
    ),
    "runs.qoi": lambda: b"qoif" + struct.pack(">IIBB", 800, 800, 3, 0) + b"\xc0" * 640_000,
    "colours.xpm": lambda: b'/* XPM */\n"9 9 2000000 4",\n' + b'"aaaa c #ffffff",\n' * (ROOM // 20),
    "layers.psd": lambda: (
        b"8BPS"
        + struct.pack(">H6xHIIHH", 1, 3, 8, 8, 8, 3)
        + bytes(8)
        + struct.pack(">IIh", ROOM, ROOM - 4, 32_767)
        + bytes(ROOM)
    ),
}


def outcome(data: bytes, at_least: tuple[int, int] | None) -> str:
    try:
        image = load_image(data, at_least=at_least)
        return f"{image.mode} {image.width}x{image.height}"
    except BadImage as refused:
        return str(refused.reason)


def main(folders: list[str]) -> None:
    load_image(encoded(Image.new("LAB", (1, 1)), "TIFF"))  # what is loaded once
    for file in sorted(file for folder in folders for file in Path(folder).iterdir()):
        data = file.read_bytes()
        for at_least in (None, (384, 384)):
            started = time.process_time()
            found = outcome(data, at_least)
            sys.stdout.write(json.dumps([file.name, found, time.process_time() - started]) + "\n")
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    sys.stdout.write(json.dumps(int(peak.split()[1]) / 1024) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
