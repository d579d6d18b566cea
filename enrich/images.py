"""A picture's bytes to an upright RGB picture, or the one reason why not.

Reads bytes (`image_uris.py` gets them); writes nothing. Called by `enrich captions`. `image_modes.py` turns modes into
RGB, `image_faults.py` names what is wrong, `image_guards.py` looks at heads and `jpeg_scans.py` at JPEGs.

Bytes are hostile: their number is bounded, the pixels they claim are bounded before any is decoded, and whatever a
decoder raises on them becomes a BadImage. Every format that Pillow decodes by itself and knows by its first bytes is
read, but none that runs a program (EPS: Ghostscript; WMF: Windows), inflates without bound (FITS), opens whatever lies
inside (IPTC, FPX, MIC, BLP) or takes any bytes for a picture (SPIDER, IMT, IM).
"""

from __future__ import annotations

import struct
import threading
import warnings
from contextlib import closing
from io import BytesIO
from types import TracebackType

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import jpeg_factory

from enrich.image_faults import BadImage as BadImage
from enrich.image_faults import ImageReason as ImageReason
from enrich.image_faults import fault, unidentified
from enrich.image_guards import MAX_ICON_PIXELS, check_head
from enrich.image_modes import to_rgb
from enrich.jpeg_scans import read_scans, without_details

