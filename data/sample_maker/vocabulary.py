"""The sample catalogue's words: reads words/*.txt, makes noun phrases in six languages.

`Words(lang)` knows what people of a language call objects, colours, materials, settings, counts, styles and interests;
`Words.noun_phrase` puts them together by that language's order and agreement: "two red wooden chairs", "rote Tasse aus
Glas", "taza roja de cristal", "木製の赤い椅子".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from data.sample_maker.chance import Rng, happens, usual

WORDS = Path(__file__).resolve().parent / "words"
LANGUAGES = ("en", "es", "fr", "de", "pt", "ja")
_ROMANCE = ("es", "fr", "pt")
_ARTICLES = {
    "es": {"m": "un", "f": "una", "mp": "unos", "fp": "unas"},
    "fr": {"m": "un", "f": "une", "mp": "des", "fp": "des"},
    "pt": {"m": "um", "f": "uma", "mp": "uns", "fp": "umas"},
    "de": {"m": "ein", "f": "eine", "n": "ein"},
}
_GERMAN_ENDINGS = {"m": "er", "f": "e", "n": "es"}
_FORMS = {"m": 0, "f": 1, "mp": 2, "fp": 3}  # of a Romance adjective


class Noun(NamedTuple):
    """`gender` is m, f or n; mp and fp for what has no singular; empty where the language has none."""

    singular: str
    plural: str
    gender: str


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a phrase says of a thing; None is not said."""

    colour: str | None = None
    material: str | None = None
    setting: str | None = None
    count: int | None = None
    style: str | None = None


SILENT = Attributes()


