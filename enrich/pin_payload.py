"""The packed pin: all that scoring needs of it in one versioned, checked run of bytes, read back a thousand at once.

Written by `enrich serving` into `pin_serving`, kept in Feast's online store as one Bytes feature. Training packs its
rows with the same function, so that a model sees the same rounded numbers in both places. Texts stay out: only the ids
of their terms and signs (`enrich/term_ids.py`) are kept. Between the envelope and the checksum of `enrich/payload.py`
stand

    until when queries and engagement are evidence, scale of each vector, hash of the pin's id (0: not told), lang,
    dimension of each vector (0: absent), number of engagement columns (0: absent), of distinct terms of each text field
    and of trigrams, length of each field; then the vectors in a byte an entry, engagement in float32, ids of the fields
    and of the trigrams (uint32, ascending within each), their counts (uint8)

Everything is little-endian; times are µs since 1970. What the log said has a time to live, which Feast does not apply
online: what a payload holds beyond it is left out when it is read. Any change of this layout, of a column list below or
of `enrich.normalise.terms` or `signs` takes a new `payload.VERSION`, and readers that still know the version before it.
Version 1 had no expiry: it is read as if nothing in it ever expired. Version 2 had vectors in float16, which are
rounded as they are read, and no hash of the id. Version 3 had no signs but those that stand alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from enrich.payload import (
    NEVER,
    Bools,
    ByteVectors,
    Checked,
    Floats,
    Integers,
    Sections,
    Signed,
    check,
    microseconds,
    widen,
)
from enrich.tables import PIN_ENGAGEMENT
from enrich.term_ids import Terms, every, without_rows

TEXT_FIELDS = ("title", "description", "caption", "link", "boards", "queries")  # link: its title and description
VECTORS = ("text_embedding", "visual_embedding", "graph_embedding")
TEXTS_A_PIN = len(TEXT_FIELDS) + 1  # the last: title, description and caption as character trigrams
ENGAGEMENT_COLUMNS = tuple(column.name for column in PIN_ENGAGEMENT.features)

MAGIC = b"CP"
_QUERIES = TEXT_FIELDS.index("queries")
LOG = ("queries", "engagement")  # what expires of a pin
_HEAD_1 = np.dtype([
    ("lang", "S4"), ("dimensions", "<u2", len(VECTORS)), ("engagement", "<u2"),
    ("terms", "<u2", len(TEXT_FIELDS) + 1), ("lengths", "<u2", len(TEXT_FIELDS)),
])  # fmt: skip
_HEAD_2 = np.dtype([("until", "<i8", len(LOG)), *_HEAD_1.descr])
HEAD = np.dtype([("until", "<i8", len(LOG)), ("scales", "<f4", len(VECTORS)), ("key", "<u8"), *_HEAD_1.descr])
Ids64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class PinBatch:
    """n pins in columns. What a pin lacks is zero, and its `has_` entry False; d is 0 where no pin has that vector."""

    present: Bools  # [n], a payload that could be read
    corrupt: Bools  # [n], bytes that could not
    text_embedding: Floats  # [n, d], unit length up to the payload's rounding
    visual_embedding: Floats  # [n, d]
    graph_embedding: Floats  # [n, d]
    has_text_embedding: Bools  # [n]
    has_visual_embedding: Bools  # [n]
    has_graph_embedding: Bools  # [n]
    engagement: Floats  # [n, len(ENGAGEMENT_COLUMNS)]
    has_engagement: Bools  # [n]
    texts: Terms  # [n * TEXTS_A_PIN], those of each pin side by side
    lengths: Floats  # [n, len(TEXT_FIELDS)], tokens
    langs: npt.NDArray[np.str_]  # [n], ISO 639-1; "" where unknown
    keys: Ids64  # [n], `key_hashes` of the pin ids; 0 where the payload does not tell
    created_us: Integers  # [n], when the newest packed value could be known, µs since 1970; not a feature

    def __len__(self) -> int:
        return len(self.present)

    @property
    def terms(self) -> tuple[Terms, ...]:
        """One per TEXT_FIELDS, copied out of `texts`."""
        return tuple(every(self.texts, TEXTS_A_PIN, field) for field in range(len(TEXT_FIELDS)))

    @property
    def trigrams(self) -> Terms:
        """Copied out of `texts`."""
        return every(self.texts, TEXTS_A_PIN, len(TEXT_FIELDS))


class HeldVectors(NamedTuple):
    """The vectors of n pins as payloads hold them, of each kind of VECTORS that many entries side by side."""

    values: Signed  # [n, sum of the kinds' dimensions]; 0 where a pin has none of that many entries
    scales: Floats  # [n, len(VECTORS)]

    def wide(self, dimensions: Sequence[int]) -> list[Floats]:
        """Of each kind [n, d], as `unpack_pins` gives them."""
        ends = np.cumsum(dimensions)
        return [
            widen(self.values[:, end - d : end], self.scales[:, i])
            for i, (d, end) in enumerate(zip(dimensions, ends, strict=True))
        ]

    @classmethod
    def of(cls, payloads: Sequence[bytes | None], dimensions: Sequence[int]) -> HeldVectors:
        present, _, kept = _checked(payloads, False)
        rows, sections = np.flatnonzero(present), Sections(kept, HEAD, _fixed_bytes)
        lengths = sections.head["dimensions"].astype(np.int64)
        starts = _vector_starts(sections.head)
        held = cls(
            np.zeros((len(payloads), sum(dimensions)), np.int8), np.zeros((len(payloads), len(VECTORS)), np.float32)
        )
        for i, (d, end) in enumerate(zip(dimensions, np.cumsum(dimensions), strict=True)):
            usable = lengths[:, i] == d
            held.values[rows[usable], end - d : end] = _cut_vectors(sections, starts[:, i], usable, d)
            held.scales[rows[usable], i] = sections.head["scales"][usable, i]
        return held


class Wanted(NamedTuple):
    """What of a payload is unpacked; the rest comes empty, as of pins that lack it, and costs next to nothing."""

    vectors: tuple[str, ...] = VECTORS
    texts: bool = True  # terms and trigrams; lengths and languages always come
    dimensions: tuple[int, ...] | None = None  # of each of VECTORS, all others being absent; None: the commonest


def unpack_pins(
    payloads: Sequence[bytes | None], now: datetime | None = None, wanted: Wanted | None = None, whole: bool = False
) -> PinBatch:
    """The pins in columns, in the order given. None gives an absent pin; unreadable bytes an absent, corrupt one.

    What had stopped being evidence at `now` is left out; `wanted` is all unless said. `whole` says that every payload's
    checksum was found right as it was read (`Pins.whole` of relevance/serving/lookup.py), and need not be looked at
    again.
    """
    chosen = wanted or Wanted()
    n = len(payloads)
    present, corrupt, kept = _checked(payloads, whole)
    fixed = _fixed_bytes if set(VECTORS) <= set(chosen.vectors) else _head_bytes
    rows, sections = np.flatnonzero(present), Sections(kept, HEAD, fixed)
    head = sections.head
    starts, lengths = _vector_starts(head), head["dimensions"].astype(np.int64)
    vectors = []
    for i, dimensions in enumerate(lengths.T):
        asked = dimensions if VECTORS[i] in chosen.vectors else np.zeros_like(dimensions)
        d = _commonest(asked) if chosen.dimensions is None else chosen.dimensions[i]
        usable = asked == d
        found = widen(_cut_vectors(sections, starts[:, i], usable, d), head["scales"][usable, i])
        vectors.append((_scatter(found, rows[usable], n), _scatter(usable & (d > 0), rows, n)))
    start = starts[:, 0] + lengths.sum(axis=1)
    columns = head["engagement"].astype(np.int64)
    values = sections.cut(start, start + 4 * columns).reshape(-1).view("<f4").reshape(-1, len(ENGAGEMENT_COLUMNS))
    (text, has_text), (visual, has_visual), (graph, has_graph) = vectors
    sizes = head["terms"].astype(np.int64) if chosen.texts else np.zeros((len(kept), TEXTS_A_PIN), np.int64)
    pins = PinBatch(
        present,
        corrupt,
        text_embedding=text,
        visual_embedding=visual,
        graph_embedding=graph,
        has_text_embedding=has_text,
        has_visual_embedding=has_visual,
        has_graph_embedding=has_graph,
        engagement=_scatter(values, rows[columns > 0], n),
        has_engagement=_scatter(columns > 0, rows, n),
        texts=_unpack_texts(sections, start + 4 * columns, sizes, rows, n),
        lengths=_scatter(head["lengths"].astype(np.float32), rows, n),
        langs=_scatter(head["lang"].astype(np.str_), rows, n),
        keys=_scatter(head["key"], rows, n),
        created_us=_scatter(head["created_us"], rows, n),
    )
    if now is None or not len(kept):
        return pins
    expired = _scatter(head["until"] < microseconds(now), rows, n)
    return _without_expired(pins, *expired.T) if expired.any() else pins


def _checked(payloads: Sequence[bytes | None], whole: bool) -> Checked:
    return check(payloads, MAGIC, HEAD, {1: _body_of_1, 2: _body_of_2, 3: _body_of_3}, whole)


def _body_of_1(body: bytes) -> bytes:
    """A pin's body of version 1, in version 2. Raises ValueError for one that is shorter than its head."""
    if len(body) < _HEAD_1.itemsize:
        raise ValueError("too short")
    return np.full(len(LOG), NEVER, "<i8").tobytes() + body


