"""The embedding baseline: query and pin embedded apart, their cosine made into five probabilities.

Reads training pairs; writes nothing, for `relevance evaluate` fits it anew on each fold. The encoder is frozen: this is
what the catalogue's embeddings alone are worth, beside which the teacher has to earn its keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from enrich.normalise import normalise_query
from enrich.text_encoder import TextEncoder
from relevance.ordinal import OrdinalLogistic, fit_ordinal
from relevance.teaching.rows import TeacherRows
from relevance.text import PairText, PinText, pair_texts, plain_text


class TextVectors:
    """An encoder that embeds each distinct text once, however often and for however many folds it is asked."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors float32 [n, d]; zeros for an empty text, which is near nothing."""
        fresh = sorted({text for text in texts if text} - self._known.keys())
        self._known.update(zip(fresh, self._encoder.encode(fresh), strict=True))
        vectors = np.zeros((len(texts), self._encoder.dimension), dtype=np.float32)
        for place, text in enumerate(texts):
            if text:
                vectors[place] = self._known[text]
        return vectors


@dataclass(frozen=True, slots=True)
class BiEncoder:
    """The fitted baseline: `score` ranks, `predict` gives levels."""

    vectors: TextVectors
    levels: OrdinalLogistic

    def score(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Cosines float32 [n]; a str is a pin that has only a title."""
        return _cosines(self.vectors, pair_texts(queries, pin_texts))

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Probabilities float32 [n, 5], columns levels 1..5."""
        return self.levels.predict(self.score(queries, pin_texts))


def fit_bi_encoder(rows: TeacherRows, vectors: TextVectors) -> BiEncoder:
    """Fit the levels on the training pairs' cosines; folds share `vectors`.

    Raises BadInput when `rows` are none or malformed.
    """
    rows.check("training")
    return BiEncoder(vectors, fit_ordinal(_cosines(vectors, pair_texts(rows.queries, rows.pin_texts)), rows.levels))


def pair_vectors(
    vectors: TextVectors, pairs: Sequence[PairText]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Unit vectors of the pairs' queries and of their pins' texts, float32 [n, d] each."""
    return vectors([normalise_query(pair.query) for pair in pairs]), vectors([plain_text(pair.pin) for pair in pairs])


def _cosines(vectors: TextVectors, pairs: Sequence[PairText]) -> npt.NDArray[np.float32]:
    queries, pins = pair_vectors(vectors, pairs)
    return np.asarray((queries * pins).sum(axis=1), dtype=np.float32)
