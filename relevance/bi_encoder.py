"""The embedding baseline: query and pin embedded apart, their cosine made into five probabilities.

Reads training pairs; writes W/models/bi_encoder (settings and the fitted levels as JSON; the encoder itself stays where
it is, named by folder or hub id and checked by its fingerprint). The encoder is frozen: this is what the catalogue's
embeddings alone are worth, beside which the teacher has to earn its keep.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from enrich import parts
from enrich.errors import BadInput
from enrich.normalise import normalise_query
from enrich.text_encoder import TextEncoder
from relevance.ordinal import OrdinalLogistic, fit_ordinal
from relevance.rows import TeacherRows
from relevance.text import PairText, PinText, pair_texts, plain_text

_FILE = "bi_encoder.json"


@dataclass(frozen=True, slots=True)
class BiEncoderSettings:
    model: str | None = None  # text encoder: a folder or hub id; None for the default


class TextVectors:
    """An encoder that embeds each distinct text once, however often and for however many folds it is asked."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    @property
    def producer(self) -> str:
        return self._encoder.producer

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors float32 [n, d]; zeros for an empty text, which is near nothing."""
        fresh = sorted({text for text in texts if text} - self._known.keys())
        self._known.update(zip(fresh, self._encoder.encode(fresh), strict=True))
        vectors = np.zeros((len(texts), self._encoder.dimension), dtype=np.float32)
        for place, text in enumerate(texts):
            if text:
                vectors[place] = self._known[text]
        return vectors


class BiEncoder:
    """The fitted baseline: `score` ranks, `predict` gives levels."""

    def __init__(self, vectors: TextVectors, levels: OrdinalLogistic, settings: BiEncoderSettings) -> None:
        self._vectors = vectors
        self._levels = levels
        self.settings = settings

    def score(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Cosines float32 [n]; a str is a pin that has only a title."""
        return _cosines(self._vectors, pair_texts(queries, pin_texts))

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Probabilities float32 [n, 5], columns levels 1..5."""
        return self._levels.predict(self.score(queries, pin_texts))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        record = {
            "settings": asdict(self.settings),
            "encoder": self._vectors.producer,
            "levels": asdict(self._levels),
        }
        parts.write_text(folder / _FILE, json.dumps(record, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> BiEncoder:
        """Raises BadInput where there is none that can be read, or its encoder is not the one it was fitted on."""
        file = Path(path) / _FILE
        remedy = "fit it again with `relevance evaluate`"
        try:
            raw = json.loads(file.read_text())
            settings = BiEncoderSettings(**raw["settings"])
            levels = OrdinalLogistic(**{name: tuple(values) for name, values in raw["levels"].items()})
            fitted_on = raw["encoder"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"expected a bi-encoder in {file}, found none that can be read ({type(error).__name__}); {remedy}"
            ) from error
        vectors = TextVectors(TextEncoder(settings.model))
        if vectors.producer != fitted_on:
            raise BadInput(f"expected the encoder {fitted_on} for {file}, found {vectors.producer}; {remedy}")
        return cls(vectors, levels, settings)


def fit_bi_encoder(
    rows: TeacherRows, settings: BiEncoderSettings | None = None, vectors: TextVectors | None = None
) -> BiEncoder:
    """Fit the levels on the training pairs' cosines. `vectors` shares embedded texts between folds."""
    rows.check("training")
    chosen = settings or BiEncoderSettings()
    embedded = vectors or TextVectors(TextEncoder(chosen.model))
    fitted = fit_ordinal(_cosines(embedded, pair_texts(rows.queries, rows.pin_texts)), rows.levels)
    return BiEncoder(embedded, fitted, chosen)


def _cosines(vectors: TextVectors, pairs: Sequence[PairText]) -> npt.NDArray[np.float32]:
    queries = vectors([normalise_query(pair.query) for pair in pairs])
    pins = vectors([plain_text(pair.pin) for pair in pairs])
    return np.asarray((queries * pins).sum(axis=1), dtype=np.float32)