def entries(name: str) -> Iterator[tuple[str, list[str]]]:
    """The lines of a vocabulary file: the key, then a column a language."""
    for line in (WORDS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            key, *columns = (column.strip() for column in line.split("|"))
            yield key, columns


def _split(column: str, separator: str = ",") -> tuple[str, ...]:
    return tuple(part.strip() for part in column.split(separator))


def _noun(text: str) -> Noun:
    head, _, plural = text.partition("/")
    singular, _, gender = head.partition(":")
    return Noun(singular, plural or singular, gender)


@dataclass(frozen=True)
class Words:
    """One language's words; tables are read on first use."""

    lang: str

    def _table(self, name: str) -> dict[str, str]:
        column = LANGUAGES.index(self.lang)
        return {key: columns[column] for key, columns in entries(name)}

    @cached_property
    def _objects(self) -> dict[str, tuple[Noun, ...]]:
        return {key: tuple(map(_noun, _split(text))) for key, text in self._table("objects").items()}

    @cached_property
    def _colours(self) -> dict[str, tuple[str, ...]]:
        separator = "," if self.lang == "en" else "/"
        return {key: _split(text, separator) for key, text in self._table("colours").items()}

    @cached_property
    def _materials(self) -> dict[str, tuple[tuple[str, ...], str, bool]]:
        """Adjectives, the noun, and whether it is a pattern."""
        found: dict[str, tuple[tuple[str, ...], str, bool]] = {}
        for key, text in self._table("materials").items():
            name, kind = key.split()
            adjectives, noun = _split(text, "/")
            found[name] = (_split(adjectives), noun, kind == "pattern")
        return found

    @cached_property
    def _settings(self) -> dict[str, tuple[str, ...]]:
        return {key: _split(text) for key, text in self._table("settings").items()}

    @cached_property
    def _counts(self) -> dict[int, tuple[str, ...]]:
        return {int(key): _split(text) for key, text in self._table("counts").items()}

    @cached_property
    def _styles(self) -> dict[str, tuple[str, ...]]:
        return {key: _split(text) for key, text in self._table("styles").items()}

    @cached_property
    def _interests(self) -> dict[str, tuple[str, ...]]:
        return {key: _split(text) for key, text in self._table("interests").items()}

    @cached_property
    def _stuffs(self) -> dict[str, tuple[str, ...]]:
        return {key: _split(text) for key, text in self._table("stuffs").items()}

    def noun(self, thing: str, rng: Rng) -> Noun:
        return usual(rng, self._objects[thing])

    def style(self, style: str) -> str:
        """The style's usual name, to stand alone."""
        return self._styles[style][0]

    def interests_of(self, interest: str) -> tuple[str, ...]:
        """The interest's names, the usual one first."""
        return self._interests[interest]

    def interest(self, interest: str, rng: Rng) -> str:
        return usual(rng, self._interests[interest])

    def setting(self, setting: str, rng: Rng) -> str:
        return usual(rng, self._settings[setting])

    def colour(self, colour: str) -> str:
        """The colour as a noun."""
        forms = self._colours[colour]
        return forms[1] if self.lang in ("de", "ja") else forms[0]

    def is_pattern(self, material: str) -> bool:
        return material in self._materials and self._materials[material][2]

    def is_stuff(self, material: str) -> bool:
        return material in self._materials and not self._materials[material][2]

    def material(self, material: str, interest: str, rng: Rng) -> str:
        """What it is made of, as a noun: what the picture shows, else something it does not."""
        if self.is_stuff(material):
            return self._materials[material][1]
        return usual(rng, self._stuffs[interest])

    def pattern(self, material: str) -> str:
        return self._materials[material][1]

    def noun_phrase(
        self, thing: str, said: Attributes, rng: Rng, *, article: bool = False, plural: bool = False
    ) -> str:
        """The thing with what is said of it, in the language's order; with an indefinite article if asked."""
        return self._phrase(self.noun(thing, rng), said, rng, article=article, plural=plural)

    def interest_phrase(self, interest: str, said: Attributes, rng: Rng) -> str:
        """The interest with what is said of it: "boho home decor", "decoración azul"."""
        name = self.interest(interest, rng)
        return self._phrase(Noun(name, name, "f"), said, rng, article=False, plural=False)

    def _phrase(self, noun: Noun, said: Attributes, rng: Rng, *, article: bool, plural: bool) -> str:
        many = plural or said.count is not None
        counted = usual(rng, self._counts[said.count]) if said.count is not None else "{pl}"
        if self.lang == "en":
            return self._english(noun, said, rng, counted, article and not many, many)
        if self.lang == "ja":
            return self._japanese(noun, said, rng, counted)
        return self._continental(noun, said, rng, counted, article and not many, many)

    def _english(self, noun: Noun, said: Attributes, rng: Rng, counted: str, article: bool, many: bool) -> str:
        style = usual(rng, self._styles[said.style], 0.7) if said.style else ""
        words = [
            "" if style.startswith("~") else style,
            usual(rng, self._colours[said.colour], 0.9) if said.colour else "",
            usual(rng, self._materials[said.material][0]) if said.material else "",
            noun.plural if many else noun.singular,
        ]
        core = " ".join(filter(None, words))
        if article:
            pair = noun.singular == noun.plural and noun.singular.endswith("s")
            core = f"a pair of {core}" if pair else f"{'an' if core[0] in 'aeiou' else 'a'} {core}"
        tail = [style[1:] if style.startswith("~") else "", self.setting(said.setting, rng) if said.setting else ""]
        return " ".join(filter(None, [counted.format(pl=core), *tail]))

    def _continental(self, noun: Noun, said: Attributes, rng: Rng, counted: str, article: bool, many: bool) -> str:
        gender = noun.gender[:1] + "p" if many else noun.gender
        colour = self._agreeing_colour(said.colour, noun.gender, gender, many) if said.colour else ""
        name = noun.plural if many else noun.singular
        core = [name, colour] if self.lang in _ROMANCE else [colour, name]
        if article:
            core.insert(0, _ARTICLES[self.lang][noun.gender])
        tail = [
            usual(rng, self._materials[said.material][0]) if said.material else "",
            usual(rng, self._styles[said.style], 0.7) if said.style else "",
            self.setting(said.setting, rng) if said.setting else "",
        ]
        return " ".join(filter(None, [counted.format(pl=" ".join(filter(None, core))), *tail]))

    def _agreeing_colour(self, colour: str, gender: str, form: str, many: bool) -> str:
        forms = self._colours[colour]
        if self.lang in _ROMANCE:
            return forms[_FORMS[form]]
        stem = forms[0]
        if stem.endswith("!"):
            return stem[:-1]
        return stem + ("e" if many else _GERMAN_ENDINGS[gender])

    def _japanese(self, noun: Noun, said: Attributes, rng: Rng, counted: str) -> str:
        style = usual(rng, self._styles[said.style], 0.7) + "の" if said.style else ""
        setting = self.setting(said.setting, rng) if said.setting else ""
        material = usual(rng, self._materials[said.material][0]) if said.material else ""
        colour = self._colours[said.colour][0] if said.colour else ""
        return setting + style + counted.format(pl=material + colour + noun.singular)


_WORDS = {lang: Words(lang) for lang in LANGUAGES}


def words(lang: str) -> Words:
    """The words of one of LANGUAGES."""
    return _WORDS[lang]


def typo(text: str, rng: Rng) -> str:
    """The text with one slip of the fingers: two letters swapped, one lost or one twice."""
    places = [i for i in range(1, len(text) - 1) if text[i - 1 : i + 2].isalpha() and text.isascii()]
    if len(places) < 4:
        return text
    i = places[int(rng.integers(len(places)))]
    if happens(rng, 0.4):
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    return text[:i] + text[i + 1 :] if happens(rng, 0.6) else text[:i] + text[i] + text[i:]
