"""A decoded picture of any of Pillow's modes as RGB: transparency over white, more than eight bits scaled to eight.

Reads and writes nothing. `images.py` calls it. The work goes by bands of rows, so that beside the picture and its
result only a few megabytes are held, and a band may be shrunk (by an integer, as means of boxes) as soon as it is RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_BAND = 2**20  # pixels
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_DIRECT = ("RGB", "RGBX", "L", "CMYK", "YCbCr")  # shrunk as they are: their means are the means of their colours
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF's tags


class Scale(NamedTuple):
    """What of deep grey becomes black, and what white."""

    black: float
    white: float


def to_rgb(image: Image.Image, shrink: int = 1) -> Image.Image:
    """A new picture in RGB, each side divided by `shrink` and rounded up."""
    if image.mode in _DIRECT and not image.has_transparency_data:
        smaller = Image.Image.reduce(image, shrink) if shrink > 1 else image  # JPEG 2000 has another `reduce`
        return smaller.copy() if smaller is image and image.mode == "RGB" else smaller.convert("RGB")
    convert = _converter(image)
    out = Image.new("RGB", (-(-image.width // shrink), -(-image.height // shrink)))
    for top, band in _bands(image, shrink):
        rgb = convert(band)
        out.paste(rgb.reduce(shrink) if shrink > 1 else rgb, (0, top // shrink))
    return out


def _bands(image: Image.Image, step: int) -> Iterator[tuple[int, Image.Image]]:
    """The picture in pieces of whole rows, a multiple of `step` of them but for the last, each with its first row."""
    rows = max(1, _BAND // image.width // step) * step
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    if image.mode in _DEEP:
        scale = _scale(image)
        transparent = image.info.get("transparency")
        hole = transparent if isinstance(transparent, int) else None
        return lambda band: _deep_grey(band, scale, hole)
    if image.mode == "LAB":
        return _lab
    return _over_white if image.has_transparency_data else lambda band: band.convert("RGB")


def _over_white(band: Image.Image) -> Image.Image:
    layer = (band.convert("LA") if band.mode == "La" else band).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


# ---- deep grey


def _deep_grey(band: Image.Image, scale: Scale, hole: int | None) -> Image.Image:
    values = np.nan_to_num(np.asarray(band, np.float32), nan=0.0, posinf=scale.white, neginf=scale.black)
    scaled = (values - scale.black) * (255 / (scale.white - scale.black))
    if hole is not None:
        scaled = np.where(values == hole, 255, scaled)
    return Image.fromarray(np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)).convert("RGB")


def _scale(image: Image.Image) -> Scale:
    """Grey of 16 bits, its whole range; what is deeper or floating, its usual range, else what it holds itself.

    Floating grey is of 0 to 1 or of 0 to 255 by custom; high dynamic range goes past both, its lights far past its
    whites, so a thousandth of the pixels is let go at either end.
    """
    tags = getattr(image, "tag_v2", {})
    if image.mode not in ("I", "F"):
        bits = tags.get(_BITS_PER_SAMPLE)
        white = 4095.0 if bits == (12,) else 65535.0
        return Scale(white, 0.0) if tags.get(_PHOTOMETRIC) == 0 else Scale(0.0, white)
    values = _sampled(image)
    low, high = (float(bound) for bound in np.quantile(values, (0.001, 0.999))) if values.size else (0.0, 0.0)
    usual = 65535.0 if image.mode == "I" else 1.0 if high <= 1 else 255.0
    if values.size and (float(values.min()) < 0 or high > usual or (image.mode == "F" and 1 < high < 128)):
        return Scale(low, max(high, low + 1e-9))
    return Scale(0.0, usual)


def _sampled(image: Image.Image) -> NDArray[np.float32]:
    """The finite values of a million pixels, spread over the picture's rows."""
    rows = max(1, -(-image.width * image.height // _BAND))
    picked = [np.asarray(image.crop((0, y, image.width, y + 1)), np.float32) for y in range(0, image.height, rows)]
    values = np.concatenate(picked, axis=None)
    return np.asarray(values[np.isfinite(values)], np.float32)


# ---- Lab


def _lab(band: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(band, _lab_to_srgb())
    assert converted is not None  # it is None only when converting in place
    return converted


@cache
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
