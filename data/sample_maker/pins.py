"""The sample catalogue's pins as they truly are: what each shows, what style it is for, when it was made.

Nothing here is ever written into a table that a model reads; `writer.py` keeps it beside the tables, in latent_truth/,
for simulations. Everything that is read (texts, boards, the log, judgments) is made from it with noise.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.pictures.scenes import COLOURS, OBJECTS, SETTINGS, Scene, scene_object
from data.sample_maker.chance import Rng, choose, happens, stream

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
