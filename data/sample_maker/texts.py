"""What owners write on the sample catalogue's pins: titles and descriptions, each telling a part of the truth or none.

Four titles in ten do not say what is shown, seven do not say its colour; where something is said it is true, but
which part is chance. The shares of pins that have a text follow PAPER.md's coverage.
"""

from __future__ import annotations

from typing import NamedTuple

from data.sample_maker.chance import Rng, choose, happens, stream
from data.sample_maker.phrases import Subject, say
from data.sample_maker.pins import Pin
from data.sample_maker.vocabulary import Attributes, typo, words

TITLE_COVERAGE = 0.71
DESCRIPTION_COVERAGE = 0.56
_TITLE_KINDS = {"object": 0.56, "style": 0.10, "interest": 0.20, "opaque": 0.14}
_TITLE_TELLS = {"colour": 0.28, "material": 0.22, "count": 0.25}
_SENTENCES = {  # the chance that a description has a sentence of the kind
    "opener": 0.62,
    "object": 0.36,
    "material": 0.36,
    "style": 0.40,
    "colour": 0.14,
    "setting": 0.12,
    "interest": 0.14,
}
_EMOJI = ("✨", "😍", "❤️", "🙌", "🌿", "☕", "🎉", "🥰", "👀", "💛")
_SPACED = ("en", "es", "fr", "de", "pt")


class PinTexts(NamedTuple):
    title: str | None
    description: str | None


def make_texts(seed: int, pins: list[Pin]) -> list[PinTexts]:
    """Title and description of each pin, in the pin's language."""
    rng = stream(seed, "texts")
    return [
        PinTexts(
            _title(rng, pin) if happens(rng, TITLE_COVERAGE) else None,
            _description(rng, pin) if happens(rng, DESCRIPTION_COVERAGE) else None,
        )
        for pin in pins
    ]


def told(rng: Rng, pin: Pin, chances: dict[str, float]) -> Attributes:
    """Some of what is true of the pin: each attribute with its chance. "plain" is never told."""
    return Attributes(
        colour=pin.scene.colour if happens(rng, chances.get("colour", 0)) else None,
        material=pin.scene.material
        if happens(rng, chances.get("material", 0)) and pin.scene.material != "plain"
        else None,
        count=pin.scene.count if happens(rng, chances.get("count", 0)) and pin.scene.count > 1 else None,
    )


def subject(rng: Rng, pin: Pin, chances: dict[str, float]) -> Subject:
    """The pin as what a sentence is about; its noun phrases tell what `told` lets out."""
    style = choose(rng, pin.styles)
    scene = pin.scene
    said = told(rng, pin, chances)
    return Subject(pin.interest, scene.object, said, style, scene.material, scene.colour, scene.setting)


def _title(rng: Rng, pin: Pin) -> str:
    kind = choose(rng, list(_TITLE_KINDS), list(_TITLE_KINDS.values()))
    section = f"title.{pin.interest}" if kind == "interest" else f"title.{kind}"
    text = say(pin.lang, section, subject(rng, pin, _TITLE_TELLS), rng)
    if happens(rng, 0.05):
        text = typo(text, rng)
    if pin.lang in _SPACED and happens(rng, 0.25):
        text = text.lower() if happens(rng, 0.6) else text[:1].upper() + text[1:]
    if happens(rng, 0.08):
        text = f"{text} {choose(rng, _EMOJI)}"
    return f"{text} {_hashtags(rng, pin, 1)}" if happens(rng, 0.05) else text


def _description(rng: Rng, pin: Pin) -> str:
    about = subject(rng, pin, {"colour": 0.25, "material": 0.2})
    sentences = [
        say(pin.lang, f"desc.{kind}", about, rng)
        for kind in _SENTENCES
        if happens(rng, _SENTENCES[kind]) and kind != "material"
    ]
    if happens(rng, _SENTENCES["material"]):
        kind = "pattern" if words(pin.lang).is_pattern(pin.scene.material) else "material"
        sentences.insert(int(rng.integers(len(sentences) + 1)), say(pin.lang, f"desc.{kind}", about, rng))
    if not sentences:
        sentences = [say(pin.lang, "desc.opener", about, rng)]
    if happens(rng, 0.22):
        sentences.append(_hashtags(rng, pin, int(rng.integers(1, 4))))
    if happens(rng, 0.08):
        sentences.append(choose(rng, _EMOJI))
    return typo(joined(pin.lang, sentences), rng) if happens(rng, 0.06) else joined(pin.lang, sentences)


def joined(lang: str, sentences: list[str]) -> str:
    return ("" if lang == "ja" else " ").join(sentences)


def _hashtags(rng: Rng, pin: Pin, n: int) -> str:
    lexicon = words(pin.lang)
    tags = [
        lexicon.interest(pin.interest, rng),
        lexicon.style(choose(rng, pin.styles)),
        lexicon.interest(pin.interest, rng),
        lexicon.colour(pin.scene.colour),
        lexicon.noun(pin.scene.object, rng).singular,
    ]
    weights = (3.0, 3.0, 1.0, 0.5, 0.6)
    chosen = dict.fromkeys(choose(rng, tags, weights) for _ in range(n))
    return " ".join("#" + "".join(letter for letter in tag if letter.isalnum()) for tag in chosen)
