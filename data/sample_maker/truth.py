"""The sample catalogue's latent truth: what each pin shows and is for, what each query wants, how well they fit.

Nothing here is ever written into a table that a model reads; `make_sample.py` keeps it beside the tables, in
latent_truth/, for simulations. Everything that is read (texts, boards, the log, judgments) is made from it with noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.pictures.scenes import COLOURS, OBJECTS, SETTINGS, Scene, scene_object
from data.sample_maker.chance import Floats, Rng, choose, happens, stream

START = datetime(2024, 7, 1, tzinfo=UTC)  # of the log
END = datetime(2026, 6, 30, tzinfo=UTC)
LANGUAGE_SHARES = {"en": 0.70, "es": 0.08, "fr": 0.06, "de": 0.06, "pt": 0.05, "ja": 0.05}

STYLES_OF = {  # the styles and occasions that an interest lends itself to
    "baking": ("birthday", "christmas", "kids", "wedding", "rustic", "gift", "summer"),
    "kitchen": ("rustic", "minimalist", "vintage", "scandi", "gift", "budget", "luxury"),
    "home_decor": ("boho", "minimalist", "scandi", "cosy", "vintage", "luxury", "dorm", "christmas"),
    "furniture": ("scandi", "minimalist", "vintage", "rustic", "dorm", "budget", "luxury", "kids"),
    "gardening": ("diy", "rustic", "boho", "summer", "dorm", "budget"),
    "fashion": ("boho", "vintage", "minimalist", "summer", "wedding", "cosy", "luxury", "kids"),
    "accessories": ("boho", "luxury", "gift", "wedding", "vintage", "summer"),
    "shoes": ("summer", "cosy", "wedding", "luxury", "budget", "vintage", "kids"),
    "travel": ("summer", "budget", "kids", "vintage", "luxury", "diy"),
    "pets": ("kids", "gift", "cosy", "christmas", "diy", "birthday"),
    "crafts": ("diy", "kids", "christmas", "gift", "boho", "budget"),
    "music": ("vintage", "kids", "gift", "luxury", "budget", "cosy"),
    "fitness": ("budget", "summer", "kids", "dorm", "minimalist", "vintage"),
    "stationery": ("minimalist", "gift", "kids", "vintage", "wedding", "christmas", "diy"),
}
SETTINGS_OF = {  # where an interest's things are usually pictured; elsewhere now and then
    "baking": ("table", "table", "studio", "shelf"),
    "kitchen": ("table", "shelf", "studio"),
    "home_decor": ("shelf", "table", "brick wall", "studio"),
    "furniture": ("brick wall", "studio", "grass"),
    "gardening": ("grass", "grass", "shelf", "brick wall", "snow"),
    "fashion": ("studio", "brick wall", "beach", "snow"),
    "accessories": ("studio", "table", "beach"),
    "shoes": ("studio", "grass", "snow", "brick wall"),
    "travel": ("beach", "night sky", "snow", "grass"),
    "pets": ("grass", "snow", "studio", "night sky", "beach"),
    "crafts": ("table", "shelf", "studio"),
    "music": ("brick wall", "studio", "night sky", "shelf"),
    "fitness": ("beach", "grass", "studio", "brick wall"),
    "stationery": ("table", "shelf", "studio"),
}
RELATED_OBJECTS = (
    ("cake", "cupcake", "pie"), ("cookie", "cupcake"), ("cookie", "bread"), ("mug", "teapot"), ("mug", "bottle"),
    ("bowl", "pan"), ("vase", "potted plant"), ("cushion", "quilt"), ("clock", "mirror"), ("chair", "sofa"),
    ("sofa", "bed"), ("table", "bookshelf"), ("potted plant", "cactus"), ("potted plant", "tree"),
    ("sunflower", "potted plant"), ("dress", "skirt"), ("shirt", "coat"), ("scarf", "hat"), ("scarf", "coat"),
    ("handbag", "backpack"), ("ring", "necklace"), ("sunglasses", "hat"), ("boot", "sneaker"), ("sandal", "slipper"),
    ("high heel", "sandal"), ("suitcase", "backpack"), ("boat", "lighthouse"), ("boat", "surfboard"), ("cat", "dog"),
    ("cat", "rabbit"), ("bird", "fish"), ("yarn ball", "quilt"), ("yarn ball", "scarf"), ("paintbrush", "pencil"),
    ("button", "scissors"), ("guitar", "violin"), ("guitar", "drum"), ("piano", "violin"), ("ball", "kettlebell"),
    ("bicycle", "skateboard"), ("skateboard", "surfboard"), ("notebook", "book"), ("notebook", "calendar"),
    ("notebook", "pencil"), ("envelope", "calendar"),
)  # fmt: skip
RELATED_INTERESTS = (
    ("baking", "kitchen"), ("home_decor", "furniture"), ("fashion", "accessories", "shoes"),
    ("crafts", "stationery"), ("gardening", "home_decor"), ("travel", "fitness"),
)  # fmt: skip
NEAR_COLOURS = (
    ("red", "orange"), ("orange", "yellow"), ("red", "pink"), ("pink", "purple"), ("blue", "purple"),
    ("brown", "black"), ("brown", "orange"),
)  # fmt: skip
NEAR_STYLES = (
    ("minimalist", "scandi"), ("rustic", "cosy"), ("rustic", "vintage"), ("boho", "summer"), ("budget", "diy"),
    ("budget", "dorm"), ("gift", "birthday"), ("gift", "christmas"), ("luxury", "wedding"), ("kids", "birthday"),
)  # fmt: skip

# What it costs, in levels, when a thing that the query wants does not hold; NEAR of it when it nearly holds.
COST = {"colour": 1.0, "material": 0.95, "style": 0.9, "setting": 0.85, "count": 0.8}
NEAR = 0.75
PAIR_NOISE = 0.16  # levels; what no attribute explains


class Pin(NamedTuple):
    """One pin's truth. `styles` holds one or two, the main one first; quality and popularity are 0..1 and ≥ 0."""

    pin_id: str
    scene: Scene
    interest: str
    styles: tuple[str, ...]
    lang: str
    quality: float
    popularity: float
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Want:
    """What a query wants; None where it does not mind. `thing` None: anything of the interest."""

    interest: str
    thing: str | None
    colour: str | None = None
    material: str | None = None
    setting: str | None = None
    style: str | None = None
    count: int | None = None


