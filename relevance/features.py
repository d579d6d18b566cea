"""What the student sees of a query and its candidate pins: one code path for training and for serving.

Reads unpacked payloads (`enrich/pin_payload.py`, `enrich/query_payload.py`) and a model's frozen `Statistics`; gives
`Features`. Pure functions, vectorised over the candidates; every number that has a name has it in PAIR_FEATURES or
QUERY_FEATURES, in column order. Numbers come out raw here: the student normalises them by what it saw in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrich.pin_payload import ENGAGEMENT_COLUMNS, TEXT_FIELDS, VECTORS, PinBatch
from enrich.query_payload import PAIR_COLUMNS, QueryInputs
from enrich.term_ids import Ids
from relevance.matching import MATCH_FEATURES, match_features

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

INTERESTS_A_QUERY = 3
_FEWEST_DOCUMENTS = 2  # a term in fewer pins has the document frequency of an unseen one

PAIR_FEATURES: tuple[str, ...] = (
    *MATCH_FEATURES,
    *(f"cosine_{vector}" for vector in VECTORS),
    *(f"missing_{vector}" for vector in VECTORS),
    "same_language",
    "other_language",
    "missing_engagement",
    *ENGAGEMENT_COLUMNS,
    "missing_pair",
    *(f"pair_{column}" for column in PAIR_COLUMNS),
)
QUERY_FEATURES = (
    "log_terms",
    "mean_weight",
    "greatest_weight",
    "log_frequency",
    "shopping_intent",
    "unknown_query",
    "missing_embedding",
)


class Dimensions(NamedTuple):
    """Lengths of the vectors a model reads; 0 for a kind that its catalogue does not have."""

    query: int
    text: int
    visual: int
    graph: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is frozen with a model: its vocabulary of terms and interests, and the lengths of texts and vectors."""

    pins: int  # of which the frequencies were counted
    terms: Ids  # [v] ascending
    frequencies: Floats  # [len(TEXT_FIELDS) + 1, v], pins that hold the term in each field and, last, in any
    average_lengths: Floats  # [len(TEXT_FIELDS)], tokens, over the pins that have the field
    interests: tuple[str, ...]
    dimensions: Dimensions

    @classmethod
    def of(cls, pins: PinBatch, interests: Sequence[str], query_dimension: int) -> Statistics:
        """Counted over `pins` (each once)."""
        counter = StatisticsCounter()
        counter.add(pins)
        return counter.statistics(interests, query_dimension)

    def weights(self, terms: Ids) -> Floats:
        """Inverse document frequency ln(1 + (N - n + ½) / (n + ½)) of each term; [len(TEXT_FIELDS) + 1, t]."""
        counts = np.ones((len(self.frequencies), len(terms)), np.float32)
        if len(self.terms):
            at = np.minimum(np.searchsorted(self.terms, terms), len(self.terms) - 1)
            known = self.terms[at] == terms
            counts[:, known] = self.frequencies[:, at[known]]
        most = np.maximum(self.pins, counts)
        return np.log1p((most - counts + 0.5) / (counts + 0.5)).astype(np.float32)

    def interest_indices(self, interests: Sequence[str]) -> Ints:
        """Places of the interests in the embedding table, from 1; 0 pads and stands for unknown ones; [3]."""
        place = {interest: i + 1 for i, interest in enumerate(self.interests)}
        found = [place.get(interest, 0) for interest in interests[:INTERESTS_A_QUERY]]
        return np.array([*found, *[0] * (INTERESTS_A_QUERY - len(found))], np.int64)


class StatisticsCounter:
    """Counts `Statistics` over pins that come some at a time; holds a number a term and field, whatever the pins."""

    def __init__(self) -> None:
        self._pins = 0
        self._terms = np.zeros(0, np.uint32)
        self._frequencies = np.zeros((len(TEXT_FIELDS) + 1, 0), np.int64)
        self._lengths, self._having = np.zeros(len(TEXT_FIELDS)), np.zeros(len(TEXT_FIELDS), np.int64)
        self._dimensions = tuple(Counter[int]() for _ in VECTORS)

    def add(self, pins: PinBatch) -> None:
        """Pins that were not added before, each once."""
        fields = [terms.ids for terms in pins.terms]
        anywhere = _in_any_field(pins)
        terms = np.union1d(self._terms, anywhere)
        wider = np.zeros((len(self._frequencies), len(terms)), np.int64)
        wider[:, np.searchsorted(terms, self._terms)] = self._frequencies
        for row, ids in zip(wider, (*fields, anywhere), strict=True):
            row += np.bincount(np.searchsorted(terms, ids), minlength=len(terms))
        self._terms, self._frequencies = terms, wider
        self._pins += int(pins.present.sum())
        self._lengths += pins.lengths.sum(axis=0, dtype=np.float64)
        self._having += (pins.lengths > 0).sum(axis=0)
        for counts, vector in zip(self._dimensions, VECTORS, strict=True):
            counts[getattr(pins, vector).shape[1]] += int(getattr(pins, f"has_{vector}").sum())

    def statistics(self, interests: Sequence[str], query_dimension: int) -> Statistics:
        """Of all that was added. A vector's length is the one that most pins have."""
        known = self._frequencies[-1] >= _FEWEST_DOCUMENTS
        lengths = [max(counts, key=lambda d: (counts[d], d), default=0) for counts in self._dimensions]
        return Statistics(
            pins=self._pins,
            terms=self._terms[known],
            frequencies=np.ascontiguousarray(self._frequencies[:, known], np.float32),
            average_lengths=np.maximum(self._lengths / np.maximum(self._having, 1), 1).astype(np.float32),
            interests=tuple(sorted(set(interests))),
            dimensions=Dimensions(query_dimension, *lengths),
        )


