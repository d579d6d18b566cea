"""Texts damaged on purpose: missing, misspelled, noisy, repeated, long; and queries with their words moved about.

Pure functions. What is damaged follows from (seed, kind, text) alone, so a pin's title is damaged the same beside every
query, and a run that goes on damages the same. `strength` is above 0 and at most 1:

    missing       share of the texts that are not there
    misspelled    share of the words with one slip: two letters swapped, one left out, doubled or another one
    noisy         foreign pieces (markup, article numbers, symbols) put in, one for so many of the words
    repeated      the text again, up to nine times more
    long          words of other pins' texts after it, up to two hundred (a query: of any field of the pins)
    reworded      (queries) the words in another order, one with an s more or less: no paraphrase, all words stay

Misspelled by other code than that which training may use (misspelling.py): what a model is asked are not the slips that
it was taught on.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.job import input_hash
from relevance.bi_encoder import TextVectors
from relevance.experiments.fields import embedded_anew
from relevance.learning.inputs import asked_by
from relevance.text_fields import CONTENT, Field, frame_columns

QUERY = "query"  # what else than a field may be damaged
PIECES = ("<br>", "&amp;", "SKU-48213", "★★★", "http://example.com/p?id=7", "***NEW***", "100%", "#ad", "é", "N/A")
_SHORTEST = 4  # letters of a word that is misspelled
_MOST_REPEATS, _MOST_WORDS = 9, 200
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Damage(StrEnum):
    MISSING = "missing"
    MISSPELLED = "misspelled"
    NOISY = "noisy"
    REPEATED = "repeated"
    LONG = "long"
    REWORDED = "reworded"


class Perturbation(NamedTuple):
    """One damage at one strength."""

    damage: Damage
    strength: float
    seed: int = 0

    def __call__(self, text: str, pool: Sequence[str] = ()) -> str | None:
        """The text damaged; None where it is not there any more. `pool` holds the words that make texts long."""
        random = np.random.default_rng(int(input_hash(str(self.seed), self.damage, text)[:12], 16))
        match self.damage:
            case Damage.MISSING:
                return None if random.random() < self.strength else text
            case Damage.MISSPELLED:
                return misspelled(text, self.strength, random)
            case Damage.NOISY:
                return noisy(text, self.strength, random)
            case Damage.REPEATED:
                return " ".join([text] * (1 + max(1, round(_MOST_REPEATS * self.strength))))
            case Damage.LONG:
                words = (
                    [pool[i] for i in random.integers(0, max(1, len(pool)), round(_MOST_WORDS * self.strength))]
                    if pool
                    else []
                )
                return " ".join([text, *words])
            case Damage.REWORDED:
                return reworded(text, random)


def misspelled(text: str, share: float, random: np.random.Generator) -> str:
    """One slip in about `share` of the words of four letters or more, in one at least; other words stay."""
    words = text.split(" ")
    open_to_it = [place for place, word in enumerate(words) if len(word) >= _SHORTEST and word.isalpha()]
    count = min(len(open_to_it), max(1, round(share * len(open_to_it))))
    for place in random.permutation(open_to_it)[:count]:
        words[int(place)] = _slip(words[int(place)], random)
    return " ".join(words)


def noisy(text: str, share: float, random: np.random.Generator) -> str:
    """A foreign piece before about `share` of the words, before one at least."""
    words = text.split(" ")
    count = max(1, round(share * len(words)))
    before = set(random.permutation(len(words))[:count].tolist())
    told = [
        [PIECES[int(random.integers(len(PIECES)))], word] if place in before else [word]
        for place, word in enumerate(words)
    ]
    return " ".join(piece for one in told for piece in one)


def reworded(text: str, random: np.random.Generator) -> str:
    """The words turned round at one place, and one of them with its s put on or taken off."""
    words = text.split(" ")
    if len(words) > 1:
        turn = int(random.integers(1, len(words)))
        words = [*words[turn:], *words[:turn]]
    open_to_it = [place for place, word in enumerate(words) if len(word) >= _SHORTEST and word.isalpha()]
    if open_to_it:
        place = open_to_it[int(random.integers(len(open_to_it)))]
        word = words[place]
        words[place] = word[:-1] if word.endswith("s") else f"{word}s"
    return " ".join(words)


def _slip(word: str, random: np.random.Generator) -> str:
    """The word with one slip of a typist; never the word itself."""
    place = int(random.integers(1, len(word) - 1))
    kind = int(random.integers(4))
    swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == 0 and swapped != word:
        return swapped
    if kind == 1:
        return word[:place] + word[place + 1 :]
    if kind == 2:
        return word[:place] + word[place] + word[place:]
    others = [letter for letter in _LETTERS if letter != word[place].lower()]
    return word[:place] + others[int(random.integers(len(others)))] + word[place + 1 :]


def damaged(
    frame: pl.DataFrame, targets: Sequence[str], perturbation: Perturbation, vectors: TextVectors | None = None
) -> pl.DataFrame:
    """The rows with these text fields, or "query", damaged; with `vectors` the pin's text vector is made anew.

    A damaged query is one that nobody asked before: what was known of it is gone.
    """
    fields = [Field(target) for target in targets if target != QUERY]
    found = frame
    for field in fields:
        pool = pool_of(frame, field) if perturbation.damage is Damage.LONG else ()
        for name in frame_columns(field):
            if name in frame.columns:
                found = found.with_columns(_column(frame[name], perturbation, pool))
    if vectors is not None and any(field in CONTENT for field in fields):
        found = embedded_anew(found, vectors)
    if QUERY not in targets:
        return found
    words = {word for field in Field for word in pool_of(frame, field)} if perturbation.damage is Damage.LONG else ()
    return _asked_otherwise(found, perturbation, sorted(words))


def changed(frame: pl.DataFrame, other: pl.DataFrame, targets: Sequence[str]) -> float:
    """Share of the rows whose query or text fields, as `targets` has them, differ between the two frames."""
    names = [name for target in targets for name in ([QUERY] if target == QUERY else frame_columns(Field(target)))]
    columns = [(frame[name].to_list(), other[name].to_list()) for name in names if name in frame.columns]
    differ = [any(a[row] != b[row] for a, b in columns) for row in range(frame.height)]
    return float(np.mean(differ)) if differ else 0.0


def pool_of(frame: pl.DataFrame, field: Field) -> list[str]:
    """The words that the rows' pins have in this field, each once."""
    words: set[str] = set()
    for name in frame_columns(field):
        if name in frame.columns:
            texts = frame[name].explode() if isinstance(frame.schema[name], pl.List) else frame[name]
            words |= {word for text in texts.drop_nulls().unique() for word in text.split()}
    return sorted(words)


