"""How many captions tell each slot of their scene rightly: count, colour, material, object, setting, all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from data.pictures.scenes import COLOURS, MATERIALS, SETTINGS, Scene, reference_caption, scene_object

_COLOURS = frozenset(colour.name for colour in COLOURS)
_COUNTS = {"a": 1, "an": 1, "two": 2, "three": 3}


class CaptionMetrics(NamedTuple):
    """Shares of the captions, 0..1."""

    object: float
    colour: float
    material: float
    setting: float
    how_many: float
    whole_caption: float


class Told(NamedTuple):
    """The slots that one caption tells rightly."""

    object: bool
    colour: bool
    material: bool
    setting: bool
    how_many: bool
    whole_caption: bool


def told(caption: str, scene: Scene) -> Told:
    """Compare a caption with the scene that it is of; a "plain" material is told by naming none."""
    phrase = next((setting for setting in SETTINGS if caption.endswith(" " + setting.phrase)), None)
    words = (caption.removesuffix(phrase.phrase) if phrase else caption).split()
    materials = [word for word in words if word in MATERIALS]
    thing = scene_object(scene.object)
    return Told(
        object=" ".join(w for w in words[1:] if w not in _COLOURS and w not in MATERIALS) in (thing.name, thing.plural),
        colour=[word for word in words if word in _COLOURS] == [scene.colour],
        material=materials == ([] if scene.material == "plain" else [scene.material]),
        setting=phrase is not None and phrase.name == scene.setting,
        how_many=_COUNTS.get(words[0] if words else "") == scene.count,
        whole_caption=caption == reference_caption(scene),
    )


def measure(captions: Sequence[str], scenes: Sequence[Scene]) -> CaptionMetrics:
    """The share of the captions that tell each slot rightly."""
    slots = zip(*(told(caption, scene) for caption, scene in zip(captions, scenes, strict=True)), strict=True)
    return CaptionMetrics(*(sum(slot) / len(captions) for slot in slots))
