"""What a setting looks like behind the objects: an RGB canvas and the height at which things stand.

All sizes are pixels of the canvas on which scenes are painted, twice the finished image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from data.pictures.tones import Rgb, grid, shaded, solid


class Ground(NamedTuple):
    canvas: Image.Image
    floor: float  # y of the line on which objects stand, as a share of the height


def _wall(side: int, rng: np.random.Generator, choices: tuple[Rgb, ...]) -> Image.Image:
    top = choices[int(rng.integers(len(choices)))]
    y, _ = grid(side)
    return Image.fromarray(np.clip(solid(top, side) * (1.05 - 0.12 * y / side)[..., None], 0, 255).astype(np.uint8))


def _studio(side: int, rng: np.random.Generator) -> Ground:
    canvas = _wall(side, rng, ((226, 222, 216), (214, 222, 228), (230, 218, 212), (216, 224, 212), (222, 214, 228)))
    return Ground(canvas, 0.84)


def _table(side: int, rng: np.random.Generator) -> Ground:
    canvas = _wall(side, rng, ((216, 206, 190), (200, 208, 206), (222, 214, 208)))
    draw = ImageDraw.Draw(canvas)
    top = round(side * rng.uniform(0.6, 0.68))
    wood: Rgb = (172, 122, 76)
    draw.rectangle((0, top, side, side), fill=wood)
    for i in range(1, 4):
        y = top + (side - top) * i / 3.2
        draw.line((0, y, side, y + rng.uniform(-3, 3)), fill=shaded(wood, 0.7), width=2)
    for _ in range(14):
        x, y = rng.uniform(-20, side), rng.uniform(top + 4, side)
        draw.line((x, y, x + rng.uniform(14, 50), y), fill=shaded(wood, 0.84), width=1)
    draw.line((0, top, side, top), fill=shaded(wood, 0.55), width=4)
    return Ground(canvas, 0.86)


def _grass(side: int, rng: np.random.Generator) -> Ground:
    canvas = _wall(side, rng, ((168, 208, 238), (186, 216, 236)))
    draw = ImageDraw.Draw(canvas)
    top = round(side * rng.uniform(0.5, 0.6))
    draw.rectangle((0, top, side, side), fill=(112, 168, 72))
    for _ in range(150):
        x, y = rng.uniform(0, side), rng.uniform(top - 2, side)
        tone: Rgb = (78, 138, 52) if rng.random() < 0.6 else (146, 194, 92)
        draw.line((x, y, x + rng.uniform(-3, 3), y - rng.uniform(5, 10)), fill=tone, width=2)
    return Ground(canvas, 0.86)


def _beach(side: int, rng: np.random.Generator) -> Ground:
    canvas = _wall(side, rng, ((150, 206, 240), (178, 218, 240), (240, 208, 178)))
    draw = ImageDraw.Draw(canvas)
    sea, sand = round(side * rng.uniform(0.32, 0.4)), round(side * rng.uniform(0.54, 0.6))
    draw.rectangle((0, sea, side, sand), fill=(40, 134, 176))
    for _ in range(8):
        x, y = rng.uniform(0, side), rng.uniform(sea + 3, sand - 4)
        draw.line((x, y, x + 18, y), fill=(140, 200, 220), width=2)
    draw.rectangle((0, sand, side, side), fill=(232, 208, 152))
    draw.line((0, sand, side, sand), fill=(250, 250, 246), width=5)
    for _ in range(60):
        x, y = rng.uniform(0, side), rng.uniform(sand + 6, side)
        draw.point((x, y), fill=(190, 160, 110))
    return Ground(canvas, 0.87)


def _snow(side: int, rng: np.random.Generator) -> Ground:
    canvas = _wall(side, rng, ((178, 194, 212), (190, 200, 214)))
    draw = ImageDraw.Draw(canvas)
    top = side * rng.uniform(0.5, 0.58)
    draw.polygon(
        (-40, side, -40, top + 24, side * 0.3, top, side * 0.6, top + 14, side + 40, top, side + 40, side),
        (238, 243, 250),
    )
    for x in (rng.uniform(0.02, 0.3), rng.uniform(0.7, 0.95)):
        left, height = side * x, side * rng.uniform(0.2, 0.3)
        draw.polygon((left - 13, top + 10, left, top + 10 - height, left + 13, top + 10), fill=(72, 108, 100))
    for _ in range(46):
        x, y, r = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(1.4, 3)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 255, 255))
    return Ground(canvas, 0.87)


def _shelf(side: int, rng: np.random.Generator) -> Ground:
    canvas = _wall(side, rng, ((204, 214, 200), (226, 210, 196), (196, 206, 220)))
    draw = ImageDraw.Draw(canvas)
    top = round(side * 0.8)
    board: Rgb = (124, 84, 52)
    draw.rectangle((0, top, side, top + side // 13), fill=board)
    draw.line((0, top, side, top), fill=shaded(board, 1.3), width=3)
    for x in (0.16, 0.84):
        left = side * x
        draw.polygon((left - 6, top + side // 13, left + 6, top + side // 13, left, side), fill=(70, 64, 62))
    return Ground(canvas, 0.81)


def _night(side: int, rng: np.random.Generator) -> Ground:
    canvas = _wall(side, rng, ((34, 44, 100), (52, 40, 104)))
    draw = ImageDraw.Draw(canvas)
    x, y, r = side * rng.uniform(0.1, 0.9), side * rng.uniform(0.08, 0.16), side * 0.07
    draw.ellipse((x - r, y - r, x + r, y + r), fill=(252, 244, 206))
    for _ in range(46):
        a, b, c = rng.uniform(0, side), rng.uniform(0, side * 0.8), rng.uniform(0.8, 2)
        draw.ellipse((a - c, b - c, a + c, b + c), fill=(250, 248, 226))
    draw.rectangle((0, side * 0.8, side, side), fill=(84, 94, 126))
    return Ground(canvas, 0.88)


def _brick(side: int, rng: np.random.Generator) -> Ground:
    canvas = Image.new("RGB", (side, side), (206, 196, 186))
    draw = ImageDraw.Draw(canvas)
    high, wide = 16, 38
    for row in range(math.ceil(side / high)):
        for column in range(-1, math.ceil(side / wide) + 1):
            left = column * wide + (wide // 2 if row % 2 else 0)
            tone = shaded((166, 88, 70), float(rng.uniform(0.86, 1.1)))
            draw.rectangle((left, row * high, left + wide - 4, row * high + high - 4), fill=tone)
    draw.rectangle((0, side * 0.84, side, side), fill=(132, 128, 126))
    return Ground(canvas, 0.9)


BACKGROUNDS: dict[str, Callable[[int, np.random.Generator], Ground]] = {
    "studio": _studio,
    "table": _table,
    "grass": _grass,
    "beach": _beach,
    "snow": _snow,
    "shelf": _shelf,
    "night sky": _night,
    "brick wall": _brick,
}