def _column(texts: pl.Series, perturbation: Perturbation, pool: Sequence[str]) -> pl.Series:
    if not isinstance(texts.dtype, pl.List):
        made = {text: perturbation(text, pool) if text else text for text in texts.drop_nulls().unique()}
        return pl.Series(texts.name, [None if text is None else made[text] for text in texts], texts.dtype)
    return pl.Series(texts.name, [_list(one, perturbation, pool) for one in texts.to_list()], texts.dtype)


def _list(texts: list[str] | None, perturbation: Perturbation, pool: Sequence[str]) -> list[str] | None:
    """A list of texts: missing as a whole, else damaged one by one, except that only the first gets long."""
    if not texts:
        return texts
    if perturbation.damage is Damage.MISSING:
        return None if perturbation(", ".join(texts)) is None else texts
    if perturbation.damage is Damage.LONG:
        return [perturbation(texts[0], pool) or "", *texts[1:]]
    return [perturbation(text) or "" for text in texts]


def _asked_otherwise(frame: pl.DataFrame, perturbation: Perturbation, pool: Sequence[str]) -> pl.DataFrame:
    made = {query: perturbation(query, pool) or query for query in frame["query"].unique()}
    queries = pl.Series("query", [made[query] for query in frame["query"]], pl.String)
    return asked_by(frame, queries)
