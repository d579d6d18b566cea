"""Why a picture could not be had, and which of the reasons it is.

    BadInput
    └── BadImage        .reason says which limit or fault (ImageReason)

Reads bytes that no decoder took; writes nothing. `images.py` asks.
"""

from __future__ import annotations

from enum import StrEnum
from io import BytesIO

from PIL import Image

from enrich.errors import BadInput

# How files begin. Formats that are not decoded here, and those that are (a bad one of these is corrupt).
_UNSUPPORTED = (
    *(b"%PDF", b"%!PS", b"\xc5\xd0\xd3\xc6", b"<svg", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"\x76\x2f\x31\x01"),
    *(
        b"SIMPLE  =",
        b"\xd7\xcd\xc6\x9a",
        b"\xd0\xcf\x11\xe0",
        b"#?RADIANCE",
        b"#?RGBE",
        b"wOF2",
        b"FLIF",
        b"BPG\xfb",
        b"BLP1",
        b"BLP2",
    ),
)
_HEIF_BRANDS = (b"heic", b"heix", b"mif1", b"hevc")
_HEADS = {  # of the decoders that can be asked what they make of it
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "PSD": (b"8BPS",),
    "JPEG2000": (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "),
    "QOI": (b"qoif",),
    "PCX": (b"\x0a\x05\x01",),
    "ICO": (b"\0\0\1\0",),
    "CUR": (b"\0\0\2\0",),
    "ICNS": (b"icns",),
    "DDS": (b"DDS ",),
    "SGI": (b"\x01\xda",),
    "SUN": (b"\x59\xa6\x6a\x95",),
    "XPM": (b"/* XPM */",),
    "DCX": (b"\xb1\x68\xde\x3a",),
    "MSP": (b"DanM", b"LinS"),
}


class ImageReason(StrEnum):
    """Why a picture could not be had; the last six are of reading its URI (image_uris.py)."""

    TOO_MANY_PIXELS = "too-many-pixels"
    TOO_MANY_BYTES = "too-many-bytes"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    NOT_AN_IMAGE = "not-an-image"
    UNSUPPORTED = "unsupported"
    NOT_FOUND = "not-found"
    UNREADABLE = "unreadable"
    UNSUPPORTED_URI = "unsupported-uri"
    NO_DRIVER = "no-driver"
    FETCH_FAILED = "fetch-failed"
    CHANGED = "changed"  # since it was hashed (image_hashes.py)


class BadImage(BadInput):
    """A picture that cannot be used."""

    def __init__(self, reason: ImageReason, found: str) -> None:
        super().__init__(f"expected a picture, found {found} ({reason})")
        self.reason = reason

    def __reduce__(self) -> tuple[type[BadImage], tuple[ImageReason, str]]:
        """As from another process: the message is made of both."""
        said = str(self).removeprefix("expected a picture, found ").removesuffix(f" ({self.reason})")
        return BadImage, (self.reason, said)


def unidentified(data: bytes) -> BadImage:
    """Of bytes that no decoder took."""
    head = data[:512].lstrip().removeprefix(b"\xef\xbb\xbf")
    if head.startswith(_UNSUPPORTED) or b"<svg" in head or (data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS):
        return BadImage(ImageReason.UNSUPPORTED, "a format that is not read here")
    format = next((name for name, heads in _HEADS.items() if data.startswith(heads)), None)
    if format is None and data[8:12] not in (b"WEBP", b"avif", b"avis"):
        return BadImage(ImageReason.NOT_AN_IMAGE, "bytes that no decoder knows")
    complaint = _complaint(format, data) if format else None
    if complaint is not None and _unsupported(complaint):
        return BadImage(ImageReason.UNSUPPORTED, str(complaint))
    return BadImage(ImageReason.TRUNCATED if _ends_early(data) else ImageReason.CORRUPT, "a head without a picture")


def fault(data: bytes, error: Exception) -> BadImage:
    """Of bytes at which a decoder failed."""
    return BadImage(_reason(data, error), f"{type(error).__name__}: {error}")


def _reason(data: bytes, error: Exception) -> ImageReason:
    if _unsupported(error):
        return ImageReason.UNSUPPORTED
    if isinstance(error, EOFError) or "truncated" in str(error).lower() or _ends_early(data):
        return ImageReason.TRUNCATED
    return ImageReason.CORRUPT


def _unsupported(error: Exception) -> bool:
    """Whether a decoder says that it does not know such pictures, TIFFs of floating colour for one."""
    said = str(error).lower()
    phrases = ("unsupported", "not available", "unknown pixel mode", "unknown data organization")
    return isinstance(error, NotImplementedError) or any(phrase in said for phrase in phrases)


def _complaint(format: str, data: bytes) -> Exception | None:
    """What the format's own decoder says at opening; Pillow keeps it to itself."""
    Image.init()
    try:
        Image.OPEN[format][0](BytesIO(data), "")
    except Exception as error:  # noqa: BLE001  decoders raise anything on hostile bytes
        return error
    return None


def _ends_early(data: bytes) -> bool:
    """Whether the container says that more should follow."""
    tail = data[-64:].rstrip(b"\0\r\n")
    if data.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        return not tail.endswith(b"\xff\xd9")
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in tail
    if data.startswith(b"GIF8"):
        return not tail.endswith(b";")
    if data[:4] == b"RIFF":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if data.startswith(b"BM"):
        return len(data) < int.from_bytes(data[2:6], "little")
    return data[4:8] == b"ftyp" and _boxes_end(data) > len(data)


def _boxes_end(data: bytes) -> int:
    """Where the last of an ISO media file's boxes says that it ends; each begins with its size, 32 bits big-endian."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:  # 0 is "to the end of the file", 1 a 64-bit size, which no picture needs
            break
        at += size
    return at
