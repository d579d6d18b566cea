"""What a picture looks like, small enough to keep, and whether two of them are one picture recompressed or resized.

Reads and writes nothing; `picture_twins.py` keeps the prints. The hash finds candidates: 64 bits of a discrete cosine
transform, the pHash of Zauner ("Implementation and benchmarking of perceptual image hash functions", 2010). It takes a
red vase for a blue one, so a candidate is the same picture only if no spot of a small copy differs: not in brightness
(64 × 64), nor in colour (16 × 16), nor their shapes. docs/decisions.md has how the bounds were found.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enrich.hamming_index import DISTANCE

MAX_BRIGHTNESS = 8  # by which a spot may differ, of 255
MAX_COLOUR = 12  # ... in one of its three channels
MAX_SHAPE = 0.02  # by which width ÷ height may differ, as a share
_SIDE, _COLOUR_SIDE, _HASHED_SIDE, _WAVES = 64, 16, 32, 8


class PicturePrint(NamedTuple):
    """`brightness` is 64 × 64 bytes, `colour` 16 × 16 × 3; `shape` is width ÷ height."""

    hash: int
    shape: float
    brightness: bytes
    colour: bytes


def picture_print(image: Image.Image) -> PicturePrint:
    """The print of an RGB picture."""
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    grey = small.convert("L")
    colour = small.resize((_COLOUR_SIDE, _COLOUR_SIDE), Image.Resampling.BILINEAR)
    return PicturePrint(_hash(grey), image.width / image.height, grey.tobytes(), colour.tobytes())


def one_picture(one: PicturePrint, other: PicturePrint) -> bool:
    """Whether two prints are of the same picture."""
    return (
        (one.hash ^ other.hash).bit_count() <= DISTANCE
        and abs(math.log(one.shape / other.shape)) <= MAX_SHAPE
        and _furthest(one.colour, other.colour) <= MAX_COLOUR
        and _furthest(one.brightness, other.brightness) <= MAX_BRIGHTNESS
    )


def _furthest(one: bytes, other: bytes) -> int:
    values, others = (np.frombuffer(side, np.uint8).astype(np.int16) for side in (one, other))
    return int(np.abs(values - others).max())


def _hash(grey: Image.Image) -> int:
    """The lowest 8 × 8 waves of 32 × 32 pixels, each whether above their median; the mean, no wave, says nothing."""
    pixels = np.asarray(grey.resize((_HASHED_SIDE, _HASHED_SIDE), Image.Resampling.LANCZOS), np.float64)
    waves = np.round(_cosines() @ pixels @ _cosines().T, 1).ravel()  # so that a plain picture has none
    bits = waves > np.median(waves[1:])
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@cache
def _cosines() -> NDArray[np.float64]:
    """The first rows of the orthonormal DCT-II."""
    wave, place = np.arange(_WAVES)[:, None], np.arange(_HASHED_SIDE)[None, :]
    rows = np.cos(np.pi * wave * (2 * place + 1) / (2 * _HASHED_SIDE)) * math.sqrt(2 / _HASHED_SIDE)
    rows[0] /= math.sqrt(2)
    return np.asarray(rows, np.float64)
