"""The packed query: all that scoring needs of a known query in one versioned, checked run of bytes.

Written by `enrich serving` into `query_serving`, kept in Feast's online store as one Bytes feature. Training packs its
rows with the same function. Between the envelope and the checksum of `enrich/payload.py` stand

    until when it is evidence, dimension, number of pairs, bytes of JSON, shopping intent, frequency; then the embedding
    in float16, the pairs' pin hashes (uint64, ascending), values (float32) and until when each is evidence, JSON of
    [lang, interests]

Byte order, times, expiry and versions are as in `enrich/pin_payload.py`; versions 3 and 4 of a query are as version 2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from enrich.payload import NEVER, Bools, Floats, Sections, check, microseconds, seal
from enrich.tables import QUERY_PIN_ENGAGEMENT
from enrich.term_ids import Ids, key_hashes, query_term_ids, query_trigram_ids

PAIR_COLUMNS = tuple(column.name for column in QUERY_PIN_ENGAGEMENT.features)
MAX_PAIRS = 4096  # pins of one query whose values are packed

_MAGIC = b"CQ"
_HEAD_1 = np.dtype([
    ("dimension", "<u4"), ("pairs", "<u4"), ("json", "<u4"), ("shopping_intent", "<f4"), ("frequency", "<i8"),
])  # fmt: skip
_HEAD = np.dtype([("until", "<i8"), *_HEAD_1.descr])


@dataclass(frozen=True, slots=True)
class QueryInputs:
    """What is known of one query. An unknown query (`known` False) still has its terms and trigrams."""

    query: str  # normalised
    known: bool
    embedding: Floats | None  # [d]
    interests: tuple[str, ...]  # best first
    shopping_intent: float  # 0..1; 0 where unknown
    lang: str | None
    frequency: int
    terms: Ids  # distinct, ascending
    trigrams: Ids  # distinct, ascending
    pair_pins: npt.NDArray[np.uint64]  # [m], `key_hashes` of pin ids, ascending
    pair_rates: Floats  # [m, len(PAIR_COLUMNS)]

    def rates_of(self, pin_ids: Sequence[str], keys: npt.NDArray[np.uint64] | None = None) -> tuple[Floats, Bools]:
        """The pairs' values [n, len(PAIR_COLUMNS)], zeros where a pair has none, and which have them [n].

        `keys` are the ids' `key_hashes` as far as they are known, 0 elsewhere: hashing a thousand ids takes .9 ms.
        """
        rates, found = np.zeros((len(pin_ids), len(PAIR_COLUMNS)), np.float32), np.zeros(len(pin_ids), np.bool_)
        if len(self.pair_pins) and len(pin_ids):
            hashes = np.zeros(len(pin_ids), np.uint64) if keys is None else keys.copy()
            unknown = np.flatnonzero(hashes == 0)
            hashes[unknown] = key_hashes([pin_ids[i] for i in unknown.tolist()])
            at = np.minimum(np.searchsorted(self.pair_pins, hashes), len(self.pair_pins) - 1)
            found = self.pair_pins[at] == hashes
            rates[found] = self.pair_rates[at[found]]
        return rates, found


@dataclass(frozen=True, slots=True)
class QueryValues:
    """What the tables hold of one query, to be packed."""

    embedding: Sequence[float] | None = None
    interests: Sequence[str] | None = None
    shopping_intent: float | None = None
    lang: str | None = None
    frequency: int | None = None
    created_us: int = 0  # when the newest of these could be known
    until_us: int = NEVER  # when it stops being evidence


def pack_query(
    values: QueryValues, pin_ids: Sequence[str] = (), rates: Floats | None = None, until: Sequence[int] | None = None
) -> bytes:
    """The payload of a known query, with its pairs' values `rates` [len(pin_ids), len(PAIR_COLUMNS)].

    `until` says when each pair stops being evidence (µs since 1970; never by default). Of more than MAX_PAIRS pairs
    those with most impressions (the first of PAIR_COLUMNS) are kept.
    """
    pins, kept, ends = key_hashes(pin_ids), np.zeros((0, len(PAIR_COLUMNS)), "<f4"), np.zeros(0, "<i8")
    if rates is not None and len(pins):
        best = np.lexsort((pins, -rates[:, 0]))[:MAX_PAIRS]
        best = best[np.argsort(pins[best])]
        ends = np.full(len(pins), NEVER, "<i8") if until is None else np.asarray(until, "<i8")
        pins, kept, ends = pins[best], rates[best].astype("<f4"), ends[best]
    embedding = np.asarray(values.embedding if values.embedding is not None else (), "<f2")
    text = json.dumps([values.lang, list(values.interests or ())], ensure_ascii=False).encode("utf-8", "replace")
    sizes = (len(embedding), len(kept), len(text))
    head = np.array((values.until_us, *sizes, values.shopping_intent or 0.0, values.frequency or 0), _HEAD)
    sections = (head.tobytes(), embedding.tobytes(), pins.astype("<u8").tobytes(), kept.tobytes(), ends.tobytes(), text)
    body = b"".join(sections)
    return seal(_MAGIC, values.created_us, body)


def unpack_query(payload: bytes | None, query: str, now: datetime | None = None) -> QueryInputs:
    """What the payload says of `query` (normalised); None or unreadable bytes give an unknown query.

    What had stopped being evidence at `now` is left out.
    """
    kept = check([payload], _MAGIC, _HEAD, {1: _body_of_1, 2: _unchanged, 3: _unchanged}).kept
    if not kept:
        return _inputs(query, pack_query(QueryValues()), False, None)
    return _inputs(query, kept[0], True, now)


def _inputs(query: str, payload: bytes, known: bool, now: datetime | None) -> QueryInputs:
    head = Sections([payload], _HEAD, lambda head: head.dtype.itemsize).head[0]
    dimension, m = int(head["dimension"]), int(head["pairs"])
    pins_at = head.dtype.itemsize + 2 * dimension
    rates_at = pins_at + 8 * m
    until_at = rates_at + 4 * m * len(PAIR_COLUMNS)
    text_at = until_at + 8 * m
    lang, interests = json.loads(payload[text_at : text_at + int(head["json"])])
    pairs = np.frombuffer(payload[pins_at:rates_at], "<u8")
    rates = np.frombuffer(payload[rates_at:until_at], "<f4").reshape(m, len(PAIR_COLUMNS))
    shopping_intent, frequency = float(head["shopping_intent"]), int(head["frequency"])
    if now is not None:
        alive = np.frombuffer(payload[until_at:text_at], "<i8") >= microseconds(now)
        pairs, rates = pairs[alive], rates[alive]
        if head["until"] < microseconds(now):
            dimension, lang, interests, shopping_intent, frequency, known = 0, None, [], 0.0, 0, bool(len(pairs))
    return QueryInputs(
        query,
        known,
        embedding=np.frombuffer(payload[pins_at - 2 * dimension : pins_at], "<f2").astype(np.float32)
        if dimension
        else None,
        interests=tuple(interests),
        shopping_intent=shopping_intent,
        lang=lang,
        frequency=frequency,
        terms=query_term_ids(query),
        trigrams=query_trigram_ids(query),
        pair_pins=pairs,
        pair_rates=rates,
    )


def _unchanged(body: bytes) -> bytes:
    """A query's body of version 2 or 3, in the next: only pins changed."""
    return body


def _body_of_1(body: bytes) -> bytes:
    """A query's body of version 1, in version 2. Raises ValueError for one that is shorter than its head."""
    head = np.frombuffer(body, _HEAD_1, 1)[0]
    m = int(head["pairs"])
    text_at = _HEAD_1.itemsize + 2 * int(head["dimension"]) + m * (8 + 4 * len(PAIR_COLUMNS))
    return np.int64(NEVER).tobytes() + body[:text_at] + np.full(m, NEVER, "<i8").tobytes() + body[text_at:]