def _body_of_2(body: bytes) -> bytes:
    """A pin's body of version 2, in version 3. Raises ValueError for one that is shorter than its vectors."""
    before = np.frombuffer(body, _HEAD_2, 1)
    dimensions, size = before["dimensions"][0].astype(np.int64), _HEAD_2.itemsize
    halves = np.frombuffer(body, "<f2", int(dimensions.sum()), offset=size)
    vectors = ByteVectors.rounded(dimensions, halves.astype(np.float32))
    head = np.zeros(1, HEAD)
    for name in _HEAD_2.names or ():
        head[name] = before[name]
    head["scales"] = vectors.scales
    return head.tobytes() + vectors.values.tobytes() + body[size + halves.nbytes :]


def _body_of_3(body: bytes) -> bytes:
    """A pin's body of version 3, in version 4: its signs cannot be told from the ids of its bigrams."""
    return body


def _without_expired(pins: PinBatch, queries: Bools, engagement: Bools) -> PinBatch:
    """The pins without the queries, and without the engagement, of the rows marked."""
    lengths = pins.lengths.copy()
    lengths[queries, _QUERIES] = 0
    gone = np.zeros((len(pins), TEXTS_A_PIN), np.bool_)
    gone[:, _QUERIES] = queries
    texts = without_rows(pins.texts, gone.reshape(-1))
    has = pins.has_engagement & ~engagement
    return replace(pins, texts=texts, lengths=lengths, engagement=pins.engagement * has[:, None], has_engagement=has)