MAX_BYTES = 48 * 2**20  # what cameras write of 61 to 102 megapixels, but for their finest settings
MAX_PIXELS = 50_000_000  # decoded: 200 MB, and as much again for the result
MAX_PIXELS_SMALL = 65_000_000  # ... where the result is small: 260 MB, and 1.3 seconds of a PNG with transparency
FORMATS = (
    *("JPEG", "PNG", "GIF", "WEBP", "AVIF", "JPEG2000", "BMP", "TIFF", "ICO"),  # MPO is opened by JPEG
    *("PPM", "TGA", "PCX", "PSD", "QOI", "CUR", "ICNS", "DDS", "SGI", "SUN", "XBM", "XPM"),
    *("DCX", "MSP", "FLI", "PIXAR", "PCD", "XVTHUMB"),
)
_MOST_PIXELS = {  # where decoding takes more memory: measured, these stay below 450 MB
    "WEBP": 18_000_000,
    "AVIF": 25_000_000,
    "JPEG2000": 16_000_000,
    "ICO": MAX_ICON_PIXELS,
    "ICNS": MAX_ICON_PIXELS,
}
_MOST_HELD = 410_000_000  # bytes of a JPEG whose coefficients are held until its last scan, and of what is decoded
_MOST_SKIPPED = 200_000_000  # of a JPEG of which a small part is decoded: so many pixels are gone through in a second
_JPEG_HEAD = b"\xff\xd8\xff"
_MOST_IN_PYTHON = 1_500_000  # by the decoders that Pillow has in Python: so many a second
_SPARE = (
    1.5  # times the size asked for is what a picture keeps at least, so that shrinking the rest hides how it was cut
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


def load_image(data: bytes, *, at_least: tuple[int, int] | None = None) -> Image.Image:
    """The picture in `data`: mode RGB, upright by its EXIF orientation, its first frame, transparency over white.

    More than eight bits a channel are scaled to eight. `at_least` (width, height) is what the caller will shrink it to:
    then it may come smaller, by a whole number, but neither side below that. Raises BadImage.
    """
    if len(data) > MAX_BYTES:
        raise BadImage(ImageReason.TOO_MANY_BYTES, f"{len(data)} bytes where {MAX_BYTES} are allowed")
    with _QUIET:
        try:
            return _load(data, at_least)
        except BadImage:
            raise
        except Image.DecompressionBombError as error:
            raise BadImage(ImageReason.TOO_MANY_PIXELS, str(error)) from error
        except UnidentifiedImageError as error:
            raise unidentified(data) from error
        except Exception as error:  # decoders raise anything on hostile bytes: ValueError, TypeError, struct.error ...
            raise fault(data, error) from error


def jpeg_thumbnail(data: bytes, pixels: int, quality: int) -> bytes:
    """The picture as a JPEG whose longer side has at most so many pixels; raises BadImage as `load_image`."""
    image = load_image(data, at_least=(pixels, pixels))
    image.thumbnail((pixels, pixels))
    out = BytesIO()
    image.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def _load(data: bytes, at_least: tuple[int, int] | None) -> Image.Image:
    check_head(data)
    with closing(_drafted(data, _opened(data), at_least)) as image:
        _check(image, _most_pixels(image, at_least))
        image.load()
        _check(image, _most_whole(image, at_least))  # some formats tell their size as they are decoded
        orientation = _orientation(image)
        rgb = to_rgb(image, _divisor(image.size, _turned(at_least, orientation)))
    turn = _TURNS.get(orientation)
    return rgb if turn is None else rgb.transpose(turn)


def _check(image: Image.Image, most: int) -> None:
    if image.width * image.height > most:
        size = f"{image.width} × {image.height} pixels"
        raise BadImage(ImageReason.TOO_MANY_PIXELS, f"{size} where {most} of {image.format} are allowed")


def _most_pixels(image: Image.Image, at_least: tuple[int, int] | None) -> int:
    in_python = any(tile[0] in Image.DECODERS for tile in getattr(image, "tile", ()))
    most = _MOST_PIXELS.get(image.format or "", _most_whole(image, at_least))
    return min(most, _MOST_IN_PYTHON) if in_python else most


def _most_whole(image: Image.Image, at_least: tuple[int, int] | None) -> int:
    """Whether upright or not, for some formats tell that after their pixels."""
    shrunk = min(_divisor(image.size, at_least), _divisor(image.size[::-1], at_least))
    return MAX_PIXELS_SMALL if shrunk > 1 else MAX_PIXELS


def _opened(data: bytes) -> ImageFile:
    """As Pillow opens it; a JPEG past Pillow's own bound (179 million pixels) too, for it need not be decoded whole."""
    if not data.startswith(_JPEG_HEAD):
        return Image.open(BytesIO(data), formats=FORMATS)
    try:
        return jpeg_factory(BytesIO(data))
    except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as `Image.open` takes them
        raise UnidentifiedImageError(str(error)) from error


# ---- smaller than it is


def _drafted(data: bytes, image: ImageFile, at_least: tuple[int, int] | None) -> ImageFile:
    """`image`, set to be decoded smaller where its format can. Raises BadImage for a JPEG that would take too long."""
    if image.format in ("JPEG", "MPO"):
        return _drafted_jpeg(data, image, at_least)
    if isinstance(image, Jpeg2KImageFile) and at_least:
        _check(image, MAX_PIXELS)
        spared = (
            _divisor(image.size, at_least).bit_length() - 2
        )  # a wavelet's small picture is sharper than it should be
        image.reduce = max(0, min(spared, _levels(data)))
    return image


def _drafted_jpeg(data: bytes, image: ImageFile, at_least: tuple[int, int] | None) -> ImageFile:
    scans = read_scans(data)
    if scans.too_many:
        raise BadImage(ImageReason.CORRUPT, f"a JPEG of more than {len(scans.found) - 1} scans")
    width, height = image.size
    size = _turned(at_least, _orientation(image)) if at_least else None
    divisor = next(by for by in (8, 4, 2, 1) if by <= _divisor(image.size, size))
    most = _MOST_SKIPPED if at_least else MAX_PIXELS
    held = most if scans.one_pass else int(_MOST_HELD / (scans.held_bytes + 4 / divisor**2))
    _check(image, min(most, held))
    if at_least is None:
        return image
    needed = without_details(data, scans, divisor)
    if len(needed) < len(data):
        image.close()
        image = _opened(needed)
    image.draft(None, (width // divisor, height // divisor))
    return image


def _levels(data: bytes) -> int:
    """How many times a JPEG 2000 can be halved: said in its coding style, the COD marker (ITU-T T.800, A.6.1)."""
    at = data.find(b"\xff\x52\0", data.find(b"\xff\x4f\xff\x51"))
    return data[at + 9] if 0 <= at < len(data) - 9 and data[at + 9] <= 32 else 0


def _divisor(size: tuple[int, int], at_least: tuple[int, int] | None) -> int:
    return max(1, int(min(size[0] / at_least[0], size[1] / at_least[1]) / _SPARE)) if at_least else 1


def _turned(size: tuple[int, int] | None, orientation: int) -> tuple[int, int] | None:
    """The size before a picture is turned upright."""
    return (size[1], size[0]) if size and orientation >= 5 else size


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  broken EXIF raises anything (SyntaxError, struct.error ...); the pixels are still good
        return 1
    return found if isinstance(found, int) else 1


# ---- warnings


class _Quiet:
    """Keeps Pillow's warnings of oddities that it then copes with to itself, while any thread is in it.

    `warnings.catch_warnings` alone restores what it found at its beginning, which in two threads is each other's.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(kind, error, trace)


_QUIET = _Quiet()
