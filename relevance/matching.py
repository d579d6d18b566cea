"""How a query's words meet a pin's texts: the student's lexical features, a pure function each.

Reads term ids and counts (`enrich/term_ids.py`, as unpacked payloads hold them), vectorised over the candidate pins. A
`counts` is float32 [t, fields, n], how often each of the query's t terms stands in each field of each of n pins;
`lengths` float32 [fields, n], tokens; `weights` float32 [fields, t], the terms' inverse document frequencies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrich.pin_payload import TEXT_FIELDS, TEXTS_A_PIN, PinBatch
from enrich.query_payload import QueryInputs
from enrich.term_ids import Ids, Terms

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

K1, B = 1.2, 0.75  # BM25's usual constants (Robertson and Zaragoza 2009; Lucene's defaults)
_BY_FIELD = ("bm25", "bm25_share", "terms_matched", "weight_matched", "density", "log_length", "missing")
_IN_TRIGRAMS = 3  # of TEXT_FIELDS, the first: title, description and caption
_NO_WEIGHT = 1e-6  # instead of 0 where a query has no terms

MATCH_FEATURES: tuple[str, ...] = (
    *(f"{match}_{field}" for match in _BY_FIELD for field in TEXT_FIELDS),
    "terms_matched_anywhere",
    "weight_matched_anywhere",
    "trigrams_matched",
    "trigram_overlap",
)


def match_features(query: QueryInputs, pins: PinBatch, weights: Floats, average_lengths: Floats) -> Floats:
    """The numbers of MATCH_FEATURES; float32 [n, len(MATCH_FEATURES)].

    `weights` has a last row for the terms in any field; `average_lengths` [fields] is in tokens.
    """
    hits = Hits.of(query, pins.texts)
    counts = term_counts(query.terms, hits, len(pins))
    lengths = pins.lengths.T
    per_field = [
        scores := bm25(counts, lengths, weights[:-1], average_lengths),
        bm25_share(scores, weights[:-1]),
        terms_matched(counts),
        weight_matched(counts, weights[:-1]),
        density(counts, lengths),
        np.log1p(lengths),
        (lengths == 0).astype(np.float32),
    ]
    anywhere = counts.max(axis=1, initial=0)[:, None]
    overall = [terms_matched(anywhere), weight_matched(anywhere, weights[-1:])]
    return np.concatenate([*per_field, *overall, trigram_matches(query.trigrams, hits, pins.texts)]).T


class Hits(NamedTuple):
    """Where the query's terms and trigrams stand in the texts of n pins."""

    ids: Ids  # [hits]
    counts: NDArray[np.uint8]  # [hits], occurrences
    pins: Ints  # [hits]
    fields: Ints  # [hits], of TEXT_FIELDS; their number: trigrams

    @classmethod
    def of(cls, query: QueryInputs, texts: Terms) -> Hits:
        """`texts` as a PinBatch has them. A table of the ids' low bits rules most out at once."""
        likely = np.zeros(1 << 16, np.bool_)
        for wanted in (query.terms, query.trigrams):
            likely[wanted.astype(np.uint16)] = True
        at = np.flatnonzero(likely[texts.ids.astype(np.uint16)])
        text = np.searchsorted(texts.offsets, at, side="right") - 1
        return cls(texts.ids[at], texts.counts[at], *np.divmod(text, TEXTS_A_PIN))


def term_counts(wanted: Ids, hits: Hits, pins: int) -> Floats:
    """How often each of the `wanted` ids (ascending) occurs in each field of each pin; [t, fields, n]."""
    counts = np.zeros((len(wanted), TEXTS_A_PIN, pins), np.float32)
    hit, column = _among(wanted, hits.ids)
    counts[column, hits.fields[hit], hits.pins[hit]] = hits.counts[hit]
    return counts[:, : len(TEXT_FIELDS)]  # what looks like a term among the trigrams is none


def bm25(counts: Floats, lengths: Floats, weights: Floats, average_lengths: Floats) -> Floats:
    """Σ over terms of weight · tf (K1 + 1) / (tf + K1 (1 - B + B length / average)); [fields, n]."""
    norm = K1 * (1 - B + B * lengths / average_lengths[:, None])
    saturated = counts * (K1 + 1) / (counts + norm)
    scores: Floats = np.einsum("tfn,ft->fn", saturated, weights)
    return scores


def bm25_share(scores: Floats, weights: Floats) -> Floats:
    """BM25 (`scores`) over the most that this query could score, which makes queries comparable; [fields, n], 0..1."""
    most = (K1 + 1) * weights.sum(axis=1, keepdims=True)
    share: Floats = scores / np.maximum(most, _NO_WEIGHT)
    return share


def terms_matched(counts: Floats) -> Floats:
    """Share of the query's terms that occur; [fields, n]."""
    share: Floats = (counts > 0).sum(axis=0, dtype=np.float32) / max(1, len(counts))
    return share


def weight_matched(counts: Floats, weights: Floats) -> Floats:
    """Share of the query's weight (idf) whose terms occur; [fields, n]."""
    matched = np.einsum("tfn,ft->fn", (counts > 0).astype(np.float32), weights)
    share: Floats = matched / np.maximum(weights.sum(axis=1, keepdims=True), _NO_WEIGHT)
    return share


def density(counts: Floats, lengths: Floats) -> Floats:
    """Share of the field's tokens that are the query's; [fields, n]."""
    share: Floats = np.minimum(counts.sum(axis=0) / np.maximum(lengths, 1), 1)
    return share


def trigram_matches(wanted: Ids, hits: Hits, texts: Terms) -> Floats:
    """Share of the query's character trigrams that the pin has, and shared ÷ all of both (Jaccard); [2, n].

    A query's single sign is looked for among the terms of the fields that the trigrams are of.
    """
    sizes = np.diff(texts.offsets)[len(TEXT_FIELDS) :: TEXTS_A_PIN]
    hit, column = _among(wanted, hits.ids)
    fields, pins = hits.fields[hit], hits.pins[hit]
    shared = np.bincount(pins[fields == len(TEXT_FIELDS)], minlength=len(sizes))
    if (alone := fields < _IN_TRIGRAMS).any():
        once = np.unique(pins[alone] * len(wanted) + column[alone])  # of a sign in several fields
        shared += np.bincount(once // len(wanted), minlength=len(sizes))
    either = len(wanted) + sizes - shared
    return np.stack([shared / max(1, len(wanted)), shared / np.maximum(either, 1)]).astype(np.float32)


def _among(wanted: Ids, ids: Ids) -> tuple[Ints, Ints]:
    """Where `ids` has one of the `wanted` (ascending), and which."""
    if len(wanted) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    column = np.minimum(np.searchsorted(wanted, ids), len(wanted) - 1)
    hit = np.flatnonzero(wanted[column] == ids)
    return hit, column[hit]
