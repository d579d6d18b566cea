"""What the sample's pictures can show: the vocabulary of scenes, a scene as a record, and its caption.

`rendering.py` paints a scene, the same for the same seed. The sample, the captioner's training and its test draw from
seeds of their own (`SAMPLE_SEEDS` and so on).
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from data.pictures.tones import Rgb

SAMPLE_SEEDS = range(0, 1_000_000)
TRAINING_SEEDS = range(1_000_000, 2_000_000)
TEST_SEEDS = range(2_000_000, 3_000_000)
HELD_OUT_SHARE = 0.1  # of the scene descriptions; the captioner is never trained on them


class Scene(NamedTuple):
    object: str
    colour: str
    material: str
    setting: str
    count: int  # type: ignore[assignment]  # the word a scene needs; tuple.count is not used on it


class SceneObject(NamedTuple):
    name: str
    plural: str
    interest: str
    materials: tuple[str, ...]


class Colour(NamedTuple):
    name: str
    rgb: Rgb


class Setting(NamedTuple):
    name: str
    phrase: str


COLOURS = (
    Colour("red", (206, 36, 42)),
    Colour("orange", (242, 134, 30)),
    Colour("yellow", (246, 214, 48)),
    Colour("green", (40, 150, 70)),
    Colour("blue", (40, 92, 204)),
    Colour("purple", (126, 58, 168)),
    Colour("pink", (246, 148, 190)),
    Colour("brown", (122, 78, 44)),
    Colour("black", (36, 36, 40)),
    Colour("white", (244, 244, 242)),
)
SETTINGS = (
    Setting("studio", "on a plain background"),
    Setting("table", "on a wooden table"),
    Setting("grass", "on the grass"),
    Setting("beach", "on the beach"),
    Setting("snow", "in the snow"),
    Setting("shelf", "on a shelf"),
    Setting("night sky", "under a night sky"),
    Setting("brick wall", "by a brick wall"),
)
COUNTS = (1, 2, 3)
_COUNT_WORDS = {2: "two", 3: "three"}

_SOFT = ("plain", "knitted", "striped", "dotted", "checked")
_WORN = ("plain", "leather", "striped", "dotted", "checked")
_HARD = ("plain", "wooden", "metal", "glass")
_TABLEWARE = ("plain", "glass", "metal", "striped", "dotted")
_PAPER = ("plain", "striped", "dotted", "checked")
_BAKED = ("plain", "striped", "dotted")
_GEAR = ("plain", "metal", "striped", "leather")
_TOY = ("plain", "knitted", "wooden", "striped", "dotted")
_INSTRUMENT = ("plain", "wooden", "metal", "striped")

_OBJECTS_OF_INTEREST: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "baking": (
        ("cake", "cakes", _BAKED),
        ("cupcake", "cupcakes", _BAKED),
        ("pie", "pies", ("plain", "dotted", "checked")),
        ("cookie", "cookies", _BAKED),
        ("bread", "breads", ("plain", "striped", "checked")),
    ),
    "kitchen": (
        ("mug", "mugs", _TABLEWARE),
        ("teapot", "teapots", _TABLEWARE),
        ("bowl", "bowls", (*_TABLEWARE, "wooden")),
        ("pan", "pans", ("plain", "metal", "dotted")),
        ("bottle", "bottles", ("plain", "glass", "metal", "leather")),
    ),
    "home_decor": (
        ("vase", "vases", ("plain", "glass", "striped", "wooden")),
        ("lamp", "lamps", ("plain", "striped", "dotted", "glass")),
        ("cushion", "cushions", _SOFT),
        ("mirror", "mirrors", _HARD[:3]),
        ("clock", "clocks", _HARD[:3]),
    ),
    "furniture": (
        ("chair", "chairs", _HARD),
        ("sofa", "sofas", ("plain", "leather", "striped", "checked")),
        ("table", "tables", _HARD),
        ("bookshelf", "bookshelves", _HARD[:3]),
        ("bed", "beds", _SOFT),
    ),
    "gardening": (
        ("potted plant", "potted plants", ("plain", "glass", "striped", "metal")),
        ("cactus", "cacti", ("plain", "knitted", "striped")),
        ("sunflower", "sunflowers", ("plain", "knitted", "glass")),
        ("tree", "trees", ("plain", "dotted", "knitted")),
        ("watering can", "watering cans", ("plain", "metal", "dotted")),
    ),
    "fashion": (
        ("dress", "dresses", _SOFT),
        ("shirt", "shirts", _SOFT),
        ("skirt", "skirts", _WORN),
        ("coat", "coats", ("plain", "leather", "knitted", "checked")),
        ("scarf", "scarves", _SOFT),
    ),
    "accessories": (
        ("handbag", "handbags", _WORN),
        ("hat", "hats", _SOFT),
        ("ring", "rings", ("plain", "metal", "wooden")),
        ("necklace", "necklaces", ("plain", "wooden", "glass", "metal")),
        ("sunglasses", "sunglasses", ("plain", "wooden", "dotted")),
    ),
    "shoes": (
        ("boot", "boots", ("plain", "leather", "dotted")),
        ("sneaker", "sneakers", ("plain", "leather", "striped", "checked")),
        ("sandal", "sandals", ("plain", "leather", "striped")),
        ("high heel", "high heels", ("plain", "leather", "dotted", "glass")),
        ("slipper", "slippers", ("plain", "knitted", "checked")),
    ),
    "travel": (
        ("suitcase", "suitcases", _GEAR),
        ("tent", "tents", ("plain", "striped", "checked")),
        ("backpack", "backpacks", _WORN),
        ("boat", "boats", ("plain", "wooden", "metal", "striped")),
        ("lighthouse", "lighthouses", ("plain", "wooden", "striped")),
    ),
    "pets": (
        ("cat", "cats", _TOY),
        ("dog", "dogs", _TOY),
        ("fish", "fish", ("plain", "striped", "dotted", "glass")),
        ("bird", "birds", _TOY),
        ("rabbit", "rabbits", _TOY),
    ),
    "crafts": (
        ("yarn ball", "yarn balls", ("plain", "knitted", "striped")),
        ("button", "buttons", _HARD),
        ("paintbrush", "paintbrushes", ("plain", "wooden", "striped")),
        ("scissors", "scissors", ("plain", "metal", "dotted")),
        ("quilt", "quilts", ("plain", "dotted", "striped", "knitted")),
    ),
    "music": (
        ("guitar", "guitars", _INSTRUMENT),
        ("drum", "drums", _INSTRUMENT),
        ("piano", "pianos", _INSTRUMENT),
        ("violin", "violins", _INSTRUMENT),
        ("headphones", "headphones", ("plain", "leather", "metal", "striped")),
    ),
    "fitness": (
        ("ball", "balls", ("plain", "leather", "striped", "dotted")),
        ("bicycle", "bicycles", ("plain", "metal", "striped")),
        ("kettlebell", "kettlebells", ("plain", "metal", "leather")),
        ("skateboard", "skateboards", ("plain", "wooden", "dotted")),
        ("surfboard", "surfboards", ("plain", "wooden", "striped")),
    ),
    "stationery": (
        ("notebook", "notebooks", (*_PAPER, "leather")),
        ("pencil", "pencils", ("plain", "wooden", "striped")),
        ("envelope", "envelopes", _PAPER),
        ("calendar", "calendars", ("plain", "wooden", "dotted")),
        ("book", "books", ("plain", "leather", "striped", "dotted")),
    ),
}
OBJECTS = tuple(
    SceneObject(name, plural, interest, materials)
    for interest, objects in _OBJECTS_OF_INTEREST.items()
    for name, plural, materials in objects
)
INTERESTS = tuple(_OBJECTS_OF_INTEREST)
MATERIALS = tuple(dict.fromkeys(material for thing in OBJECTS for material in thing.materials))

_OBJECT = {thing.name: thing for thing in OBJECTS}
_PHRASE = {setting.name: setting.phrase for setting in SETTINGS}


def scene_object(name: str) -> SceneObject:
    """The vocabulary's entry of an object's name. Raises KeyError when there is none."""
    return _OBJECT[name]


def draw_scene(rng: np.random.Generator) -> Scene:
    """A scene at random: each object, and each of its materials, equally often."""
    thing = OBJECTS[int(rng.integers(len(OBJECTS)))]
    return Scene(
        thing.name,
        COLOURS[int(rng.integers(len(COLOURS)))].name,
        thing.materials[int(rng.integers(len(thing.materials)))],
        SETTINGS[int(rng.integers(len(SETTINGS)))].name,
        COUNTS[int(rng.integers(len(COUNTS)))],
    )


def held_out(scene: Scene) -> bool:
    """Whether the description belongs to the tenth that the captioner's training never sees."""
    return int.from_bytes(digest(scene, 0)[:4], "little") < HELD_OUT_SHARE * 2**32


def reference_caption(scene: Scene) -> str:
    """The scene in words: "two blue knitted scarves on a wooden table"; the material "plain" is not said."""
    thing = _OBJECT[scene.object]
    said = [scene.colour, *([] if scene.material == "plain" else [scene.material])]
    words = [*said, thing.name if scene.count == 1 else thing.plural]
    first = ("an" if said[0][0] in "aeiou" else "a") if scene.count == 1 else _COUNT_WORDS[scene.count]
    return " ".join([first, *words, _PHRASE[scene.setting]])


def digest(scene: Scene, seed: int) -> bytes:
    """Sixteen bytes that are the same for the same scene and seed: what chance in a picture starts from."""
    return hashlib.blake2b(repr((tuple(scene), seed)).encode(), digest_size=16).digest()