def make_pins(seed: int, n: int) -> list[Pin]:
    """The catalogue's pins, in no telling order; every object about equally often, in its favourite colours."""
    rng = stream(seed, "pins")
    favourites = {thing.name: rng.permutation(len(COLOURS)) for thing in OBJECTS}
    weights = rng.uniform(0.6, 1.4, len(OBJECTS))
    ids = rng.choice(9 * 10**8, size=n, replace=False) + 10**8
    return [_pin(rng, str(ids[i]), choose(rng, OBJECTS, weights).name, favourites) for i in range(n)]


def _pin(rng: Rng, pin_id: str, name: str, favourites: dict[str, NDArray[np.int64]]) -> Pin:
    thing = scene_object(name)
    colour = COLOURS[int(favourites[name][min(int(rng.geometric(0.3)) - 1, len(COLOURS) - 1)])].name
    usual_place = happens(rng, 0.8)
    setting = choose(rng, SETTINGS_OF[thing.interest]) if usual_place else choose(rng, SETTINGS).name
    count = choose(rng, (1, 2, 3), (0.62, 0.21, 0.17))
    scene = Scene(name, colour, choose(rng, thing.materials), setting, count)
    options = list(STYLES_OF[thing.interest])
    styles = [options.pop(int(rng.integers(len(options)))) for _ in range(1 + happens(rng, 0.3))]
    lang = choose(rng, list(LANGUAGE_SHARES), list(LANGUAGE_SHARES.values()))
    age = rng.beta(1.0, 2.2) * (END - START - timedelta(days=90)) + timedelta(microseconds=int(rng.integers(10**6)))
    created = START - timedelta(days=120) + age
    return Pin(pin_id, scene, thing.interest, tuple(styles), lang, float(rng.beta(3, 2)), _popularity(rng), created)


def _popularity(rng: Rng) -> float:
    """Most pins are seen, a long tail hardly ever: median 1, a third hardly ever."""
    return float(np.exp(rng.normal(0.25, 0.4) if happens(rng, 0.65) else rng.normal(-2.2, 0.5)))


def _pairs(groups: tuple[tuple[str, ...], ...]) -> frozenset[tuple[str, str]]:
    return frozenset((a, b) for group in groups for a in group for b in group if a != b)


_OBJECT_PAIRS = _pairs(RELATED_OBJECTS)
_INTEREST_PAIRS = _pairs(RELATED_INTERESTS)
_COLOUR_PAIRS = _pairs(NEAR_COLOURS)
_STYLE_PAIRS = _pairs(NEAR_STYLES)


def _miss(wanted: str, found: tuple[str, ...], near: frozenset[tuple[str, str]]) -> float:
    if wanted in found:
        return 0.0
    return NEAR if any((wanted, one) in near for one in found) else 1.0


def cost(want: Want, pin: Pin) -> float:
    """What the wanted things that do not hold cost together, in levels."""
    total = 0.0
    if want.colour is not None:
        total += COST["colour"] * _miss(want.colour, (pin.scene.colour,), _COLOUR_PAIRS)
    if want.material is not None:
        total += COST["material"] * (want.material != pin.scene.material)
    if want.style is not None:
        total += COST["style"] * _miss(want.style, pin.styles, _STYLE_PAIRS)
    if want.setting is not None:
        total += COST["setting"] * (want.setting != pin.scene.setting)
    if want.count is not None:
        total += COST["count"] * (want.count != pin.scene.count)
    return total


def relevance(want: Want, pin: Pin) -> float:
    """How well the pin answers, 1..5 as people's levels go, before what no attribute explains.

    The thing wanted: 5, less what fails, never below 3. A related thing: 3 where all the rest holds, else 2. Another
    of the interest: 2. Anything else: 1, a little more where the interests are neighbours.
    """
    missing = cost(want, pin)
    thing, interest = pin.scene.object, pin.interest
    if want.thing is None:
        if interest == want.interest:
            return max(5.0 - missing, 2.9)
        return max(2.3 - 0.4 * missing, 1.7) if (interest, want.interest) in _INTEREST_PAIRS else 1.1
    if thing == want.thing:
        return max(5.1 - missing, 2.9)
    if (thing, want.thing) in _OBJECT_PAIRS:
        return max(3.1 - 0.8 * missing, 2.1)
    if interest == want.interest:
        return max(2.2 - 0.3 * missing, 1.6)
    return 1.4 - 0.2 * missing if (interest, want.interest) in _INTEREST_PAIRS else 1.0


def relevance_matrix(seed: int, wants: list[Want], pins: list[Pin]) -> Floats:
    """`relevance` of every query (row) and pin (column), with the pair's own noise."""
    plain = np.array([[relevance(want, pin) for pin in pins] for want in wants]).reshape(len(wants), len(pins))
    noise: Floats = stream(seed, "pairs").normal(0, PAIR_NOISE, plain.shape)
    return plain + noise


def true_level(value: Floats) -> NDArray[np.int64]:
    """The level of a relevance: the nearest of 1..5."""
    levels: NDArray[np.int64] = np.clip(np.floor(value + 0.5), 1, 5).astype(np.int64)
    return levels