@dataclass(frozen=True, slots=True)
class Features:
    """q queries and n pairs. A vector that is absent is zero."""

    query_vector: Floats  # [q, dimensions.query]
    query_numbers: Floats  # [q, len(QUERY_FEATURES)]
    interests: Ints  # [q, INTERESTS_A_QUERY]
    query_of: Ints  # [n] pair -> query
    text: Floats  # [n, dimensions.text]
    visual: Floats  # [n, dimensions.visual]
    graph: Floats  # [n, dimensions.graph]
    numbers: Floats  # [n, len(PAIR_FEATURES)]

    def __len__(self) -> int:
        return len(self.query_of)


def features(query: QueryInputs, pins: PinBatch, rates: Floats, has_rates: Bools, statistics: Statistics) -> Features:
    """The features of one query and n pins; `rates`, `has_rates` as `query.rates_of(pin_ids)` gives them."""
    dimensions = statistics.dimensions
    vector = _sized(query.embedding[None] if query.embedding is not None else None, dimensions.query, 1)
    text, visual, graph = (
        _sized(found, size, len(pins)) for found, size in zip(_vectors(pins), dimensions[1:], strict=True)
    )
    weights = statistics.weights(query.terms)
    numbers = [
        match_features(query, pins, weights, statistics.average_lengths),
        np.column_stack([cosine(vector[0], pin) for pin in (text, visual, graph)]),
        ~np.column_stack([pins.has_text_embedding, pins.has_visual_embedding, pins.has_graph_embedding]),
        language_features(query.lang, pins.langs),
        ~pins.has_engagement[:, None],
        compressed(pins.engagement, ENGAGEMENT_COLUMNS),
        ~has_rates[:, None],
        compressed(rates, PAIR_COLUMNS),
    ]
    return Features(
        query_vector=vector,
        query_numbers=query_features(query, weights)[None],
        interests=statistics.interest_indices(query.interests)[None],
        query_of=np.zeros(len(pins), np.int64),
        text=text,
        visual=visual,
        graph=graph,
        numbers=np.concatenate([block.astype(np.float32, copy=False) for block in numbers], axis=1),
    )


def concatenate(batches: Sequence[Features]) -> Features:
    """Several queries' features as one, in order."""
    starts = np.cumsum([0, *(len(batch.query_vector) for batch in batches)])
    return Features(
        query_vector=np.concatenate([batch.query_vector for batch in batches]),
        query_numbers=np.concatenate([batch.query_numbers for batch in batches]),
        interests=np.concatenate([batch.interests for batch in batches]),
        query_of=np.concatenate([b.query_of + start for b, start in zip(batches, starts[:-1], strict=True)]),
        text=np.concatenate([batch.text for batch in batches]),
        visual=np.concatenate([batch.visual for batch in batches]),
        graph=np.concatenate([batch.graph for batch in batches]),
        numbers=np.concatenate([batch.numbers for batch in batches]),
    )


def cosine(query: Floats, pins: Floats) -> Floats:
    """Of the query with each pin, both of unit length or zero; zeros where the dimensions differ; [n]."""
    if pins.shape[1] != len(query):
        return np.zeros(len(pins), np.float32)
    return pins @ query


def language_features(query: str | None, pins: NDArray[np.str_]) -> Bools:
    """Whether query and pin are known to be of one language, or of two; [n, 2]."""
    known = (pins != "") & bool(query)
    same = pins == (query or "")
    return np.column_stack([known & same, known & ~same])


def compressed(values: Floats, columns: Sequence[str]) -> Floats:
    """Counts as ln(1 + count), which is also the confidence that the rates beside them deserve; rates as they are."""
    is_rate = np.array(["_rate_" in column for column in columns])
    return np.where(is_rate, values, np.log1p(np.maximum(values, 0)))


def query_features(query: QueryInputs, weights: Floats) -> Floats:
    """What is said of the query alone; [len(QUERY_FEATURES)]."""
    weight = weights[-1] if weights.shape[1] else np.zeros(1, np.float32)
    return np.array(
        [
            np.log1p(len(query.terms)),
            weight.mean(),
            weight.max(),
            np.log1p(query.frequency),
            query.shopping_intent,
            not query.known,
            query.embedding is None,
        ],
        np.float32,
    )


def _vectors(pins: PinBatch) -> tuple[Floats, Floats, Floats]:
    return pins.text_embedding, pins.visual_embedding, pins.graph_embedding


def _sized(vectors: Floats | None, dimension: int, rows: int) -> Floats:
    """The vectors if they have the model's dimension, else zeros of it."""
    if vectors is None or vectors.shape[1] != dimension:
        return np.zeros((rows, dimension), np.float32)
    return vectors


def _in_any_field(pins: PinBatch) -> Ids:
    """Every pin's distinct terms over all fields, end to end."""
    keys = [
        (np.repeat(np.arange(len(pins), dtype=np.uint64), np.diff(terms.offsets)) << np.uint64(32)) | terms.ids
        for terms in pins.terms
    ]
    distinct = np.unique(np.concatenate(keys))
    return (distinct & np.uint64(0xFFFFFFFF)).astype(np.uint32)
