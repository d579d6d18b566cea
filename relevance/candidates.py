"""Which pins a query may mean: the best by BM25 and the best by embedding, merged by reciprocal rank.

Reads the catalogue as it is now (catalogue.py); writes W/models/candidates (made anew when they
change). `relevance rank` ranks its top 200; `relevance label` takes hard negatives from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors import safe_open
from safetensors.numpy import save_file

from enrich.encoder_choice import of_pins, same
from enrich.errors import BadInput
from enrich.normalise import terms
from enrich.payload import VERSION
from enrich.workspace import Workspace, Writing
from relevance import stages
from relevance.catalogue import Vectors, catalogue_texts, text_embeddings
from relevance.lexical_index import lexical_index

CANDIDATES = 200  # that a query is given unless the caller says otherwise
_WAIT = 600.0  # seconds, for another command that makes the index
RANK_CONSTANT = 60  # k of reciprocal rank fusion; Cormack, Clarke & Büttcher 2009
_PINS, _VECTORS, _BM25 = "pins.parquet", "vectors.safetensors", "bm25"


class CandidateIndex:
    """An index over a catalogue's pins; exact, in memory (vectors in float16 on disk)."""

    def __init__(self, pin_ids: Sequence[str], lexical: Any, vectors: Vectors, encoder: str | None = None) -> None:
        """`lexical` is the `lexical_index` of the pins in this order; `encoder` the producer of their vectors, None
        where that is not known.
        """
        self.pin_ids = list(pin_ids)
        self.encoder = encoder
        self._lexical = lexical
        self._vectors = vectors
        self._embedded = np.flatnonzero(vectors.any(axis=1)) if vectors.size else np.zeros(0, dtype=np.int64)

    @classmethod
    def build(
        cls, pin_ids: Sequence[str], texts: Sequence[str], embeddings: Vectors, encoder: str | None = None
    ) -> CandidateIndex:
        """Index pins by their texts and embeddings [n, d]; a row of zeros is a pin without an embedding.

        Raises BadInput when the three differ in length.
        """
        if not len(pin_ids) == len(texts) == len(embeddings):
            raise BadInput(
                f"expected a text and an embedding a pin, found {len(pin_ids)} pins, {len(texts)} texts and "
                f"{len(embeddings)} embeddings"
            )
        vectors = np.asarray(embeddings, dtype=np.float32).astype(np.float16).astype(np.float32)
        return cls(pin_ids, lexical_index(texts), vectors, encoder)

    def __len__(self) -> int:
        return len(self.pin_ids)

    def compares(self, encoder: str, dimension: int) -> bool:
        """Whether vectors of `dimension` numbers by `encoder` (its producer) may be searched with."""
        if len(self._embedded) == 0:
            return True
        return self._vectors.shape[1] == dimension and (self.encoder is None or same(self.encoder, encoder))

    def search(self, query: str, query_embedding: Vectors | None, k: int = CANDIDATES) -> list[str]:
        """At most `k` pin ids, best first: the sum of 1 / (60 + rank) over the two lists; ties by place in the index.

        Without an embedding, or an index of embeddings, BM25 alone decides. A query that matches nothing gives [].
        Raises BadInput for an embedding of another dimension.
        """
        fused = np.zeros(len(self.pin_ids))
        for ranking in (self._by_terms(query, k), self._by_embedding(query_embedding, k)):
            fused[ranking] += 1 / (RANK_CONSTANT + 1 + np.arange(len(ranking)))
        best = _top(fused, k)
        return [self.pin_ids[place] for place in best]

    def _by_terms(self, query: str, k: int) -> npt.NDArray[np.int64]:
        asked = [term for term in terms(query) if self._lexical is not None and term in self._lexical.vocab_dict]
        return _top(np.asarray(self._lexical.get_scores(asked)), k) if asked else np.zeros(0, dtype=np.int64)

    def _by_embedding(self, query: Vectors | None, k: int) -> npt.NDArray[np.int64]:
        if query is None or len(self._embedded) == 0 or not np.any(query):
            return np.zeros(0, dtype=np.int64)
        if query.shape != self._vectors.shape[1:]:
            raise BadInput(
                f"expected a query embedding of {self._vectors.shape[1]} numbers, as the pins have, found "
                f"{query.shape}; embed queries and pins with one encoder"
            )
        cosines = self._vectors @ query
        similarity = np.zeros(len(self.pin_ids))
        similarity[self._embedded] = cosines[self._embedded] + 2  # of -1..1, above the 0 of what is no candidate
        return _top(similarity, k)

    def save(self, folder: Path) -> None:
        """Write the index into `folder`; the list of pins, without which it does not load, last."""
        folder.mkdir(parents=True, exist_ok=True)
        if self._lexical is not None:
            self._lexical.save(str(folder / _BM25), show_progress=False)
        by = {"encoder": self.encoder} if self.encoder else None
        save_file({"vectors": self._vectors.astype(np.float16)}, folder / _VECTORS, by)
        pl.DataFrame({"pin_id": self.pin_ids}, schema={"pin_id": pl.String}).write_parquet(folder / _PINS)

    @classmethod
    def load(cls, path: str | Path) -> CandidateIndex:
        """Raises BadInput where there is none that can be read."""
        folder = Path(path)
        try:
            pin_ids = pl.read_parquet(folder / _PINS)["pin_id"].to_list()
            with safe_open(folder / _VECTORS, "numpy") as file:
                vectors, by = file.get_tensor("vectors").astype(np.float32), (file.metadata() or {}).get("encoder")
            lexical = bm25s.BM25.load(str(folder / _BM25), show_progress=False) if (folder / _BM25).is_dir() else None
        except Exception as error:  # polars, safetensors and bm25s each have types of their own for a broken file
            raise BadInput(
                f"expected a candidate index in {folder}, found none that can be read ({type(error).__name__}); remove "
                "the folder and run `relevance rank` or `relevance label` to make it again"
            ) from error
        return cls(pin_ids, lexical, vectors, by)


def workspace_index(workspace: Workspace) -> CandidateIndex:
    """The index of the workspace's pins as they are now, made when a text or an embedding changed since."""
    pins = catalogue_texts(workspace)
    vectors = text_embeddings(workspace, pins["pin_id"])
    folder = workspace.models / "candidates"
    made_from = stages.fingerprint(VERSION, pins, hashlib.sha256(vectors.data).hexdigest())

    def make(aside: Path) -> None:
        encoder = made[0] if len(made := of_pins(workspace)) == 1 else None
        CandidateIndex.build(pins["pin_id"].to_list(), pins["text"].to_list(), vectors, encoder).save(aside)

    with workspace.alone(Writing.INDEX, _WAIT):
        stages.make(folder, made_from, make)
        return CandidateIndex.load(folder)  # before another command puts a newer one in its place


def _top(scores: npt.NDArray[Any], k: int) -> npt.NDArray[np.int64]:
    """Places of the at most `k` greatest scores above 0, best first, ties by place."""
    candidates = np.flatnonzero(scores > 0)
    if len(candidates) > k:
        least = np.partition(scores[candidates], -k)[-k]
        candidates = candidates[scores[candidates] >= least]
    order = np.argsort(-scores[candidates], kind="stable")[:k]
    return np.asarray(candidates[order], dtype=np.int64)
