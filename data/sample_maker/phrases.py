"""The sample catalogue's sentences: reads words/phrases.LANG.txt and fills their blanks.

A section of the file holds the ways to say one thing in one field ("title.object"). `say` takes one of them and fills
its blanks from what the phrase is about; which attributes a noun phrase gives away is decided by the caller.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from data.sample_maker.chance import Rng, choose
from data.sample_maker.vocabulary import SILENT, WORDS, Attributes, Words, words

_BLANK = re.compile(r"\{(\w+)\}")


class Subject(NamedTuple):
    """What a sentence is about. `said` is what its noun phrases give away; the rest fills blanks of its own name."""

    interest: str
    thing: str | None = None
    said: Attributes = SILENT
    style: str | None = None
    material: str = "plain"
    colour: str | None = None
    setting: str | None = None
    brand: str = ""


@cache
def phrasebook(lang: str) -> dict[str, tuple[str, ...]]:
    """The language's sections: name -> its phrases."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (WORDS / f"phrases.{lang}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            lines = sections.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return {name: tuple(found) for name, found in sections.items()}


def say(lang: str, section: str, about: Subject, rng: Rng) -> str:
    """One of the section's phrases, its blanks filled. Raises KeyError for a section the language does not have."""
    return fill(lang, choose(rng, phrasebook(lang)[section]), about, rng)


def fill(lang: str, phrase: str, about: Subject, rng: Rng) -> str:
    def blank(match: re.Match[str]) -> str:
        name = match.group(1)
        text = _blank(words(lang), name.lower(), about, rng)
        return text[:1].upper() + text[1:] if name[0].isupper() else text

    filled = _BLANK.sub(blank, phrase)
    return filled[:1].upper() + filled[1:] if phrase.startswith("{") and phrase.endswith((".", "!")) else filled


def _blank(lexicon: Words, name: str, about: Subject, rng: Rng) -> str:
    if name in ("np", "a", "pl"):
        if about.thing is None:
            return lexicon.interest_phrase(about.interest, about.said, rng)
        if name == "pl":
            return lexicon.noun_phrase(about.thing, replace(about.said, count=None), rng, plural=True)
        return lexicon.noun_phrase(about.thing, about.said, rng, article=name == "a")
    if name == "style":
        return lexicon.style(about.style) if about.style else ""
    if name == "interest":
        return lexicon.interest(about.interest, rng)
    if name in ("material", "other"):
        return lexicon.material(about.material if name == "material" else "plain", about.interest, rng)
    if name == "pattern":
        return lexicon.pattern(about.material)
    if name == "colour":
        return lexicon.colour(about.colour or "white")
    if name == "setting":
        return lexicon.setting(about.setting or "studio", rng)
    if name == "n":
        return str(int(rng.integers(5, 31)))
    if name == "brand":
        return about.brand
    raise KeyError(f"no blank is called {name!r}")
