"""What painting is made of: colours mixed and shaded, pixels of one colour, coordinates."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]
Pixels = NDArray[np.float32]  # [height, width, 3], 0..255


def shaded(rgb: Rgb, factor: float) -> Rgb:
    """Darker below 1, lighter above; near-black gets lighter instead of darker, so that it keeps its lines."""
    if factor < 1 and max(rgb) < 80:
        return mix(rgb, (255, 255, 255), (1 - factor) * 0.6)
    if factor > 1:
        return mix(rgb, (255, 255, 255), factor - 1)
    return mix(rgb, (0, 0, 0), 1 - factor)


def mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    """`a` with that share of `b`, 0..1."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def solid(rgb: Rgb, side: int) -> Pixels:
    """A square of one colour."""
    tile = np.empty((side, side, 3), np.float32)
    tile[:] = rgb
    return tile


@lru_cache(maxsize=64)
def grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The y and the x of each pixel of a square."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    return y, x
