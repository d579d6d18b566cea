"""A scene painted: its background, then each thing's shadow and drawing, then light and grain.

python -m data.pictures.rendering sheet.png       one picture of every object
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw

from data.pictures import scenes
from data.pictures.backgrounds import BACKGROUNDS, Ground
from data.pictures.drawings_away import AWAY
from data.pictures.drawings_home import HOME
from data.pictures.materials import TILES
from data.pictures.scenes import COLOURS, OBJECTS, Scene, draw_scene
from data.pictures.shapes import Drawing, Kind, Role, Shape
from data.pictures.tones import Rgb, shaded

Ink = tuple[int, int, int, int] | int | None

_RGB = {colour.name: colour.rgb for colour in COLOURS}
_DRAWING: dict[str, Drawing] = {**HOME, **AWAY}

# Where `count` things stand: x of the middle and how far above the floor, as shares of the side; and their size.
_PLACES = {
    1: ((0.5, 0.0),),
    2: ((0.28, 0.0), (0.72, 0.0)),
    3: ((0.2, 0.02), (0.5, 0.0), (0.8, 0.02)),
}
_SIZES = {1: (0.56, 0.72), 2: (0.4, 0.46), 3: (0.3, 0.33)}
_FIXED: dict[Role, Rgb] = {
    Role.DARK: (38, 36, 44),
    Role.PALE: (248, 244, 232),
    Role.LEAF: (62, 138, 66),
    Role.WOOD: (150, 104, 62),
    Role.STEEL: (176, 186, 196),
    Role.GOLD: (238, 192, 62),
}


def render(scene: Scene, seed: int, size: int = 96) -> Image.Image:
    """The scene as an RGB picture of `size` × `size` pixels (48 or more); the same for the same scene, seed and size.

    Painted at twice the size and halved: what a seed varies is the background, each thing's place, size, tilt and
    tone, the light and the grain. Raises KeyError for a word outside the vocabulary.
    """
    return render_with_cover(scene, seed, size)[0]


def render_with_cover(scene: Scene, seed: int, size: int = 96) -> tuple[Image.Image, Image.Image]:
    """As `render`, and which of its pixels the scene's things cover (mode L, 255 where they do)."""
    rng = np.random.default_rng(list(scenes.digest(scene, seed)))
    side = 2 * size
    ground = BACKGROUNDS[scene.setting](side, rng)
    cover = Image.new("L", (side, side))
    for x, lift in _PLACES[scene.count]:
        _place(ground, cover, scene, x, lift, rng)
    finished = np.asarray(ground.canvas.resize((size, size), Image.Resampling.BOX), np.float32)
    light = rng.uniform(0.92, 1.08) + rng.normal(0, 0.012, 3)
    grain = rng.normal(0, rng.uniform(1, 5), (size, size, 1))
    picture = Image.fromarray(np.clip(finished * light + grain, 0, 255).astype(np.uint8))
    return picture, cover.resize((size, size), Image.Resampling.BOX)


def _place(ground: Ground, cover: Image.Image, scene: Scene, x: float, lift: float, rng: np.random.Generator) -> None:
    """Paint one thing of the scene onto the ground, with its shadow, and mark what it covers."""
    side = ground.canvas.width
    extent = round(side * rng.uniform(*_SIZES[scene.count]))
    tone = np.clip(np.asarray(_RGB[scene.colour]) + rng.integers(-9, 10, 3), 0, 255)
    rgb: Rgb = (int(tone[0]), int(tone[1]), int(tone[2]))
    thing = paint(_DRAWING[scene.object], rgb, scene.material, extent, rng)
    if rng.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    thing = thing.rotate(float(rng.uniform(-7, 7)), Image.Resampling.BILINEAR)
    spread = 0.14 if scene.count == 1 else 0.03
    left = round(side * (x + rng.uniform(-spread, spread)) - extent / 2)
    foot = round(side * (ground.floor - lift + rng.uniform(-0.02, 0.03)))
    shadow = Image.new("L", ground.canvas.size)
    ImageDraw.Draw(shadow).ellipse((left + extent * 0.1, foot - extent * 0.1, left + extent * 0.9, foot + 5), fill=90)
    ground.canvas.paste((20, 20, 30), (0, 0), shadow)
    ground.canvas.paste(thing, (left, foot - extent), thing)
    cover.paste(255, (left, foot - extent), thing)


def paint(drawing: Drawing, rgb: Rgb, material: str, side: int, rng: np.random.Generator) -> Image.Image:
    """The drawing as an RGBA image of `side` × `side` pixels, transparent where nothing is painted."""
    layer = Image.new("RGBA", (side, side))
    flat = {**_FIXED, Role.SHADE: shaded(rgb, 0.66), Role.TINT: shaded(rgb, 1.45), Role.BODY: rgb}
    body = TILES[material](rgb, side, rng)
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


def contact_sheet(size: int = 96, columns: int = 10) -> Image.Image:
    """One picture of every object, in the vocabulary's order."""
    sheet = Image.new("RGB", (columns * size, -(-len(OBJECTS) // columns) * size))
    for i, thing in enumerate(OBJECTS):
        rng = np.random.default_rng(i)
        scene = draw_scene(rng)._replace(object=thing.name, material=thing.materials[i % len(thing.materials)])
        sheet.paste(render(scene, i, size), (i % columns * size, i // columns * size))
    return sheet


if __name__ == "__main__":
    contact_sheet().save(sys.argv[1])