def _fixed_bytes(head: np.void) -> int:
    """Of a pin's payload, before its terms."""
    return int(head.dtype.itemsize + head["dimensions"].astype(np.int64).sum() + 4 * int(head["engagement"]))


def _head_bytes(head: np.void) -> int:
    """As `_fixed_bytes`, where little of that is wanted: each section is then cut out of each payload by itself."""
    return head.dtype.itemsize


def _commonest(dimensions: Integers) -> int:
    return int(np.bincount(dimensions[dimensions > 0], minlength=1).argmax())


def _vector_starts(head: npt.NDArray[np.void]) -> Integers:
    """Where in its payload each vector begins; [kept, len(VECTORS)]."""
    lengths = head["dimensions"].astype(np.int64)
    starts: Integers = head.dtype.itemsize + np.cumsum(lengths, axis=1) - lengths
    return starts


def _cut_vectors(sections: Sections, start: Integers, usable: Bools, d: int) -> Signed:
    """Those of the usable payloads, whose vector of this kind has d entries; [usable, d]."""
    if not d or not usable.any():
        return np.zeros((int(usable.sum()), d), np.int8)
    return sections.cut(start, np.where(usable, start + d, start)).view(np.int8).reshape(-1, d)


def _unpack_texts(sections: Sections, start: Integers, sizes: Integers, rows: Integers, n: int) -> Terms:
    """The texts of n pins, `sizes` [kept, TEXTS_A_PIN] of the kept ones: a payload's lie as they are wanted."""
    total = sizes.sum(axis=1)
    ids = sections.cut(start, start + 4 * total).reshape(-1).view("<u4")
    counts = sections.cut(start + 4 * total, start + 5 * total).reshape(-1)
    offsets = np.zeros(n * TEXTS_A_PIN + 1, np.int64)
    np.cumsum(_scatter(sizes, rows, n), out=offsets[1:])
    return Terms(offsets, ids, counts)


def _scatter(values: npt.NDArray[Any], rows: Integers, n: int) -> npt.NDArray[Any]:
    """[n, ...] with `values` at `rows` and zeros (or "") elsewhere."""
    if len(rows) == n:
        return values
    wide = np.zeros((n, *values.shape[1:]), values.dtype)
    wide[rows] = values
    return wide
