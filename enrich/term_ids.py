"""Texts as numbers: each distinct term of a text becomes a stable 32-bit id, with how often it occurs.

The ids stand in for the words wherever only their matching matters (the packed payloads of `enrich/payload.py`, the
match features made from them), so no text travels to the scorer. Two terms share an id with probability 2**-32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from enrich.normalise import is_sign, signs, terms

MAX_CHARACTERS = 4096  # of a text that are read; the rest of a longer one is ignored
MAX_COUNT = 255  # occurrences of a term are counted up to this
_TRIGRAM = 3

Ids = npt.NDArray[np.uint32]


class Terms(NamedTuple):
    """The distinct terms of n texts, as compressed rows: text i holds ids[offsets[i]:offsets[i + 1]], ascending."""

    offsets: npt.NDArray[np.int64]  # [n + 1]
    ids: Ids  # [nnz]
    counts: npt.NDArray[np.uint8]  # [nnz], occurrences, at most MAX_COUNT


class TextIds(NamedTuple):
    """What `text_ids` makes of n texts."""

    terms: Terms  # and single signs, for queries of one
    lengths: npt.NDArray[np.uint16]  # [n], tokens, repetitions counted; of unspaced scripts the bigrams


@lru_cache(maxsize=500_000)
def term_id(term: str) -> int:
    """The term's stable 32-bit id: the first four bytes of its BLAKE2b digest, little-endian."""
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "replace"), digest_size=4).digest(), "little")


@lru_cache(maxsize=100_000)
def _trigram_ids(term: str) -> tuple[int, ...]:
    padded = f" {term} "
    return tuple(term_id("\0" + padded[i : i + _TRIGRAM]) for i in range(len(padded) - _TRIGRAM + 1))


def text_ids(texts: Sequence[str | None]) -> TextIds:
    """The terms and signs of each text and its length in tokens; a missing text has none."""
    tokens = [_tokens(text) for text in texts]
    found = [some + _signs(text) for some, text in zip(tokens, texts, strict=True)]
    sizes = np.fromiter(map(len, found), np.int64, len(found))
    ids = np.fromiter(map(term_id, chain.from_iterable(found)), np.uint64, sizes.sum())
    return TextIds(_compress(ids, sizes), np.fromiter(map(len, tokens), np.uint16, len(tokens)))


def trigram_ids(texts: Sequence[str | None]) -> Terms:
    """The character trigrams of each text's terms, a blank counted as a character at both ends of a term."""
    tokens = [_tokens(text) for text in texts]
    place_of = {term: place for place, term in enumerate(dict.fromkeys(chain.from_iterable(tokens)))}
    places = np.fromiter(map(place_of.__getitem__, chain.from_iterable(tokens)), np.int64)
    grams = [_trigram_ids(term) for term in place_of]  # of each distinct term once
    sizes = np.fromiter(map(len, grams), np.int64, len(grams))
    firsts, counts = np.cumsum(sizes) - sizes, sizes[places]
    flat = np.fromiter(chain.from_iterable(grams), np.uint64, sizes.sum())
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    at = np.repeat(firsts[places] - ends[:-1], counts) + np.arange(ends[-1])
    return _compress(flat[at], np.diff(ends[np.cumsum([0, *map(len, tokens)])]))


def query_term_ids(query: str) -> Ids:
    """Distinct ids of the query's terms, ascending."""
    return np.unique(np.fromiter(map(term_id, _tokens(query)), np.uint32))


def query_trigram_ids(query: str) -> Ids:
    """Distinct ids of the query's character trigrams, ascending. A single sign's is the sign, which texts have among
    their terms: trigrams of bigrams hold none.
    """
    grams = ((term_id(term),) if is_sign(term) else _trigram_ids(term) for term in _tokens(query))
    return np.unique(np.fromiter(chain.from_iterable(grams), np.uint32))


def every(terms: Terms, step: int, first: int) -> Terms:
    """Of every `step` texts the one at `first`."""
    return taken(terms, np.arange(first, len(terms.offsets) - 1, step))


def taken(terms: Terms, rows: npt.NDArray[np.int64]) -> Terms:
    """The texts at `rows`, in that order."""
    sizes = np.diff(terms.offsets)[rows]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    at = np.repeat(terms.offsets[rows] - offsets[:-1], sizes) + np.arange(offsets[-1])
    return Terms(offsets, terms.ids[at], terms.counts[at])


def joined(parts: Sequence[Terms]) -> Terms:
    """The texts of all parts, in order."""
    starts = np.cumsum([0, *(len(part.ids) for part in parts)])
    offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
    ids, counts = np.concatenate([part.ids for part in parts]), np.concatenate([part.counts for part in parts])
    return Terms(np.concatenate([*offsets, starts[-1:]]), ids, counts)


def without_rows(terms: Terms, dropped: npt.NDArray[np.bool_]) -> Terms:
    """The texts with those that `dropped` [n] marks made empty."""
    sizes = np.diff(terms.offsets)
    kept = np.repeat(~dropped, sizes)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.where(dropped, 0, sizes))])
    return Terms(offsets, terms.ids[kept], terms.counts[kept])


def key_hashes(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    """A stable 64-bit hash of each key (pin ids as numbers): the first eight bytes of its BLAKE2b digest."""
    digests = [hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest() for key in keys]
    return np.frombuffer(b"".join(digests), "<u8")


def _tokens(text: str | None) -> list[str]:
    return terms(text[:MAX_CHARACTERS])[:MAX_CHARACTERS] if text else []


def _signs(text: str | None) -> list[str]:
    return signs(text[:MAX_CHARACTERS])[:MAX_CHARACTERS] if text else []


def _compress(ids: npt.NDArray[np.uint64], lengths: npt.NDArray[np.int64]) -> Terms:
    """Rows of ids, end to end and repetitions included, to ascending distinct ids with counts; one sort for all."""
    rows = len(lengths)
    keys = ids | (np.repeat(np.arange(rows, dtype=np.uint64), lengths) << np.uint64(32))
    distinct, counts = np.unique(keys, return_counts=True)
    offsets = np.searchsorted(distinct >> np.uint64(32), np.arange(rows + 1, dtype=np.uint64))
    return Terms(
        offsets.astype(np.int64),
        (distinct & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        np.minimum(counts, MAX_COUNT).astype(np.uint8),
    )
