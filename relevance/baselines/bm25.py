"""The lexical baseline: BM25 of the query in the pin's texts, made into five probabilities.

Reads texts; writes nothing, for `relevance evaluate` fits it anew on each fold. Terms are the project's own
(`enrich.normalise.terms`, of texts `signs` too), counts of documents come from the catalogue's pin texts, and a pair is
scored on the very text it is given, so that the baseline sees what the teacher sees. Retrieval over a whole catalogue
is candidates.py's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from enrich.normalise import signs, terms
from relevance.ordinal import OrdinalLogistic, fit_ordinal
from relevance.teaching.rows import TeacherRows
from relevance.text import PinText, pair_texts, plain_text

K1, B = 1.5, 0.75  # saturation and length weight; bm25s' defaults, within Robertson & Zaragoza's (2009) usual range


@dataclass(frozen=True, slots=True)
class Collection:
    """What BM25 knows of a catalogue: how many texts, their mean length in terms, in how many each term stands."""

    documents: int
    mean_length: float
    frequencies: dict[str, int]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Collection:
        """Counted over `texts`, each a document."""
        frequencies: Counter[str] = Counter()
        documents, length = 0, 0
        for text in texts:
            found = terms(text)
            frequencies.update({*found, *signs(text)})
            documents, length = documents + 1, length + len(found)
        return cls(documents, length / max(documents, 1), dict(frequencies))

    def rarity(self, term: str) -> float:
        """Lucene's idf: ln(1 + (N - n + 1/2) / (n + 1/2)), n texts of N having the term; never negative."""
        having = self.frequencies.get(term, 0)
        return math.log1p((self.documents - having + 0.5) / (having + 0.5))


@dataclass(frozen=True, slots=True)
class Bm25:
    """The fitted baseline: `score` ranks, `predict` gives levels."""

    collection: Collection
    levels: OrdinalLogistic

    def score(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """BM25 float32 [n], higher is better; a str is a pin that has only a title."""
        return bm25_scores(self.collection, queries, pin_texts)

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Probabilities float32 [n, 5], columns levels 1..5."""
        return self.levels.predict(self.score(queries, pin_texts))


def fit_bm25(rows: TeacherRows, catalogue: Iterable[str]) -> Bm25:
    """Counts from the `catalogue`'s plain texts (see `plain_text`), levels from the training pairs.

    Raises BadInput when `rows` are none or malformed.
    """
    rows.check("training")
    collection = Collection.of(catalogue)
    return Bm25(collection, fit_ordinal(bm25_scores(collection, rows.queries, rows.pin_texts), rows.levels))


def bm25_scores(
    collection: Collection, queries: Sequence[str], pin_texts: Sequence[str | PinText]
) -> npt.NDArray[np.float32]:
    """BM25 of each pair, float32 [n]: Σ over the query's terms, each time they stand, of idf · tf / (tf + damping).

    As Lucene since version 8, without the factor (K1 + 1), which is the same for all pairs.
    """
    pairs = pair_texts(queries, pin_texts)
    asked = {query: terms(query) for query in {pair.query for pair in pairs}}
    counted = {pin: _Counted.of(plain_text(pin)) for pin in {pair.pin for pair in pairs}}
    return np.array([_score(collection, asked[pair.query], counted[pair.pin]) for pair in pairs], dtype=np.float32)


class _Counted(NamedTuple):
    """What BM25 knows of one pin."""

    counts: Counter[str]  # of terms and signs
    length: int  # in terms

    @classmethod
    def of(cls, text: str) -> _Counted:
        found = terms(text)
        return cls(Counter(found + signs(text)), len(found))


def _score(collection: Collection, query: Sequence[str], pin: _Counted) -> float:
    """Of one pair: the query's terms and the pin's, counted."""
    damping = K1 * (1 - B + B * pin.length / max(collection.mean_length, 1e-9))  # an empty catalogue has length 0
    counts = pin.counts
    return sum(collection.rarity(term) * counts[term] / (counts[term] + damping) for term in query if counts[term])
