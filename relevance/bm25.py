"""The lexical baseline: BM25 of the query in the pin's texts, made into five probabilities.

Reads texts; writes one JSON file (W/models/bm25/bm25.json). Terms are the project's own (`enrich.normalise.terms`),
counts of documents come from the catalogue's pin texts, and a pair is scored on the very text it is given, so that the
baseline sees what the teacher sees. Retrieval over a whole catalogue is candidates.py's.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from enrich import parts
from enrich.errors import BadInput
from enrich.normalise import terms
from relevance.ordinal import OrdinalLogistic, fit_ordinal
from relevance.rows import TeacherRows
from relevance.text import PinText, pair_texts, plain_text

K1, B = 1.5, 0.75  # saturation and length weight; bm25s' defaults, within Robertson & Zaragoza's (2009) usual range
_FILE = "bm25.json"


@dataclass(frozen=True, slots=True)
class Collection:
    """What BM25 knows of a catalogue: how many texts, their mean length in terms, in how many each term stands."""

    documents: int
    mean_length: float
    frequencies: dict[str, int]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Collection:
        frequencies: Counter[str] = Counter()
        documents, length = 0, 0
        for text in texts:
            found = terms(text)
            frequencies.update(set(found))
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

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        parts.write_text(folder / _FILE, json.dumps(asdict(self), ensure_ascii=False))

    @classmethod
    def load(cls, path: str | Path) -> Bm25:
        """Raises BadInput where there is none that can be read."""
        file = Path(path) / _FILE
        try:
            raw = json.loads(file.read_text())
            fitted = OrdinalLogistic(**{name: tuple(values) for name, values in raw["levels"].items()})
            return cls(Collection(**raw["collection"]), fitted)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"expected a BM25 baseline in {file}, found none that can be read ({type(error).__name__}); "
                "make it again with `relevance evaluate`"
            ) from error


def fit_bm25(rows: TeacherRows, catalogue: Iterable[str]) -> Bm25:
    """Counts from the `catalogue`'s plain texts (see `plain_text`), levels from the training pairs."""
    rows.check("training")
    collection = Collection.of(catalogue)
    return Bm25(collection, fit_ordinal(bm25_scores(collection, rows.queries, rows.pin_texts), rows.levels))


def bm25_scores(
    collection: Collection, queries: Sequence[str], pin_texts: Sequence[str | PinText]
) -> npt.NDArray[np.float32]:
    """BM25 of each pair, float32 [n]; a term that the query repeats counts once for each time."""
    pairs = pair_texts(queries, pin_texts)
    asked = {query: terms(query) for query in {pair.query for pair in pairs}}
    counted = {pin: Counter(terms(plain_text(pin))) for pin in {pair.pin for pair in pairs}}
    return np.array([_score(collection, asked[pair.query], counted[pair.pin]) for pair in pairs], dtype=np.float32)


def _score(collection: Collection, query: Sequence[str], pin: Counter[str]) -> float:
    damping = K1 * (1 - B + B * pin.total() / max(collection.mean_length, 1e-9))
    return sum(collection.rarity(term) * pin[term] / (pin[term] + damping) for term in query if pin[term])
