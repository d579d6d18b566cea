"""What a material looks like on an object: an RGBA tile of side × side pixels, from a colour and chance.

All sizes are pixels of the canvas on which scenes are painted (twice the finished image), so that a texture keeps its
grain however large the object is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.pictures.tones import Pixels, Rgb, grid, mix, shaded, solid

Share = NDArray[np.floating]  # [height, width], 0..1


def _tile(pixels: NDArray[np.floating], alpha: int = 255) -> Image.Image:
    tile = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert("RGBA")
    tile.putalpha(alpha)
    return tile


def _contrast(rgb: Rgb) -> Rgb:
    return (70, 80, 120) if min(rgb) > 190 else (120, 84, 30) if rgb[0] > 215 and rgb[1] > 185 else (250, 248, 240)


def _blend(tile: Pixels, rgb: Rgb, share: Share) -> Pixels:
    weight = share[..., None]
    return (tile * (1 - weight) + np.asarray(rgb, np.float32) * weight).astype(np.float32)


def _plain(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, _ = grid(side)
    return _tile(solid(rgb, side) * (1.06 - 0.16 * y / side)[..., None])


def _wooden(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = grid(side)
    wave = y + 5 * np.sin(x / 17 + rng.uniform(0, 6)) + 2 * np.sin(x / 7 + rng.uniform(0, 6))
    grain = (np.mod(wave, 9) < 3.2).astype(np.float32)
    return _tile(_blend(solid(rgb, side), shaded(rgb, 0.45), 0.75 * grain))


def _metal(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = grid(side)
    phase = (x + y) / 13 + rng.uniform(0, 6)
    shine = np.clip(np.sin(phase), 0, 1) ** 2
    dull = np.clip(-np.sin(phase), 0, 1)
    tile = _blend(solid(mix(rgb, (150, 156, 164), 0.2), side), shaded(rgb, 0.45), 0.6 * dull)
    return _tile(_blend(tile, (255, 255, 255), 0.85 * shine))


def _glass(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = grid(side)
    streak = (np.mod(x - y + rng.uniform(0, 40), 40) < 7).astype(np.float32)
    return _tile(_blend(solid(shaded(rgb, 1.15), side), (255, 255, 255), 0.8 * streak), alpha=140)


def _knitted(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = grid(side)
    zigzag = np.mod(y + rng.uniform(0, 10) + 1.6 * np.abs(np.mod(x, 10) - 5), 8) < 3.4
    seam = np.abs(np.mod(x, 10) - 5) > 4.4
    stitches = np.maximum(0.55 * zigzag, 0.3 * seam)
    return _tile(_blend(solid(shaded(rgb, 1.12), side), shaded(rgb, 0.4), stitches))


def _leather(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    cells = rng.random((side // 5 + 2, side // 5 + 2)).astype(np.float32)
    blotch = np.kron(cells, np.ones((5, 5), np.float32))[:side, :side]
    y, x = grid(side)
    gloss = np.exp(-(((x - 0.35 * side) / (0.2 * side)) ** 2) - ((y - 0.35 * side) / (0.16 * side)) ** 2)
    tile = _blend(solid(rgb, side), shaded(rgb, 0.35), 0.7 * (blotch > 0.55).astype(np.float32))
    return _tile(_blend(tile, (255, 255, 255), 0.35 * gloss))


def _striped(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    _, x = grid(side)
    stripe = (np.mod(x + rng.uniform(0, 14), 14) < 5.5).astype(np.float32)
    return _tile(_blend(solid(rgb, side), _contrast(rgb), stripe))


def _dotted(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = grid(side)
    row = np.floor((y + rng.uniform(0, 13)) / 13)
    away = np.hypot(np.mod(x + 6.5 * np.mod(row, 2), 13) - 6.5, np.mod(y, 13) - 6.5)
    return _tile(_blend(solid(rgb, side), _contrast(rgb), np.clip(4.6 - away, 0, 1)))


def _checked(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = grid(side)
    shift = rng.uniform(0, 16)
    bands = (np.mod(x + shift, 16) < 8).astype(np.float32) + (np.mod(y + shift, 16) < 8).astype(np.float32)
    return _tile(_blend(solid(rgb, side), _contrast(rgb), 0.42 * bands))


TILES: dict[str, Callable[[Rgb, int, np.random.Generator], Image.Image]] = {
    "plain": _plain,
    "wooden": _wooden,
    "metal": _metal,
    "glass": _glass,
    "knitted": _knitted,
    "leather": _leather,
    "striped": _striped,
    "dotted": _dotted,
    "checked": _checked,
}
