"""How well a pin truly answers a query: what a query wants, and what it costs when that does not hold.

Latent as the pins are (`pins.py`): the ranker half knows it; clicks and votes follow it with noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.sample_maker.chance import Floats, stream
from data.sample_maker.pins import Pin

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
