"""Paint: what a material looks like on an object, and what a setting looks like behind it.

All sizes are pixels of the canvas on which scenes are painted (twice the finished image), so that a texture keeps its
grain however large the object is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data.shapes import Drawing, Kind, Role, Shape

Rgb = tuple[int, int, int]
Pixels = NDArray[np.float32]  # [height, width, 3], 0..255
Share = NDArray[np.floating]  # [height, width], 0..1

FIXED: dict[Role, Rgb] = {
    Role.DARK: (38, 36, 44),
    Role.PALE: (248, 244, 232),
    Role.LEAF: (62, 138, 66),
    Role.WOOD: (150, 104, 62),
    Role.STEEL: (176, 186, 196),
    Role.GOLD: (238, 192, 62),
}


def shaded(rgb: Rgb, factor: float) -> Rgb:
    """Darker below 1, lighter above; near-black gets lighter instead of darker, so that it keeps its lines."""
    if factor < 1 and max(rgb) < 80:
        return _mix(rgb, (255, 255, 255), (1 - factor) * 0.6)
    if factor > 1:
        return _mix(rgb, (255, 255, 255), factor - 1)
    return _mix(rgb, (0, 0, 0), 1 - factor)


def _mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def paint(drawing: Drawing, rgb: Rgb, material: str, side: int, rng: np.random.Generator) -> Image.Image:
    """The drawing as an RGBA image of `side` × `side` pixels, transparent where nothing is painted."""
    layer = Image.new("RGBA", (side, side))
    flat = {**FIXED, Role.SHADE: shaded(rgb, 0.66), Role.TINT: shaded(rgb, 1.45), Role.BODY: rgb}
    body = MATERIALS[material](rgb, side, rng)
    edge = (*shaded(rgb, 0.5), 255)
    for shape in drawing:
        if shape.role is Role.BODY:
            mask = Image.new("L", (side, side))
            _draw(ImageDraw.Draw(mask), shape, side, 255, None)
            layer.paste(body, (0, 0), mask)
            _draw(ImageDraw.Draw(layer), shape, side, None, edge)
        else:
            _draw(ImageDraw.Draw(layer), shape, side, (*flat[shape.role], 255), None)
    return layer


Ink = tuple[int, int, int, int] | int | None


def _draw(draw: ImageDraw.ImageDraw, shape: Shape, side: int, fill: Ink, edge: Ink) -> None:
    scale = side / 100
    at = [value * scale for value in shape.points]
    width = max(1, round(shape.width * scale))
    outline = 1 if edge is None else 2
    match shape.kind:
        case Kind.POLYGON:
            draw.polygon(at, fill=fill, outline=edge, width=outline)
        case Kind.OVAL:
            draw.ellipse(at, fill=fill, outline=edge, width=outline)
        case Kind.BOX:
            draw.rounded_rectangle(at[:4], at[4], fill=fill, outline=edge, width=outline)
        case Kind.LINE if fill is not None:
            draw.line(at, fill=fill, width=width, joint="curve")
        case Kind.ARC if fill is not None:
            draw.arc(at[:4], shape.points[4], shape.points[5], fill=fill, width=width)
        case _:
            pass  # lines and arcs have no edge of their own


# ---- materials: (colour, side, rng) -> an RGBA tile of side × side


def _solid(rgb: Rgb, side: int) -> Pixels:
    tile = np.empty((side, side, 3), np.float32)
    tile[:] = rgb
    return tile


@lru_cache(maxsize=64)
def _grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    return y, x


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
    y, _ = _grid(side)
    return _tile(_solid(rgb, side) * (1.06 - 0.16 * y / side)[..., None])


def _wooden(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = _grid(side)
    wave = y + 5 * np.sin(x / 17 + rng.uniform(0, 6)) + 2 * np.sin(x / 7 + rng.uniform(0, 6))
    grain = (np.mod(wave, 9) < 3.2).astype(np.float32)
    return _tile(_blend(_solid(rgb, side), shaded(rgb, 0.45), 0.75 * grain))


def _metal(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = _grid(side)
    phase = (x + y) / 13 + rng.uniform(0, 6)
    shine = np.clip(np.sin(phase), 0, 1) ** 2
    dull = np.clip(-np.sin(phase), 0, 1)
    tile = _blend(_solid(_mix(rgb, (150, 156, 164), 0.2), side), shaded(rgb, 0.45), 0.6 * dull)
    return _tile(_blend(tile, (255, 255, 255), 0.85 * shine))


def _glass(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = _grid(side)
    streak = (np.mod(x - y + rng.uniform(0, 40), 40) < 7).astype(np.float32)
    return _tile(_blend(_solid(shaded(rgb, 1.15), side), (255, 255, 255), 0.8 * streak), alpha=140)


def _knitted(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = _grid(side)
    zigzag = np.mod(y + rng.uniform(0, 10) + 1.6 * np.abs(np.mod(x, 10) - 5), 8) < 3.4
    seam = np.abs(np.mod(x, 10) - 5) > 4.4
    stitches = np.maximum(0.55 * zigzag, 0.3 * seam)
    return _tile(_blend(_solid(shaded(rgb, 1.12), side), shaded(rgb, 0.4), stitches))


def _leather(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    cells = rng.random((side // 5 + 2, side // 5 + 2)).astype(np.float32)
    blotch = np.kron(cells, np.ones((5, 5), np.float32))[:side, :side]
    y, x = _grid(side)
    gloss = np.exp(-(((x - 0.35 * side) / (0.2 * side)) ** 2) - ((y - 0.35 * side) / (0.16 * side)) ** 2)
    tile = _blend(_solid(rgb, side), shaded(rgb, 0.35), 0.7 * (blotch > 0.55).astype(np.float32))
    return _tile(_blend(tile, (255, 255, 255), 0.35 * gloss))


def _striped(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    _, x = _grid(side)
    stripe = (np.mod(x + rng.uniform(0, 14), 14) < 5.5).astype(np.float32)
    return _tile(_blend(_solid(rgb, side), _contrast(rgb), stripe))


def _dotted(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = _grid(side)
    row = np.floor((y + rng.uniform(0, 13)) / 13)
    away = np.hypot(np.mod(x + 6.5 * np.mod(row, 2), 13) - 6.5, np.mod(y, 13) - 6.5)
    return _tile(_blend(_solid(rgb, side), _contrast(rgb), np.clip(4.6 - away, 0, 1)))


def _checked(rgb: Rgb, side: int, rng: np.random.Generator) -> Image.Image:
    y, x = _grid(side)
    shift = rng.uniform(0, 16)
    bands = (np.mod(x + shift, 16) < 8).astype(np.float32) + (np.mod(y + shift, 16) < 8).astype(np.float32)
    return _tile(_blend(_solid(rgb, side), _contrast(rgb), 0.42 * bands))


MATERIALS: dict[str, Callable[[Rgb, int, np.random.Generator], Image.Image]] = {
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


# ---- settings: (side, rng) -> an RGB canvas and the height at which things stand


class Ground(NamedTuple):
    canvas: Image.Image
    floor: float  # y of the line on which objects stand, as a share of the height


def _wall(side: int, rng: np.random.Generator, choices: tuple[Rgb, ...]) -> Image.Image:
    top = choices[int(rng.integers(len(choices)))]
    y, _ = _grid(side)
    return Image.fromarray(np.clip(_solid(top, side) * (1.05 - 0.12 * y / side)[..., None], 0, 255).astype(np.uint8))


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


SETTINGS: dict[str, Callable[[int, np.random.Generator], Ground]] = {
    "studio": _studio,
    "table": _table,
    "grass": _grass,
    "beach": _beach,
    "snow": _snow,
    "shelf": _shelf,
    "night sky": _night,
    "brick wall": _brick,
}
