"""A picture's bytes to an upright RGB picture, or the one reason why not.

Reads bytes (`image_uris.py` gets them); writes nothing. Called by `enrich captions`.

    BadInput
    └── BadImage        .reason says which limit or fault (ImageReason)

Bytes are hostile: their number is bounded, the pixels they claim are bounded before any is decoded, only formats that
pictures on the web come in are tried (none that runs a program, as EPS does), and whatever a decoder raises on them
becomes a BadImage.
"""

from __future__ import annotations

import warnings
from enum import StrEnum
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from enrich.errors import BadInput

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 2**26  # 67 million: 8192 × 8192; 200 MB once decoded to RGB
FORMATS = (
    *("JPEG", "PNG", "GIF", "WEBP", "AVIF", "JPEG2000", "BMP", "TIFF"),  # MPO is opened by JPEG
    *("ICO", "PPM", "TGA", "PCX", "PSD", "QOI"),
)
_DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")

# How files begin. Known formats that are not decoded here, and those that are (a bad one of these is corrupt).
_UNSUPPORTED = (b"%PDF", b"%!PS", b"\xc5\xd0\xd3\xc6", b"<svg", b"\xff\x0a", b"\0\0\0\x0cJXL ")
_HEIF_BRANDS = (b"heic", b"heix", b"mif1", b"hevc")
_PICTURE = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"8BPS"),
    *(b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ", b"qoif", b"\x0a\x05\x01", b"\0\0\1\0"),
)


class ImageReason(StrEnum):
    """Why a picture could not be had; the last four are of reading its URI (image_uris.py)."""

    TOO_MANY_PIXELS = "too-many-pixels"
    TOO_MANY_BYTES = "too-many-bytes"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    NOT_AN_IMAGE = "not-an-image"
    UNSUPPORTED = "unsupported"
    NOT_FOUND = "not-found"
    UNREADABLE = "unreadable"
    UNSUPPORTED_URI = "unsupported-uri"
    FETCH_FAILED = "fetch-failed"


class BadImage(BadInput):
    """A picture that cannot be used."""

    def __init__(self, reason: ImageReason, found: str) -> None:
        super().__init__(f"expected a picture, found {found} ({reason})")
        self.reason = reason


def load_image(data: bytes) -> Image.Image:
    """The picture in `data`: mode RGB, upright by its EXIF orientation, its first frame, transparency over white.

    More than eight bits a channel are scaled to eight. Raises BadImage.
    """
    if len(data) > MAX_BYTES:
        raise BadImage(ImageReason.TOO_MANY_BYTES, f"{len(data)} bytes where {MAX_BYTES} are allowed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders warn of oddities that they then cope with
        try:
            with Image.open(BytesIO(data), formats=FORMATS) as image:
                _check_size(*image.size)
                image.load()
                _check_size(*image.size)
                return _over_white(_upright(image))
        except BadImage:
            raise
        except Image.DecompressionBombError as error:
            raise BadImage(ImageReason.TOO_MANY_PIXELS, str(error)) from error
        except UnidentifiedImageError as error:
            raise BadImage(_unidentified(data), "bytes that no decoder knows") from error
        except Exception as error:  # decoders raise anything on hostile bytes: ValueError, TypeError, struct.error ...
            raise BadImage(_fault(data, error), f"{type(error).__name__}: {error}") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadImage(ImageReason.TOO_MANY_PIXELS, f"{width} × {height} pixels where {MAX_PIXELS} are allowed")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  broken EXIF raises anything (SyntaxError, struct.error ...); the pixels are still good
        return image


# ---- modes


def _over_white(image: Image.Image) -> Image.Image:
    """The picture as RGB, whatever its mode."""
    if image.mode in _DEEP_GREY or image.mode in ("I", "F"):
        return _deep_grey(image)
    if image.mode == "LAB":
        return _lab(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _deep_grey(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or floating, scaled to eight; what lies outside its usual range, by its own extremes."""
    values = np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    top = 65535.0
    if image.mode == "F":
        top = 1.0 if high <= 1 else 255.0
    base, span = (low, max(high - low, 1e-9)) if low < 0 or high > top else (0.0, top)
    scaled = (values - base) * (255 / span)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled = np.where(values == transparent, 255, scaled)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")


def _lab(image: Image.Image) -> Image.Image:
    to_srgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    converted = ImageCms.applyTransform(image, to_srgb)
    assert converted is not None  # it is None only when converting in place
    return converted


# ---- reasons


def _unidentified(data: bytes) -> ImageReason:
    head = data[:512].lstrip().removeprefix(b"\xef\xbb\xbf")
    if head.startswith(_UNSUPPORTED) or b"<svg" in head or (data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS):
        return ImageReason.UNSUPPORTED
    if not data.startswith(_PICTURE) and data[8:12] not in (b"WEBP", b"avif", b"avis"):
        return ImageReason.NOT_AN_IMAGE
    return ImageReason.TRUNCATED if _ends_early(data) else ImageReason.CORRUPT


def _fault(data: bytes, error: Exception) -> ImageReason:
    said = str(error).lower()
    if isinstance(error, NotImplementedError) or "unsupported" in said or "not available" in said:
        return ImageReason.UNSUPPORTED
    if isinstance(error, EOFError) or "truncated" in said or _ends_early(data):
        return ImageReason.TRUNCATED
    return ImageReason.CORRUPT


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
