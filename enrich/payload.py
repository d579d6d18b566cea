"""The mechanics of packed payloads: sealing and checking bytes, cutting sections out of a thousand of them at once.

A payload is an envelope (magic, version, created_us), a body, and the CRC-32 of both: a truncated or altered one is
found before a byte of it is believed. What the bodies hold is for `enrich/pin_payload.py` and
`enrich/query_payload.py` to say. During a roll-out payloads of this version and of those before it stand side by side
in the online store: an older one is rewritten as it is read.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from enrich.job import input_hash
from enrich.tables import FLOATS

VERSION = 4
NEVER = 2**63 - 1  # an expiry that does not come, µs since 1970
ENVELOPE = np.dtype([("magic", "S2"), ("version", "u1"), ("zero", "u1"), ("created_us", "<i8")])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHECKSUM_BYTES = 4
_RESIDUE = 0x2144DF1C  # CRC-32 of any bytes followed by their own little-endian CRC-32 (ISO 3309)
_VERSION_AT = 2  # of the envelope's bytes
_MOST, _LEAST = 127, 1e-30  # of a byte with a sign; entries nearer to 0 are 0

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Signed = npt.NDArray[np.int8]


def seal(magic: bytes, created_us: int, body: bytes) -> bytes:
    """The payload around a body."""
    envelope = np.array((magic, VERSION, 0, created_us), ENVELOPE).tobytes()
    return envelope + body + zlib.crc32(body, zlib.crc32(envelope)).to_bytes(_CHECKSUM_BYTES, "little")


def body_of(payload: bytes) -> bytes:
    """What the payload says, without when it could be known."""
    return payload[ENVELOPE.itemsize : -_CHECKSUM_BYTES]


def version_of(payload: bytes) -> int:
    """The layout that the payload is in."""
    return payload[_VERSION_AT]


def content_hash(payload: bytes) -> str:
    """A hash of what the payload says (layout version included), not of when that could be known."""
    return input_hash(str(version_of(payload)), body_of(payload))


def microseconds(time: datetime) -> int:
    """Since 1970."""
    return (time - _EPOCH) // timedelta(microseconds=1)


class Checked(NamedTuple):
    present: Bools  # [n], a payload that can be read
    corrupt: Bools  # [n], bytes that are not one
    kept: list[bytes]  # the present ones, in order


Upgrades = Mapping[int, Callable[[bytes], bytes]]  # an older version -> its body in the version after it


def is_whole(payload: bytes) -> bool:
    """Whether the checksum is right: these are the bytes that were sealed."""
    return zlib.crc32(payload) == _RESIDUE


def all_whole(payloads: Iterable[bytes | None]) -> bool:
    """Whether every payload that is there is whole."""
    return {zlib.crc32(payload) for payload in payloads if payload is not None} <= {_RESIDUE}


def check(
    payloads: Sequence[bytes | None], magic: bytes, head: np.dtype[np.void], upgrades: Upgrades, whole: bool = False
) -> Checked:
    """Which payloads are whole, of the right kind and of a version that can be read; `head` opens their body.

    Those of the versions in `upgrades` are kept as this version's, but for their checksum. `whole` says that all
    checksums were found right before.
    """
    least = ENVELOPE.itemsize + head.itemsize + _CHECKSUM_BYTES
    opening = magic + bytes([VERSION])
    read = [
        None
        if payload is None or not (whole or is_whole(payload))
        else payload
        if payload.startswith(opening) and len(payload) >= least
        else _upgraded(payload, magic, upgrades, least)
        for payload in payloads
    ]
    present = np.fromiter((payload is not None for payload in read), np.bool_, len(read))
    absent = np.fromiter((payload is None for payload in payloads), np.bool_, len(payloads))
    return Checked(present, ~present & ~absent, [payload for payload in read if payload is not None])


def _upgraded(payload: bytes, magic: bytes, upgrades: Upgrades, least: int) -> bytes | None:
    """A whole payload of an older version in this one, of at least so many bytes; None for anything else."""
    if not payload.startswith(magic) or len(payload) < ENVELOPE.itemsize + _CHECKSUM_BYTES:
        return None
    body, version = body_of(payload), version_of(payload)
    while version in upgrades:
        try:
            body = upgrades[version](body)
        except ValueError:  # shorter than its own head
            return None
        version += 1
    if version != VERSION or version_of(payload) == VERSION:
        return None
    opening = payload[:_VERSION_AT] + bytes([VERSION]) + payload[_VERSION_AT + 1 : ENVELOPE.itemsize]
    upgraded = opening + body + bytes(_CHECKSUM_BYTES)
    return upgraded if len(upgraded) >= least else None


class Sections:
    """n whole payloads, to be cut into columns. `head` is envelope and head of each as a structured array [n].

    Payloads of one catalogue mostly agree in the sizes that open them: what `fixed` says of the first one's head, the
    bytes before anything of varying length, is then cut for all of them at once.
    """

    def __init__(self, payloads: list[bytes], head: np.dtype[np.void], fixed: Callable[[np.void], int]) -> None:
        whole = np.dtype(ENVELOPE.descr + head.descr)
        self._payloads = payloads
        size = fixed(np.frombuffer(payloads[0], whole, 1)[0]) if payloads else whole.itemsize
        opening = _joined([payload[:size] for payload in payloads])
        if len(opening) != size * len(payloads):
            size = whole.itemsize
            opening = _joined([payload[:size] for payload in payloads])
        self._opening = opening.reshape(len(payloads), size)
        self.head = np.ascontiguousarray(self._opening[:, : whole.itemsize]).view(whole)[:, 0]

    def cut(self, starts: Integers, ends: Integers) -> Bytes:
        """One section of every payload: end to end, or in rows (a view) where all lie at the same place."""
        if len(starts) and ends.max() <= self._opening.shape[1] and _constant(starts) and _constant(ends):
            return self._opening[:, starts[0] : ends[0]]
        return _joined([p[a:b] for p, a, b in zip(self._payloads, starts.tolist(), ends.tolist(), strict=True)])


def _joined(sections: list[bytes]) -> Bytes:
    return np.frombuffer(bytearray().join(sections), np.uint8)  # writable, so that torch takes it


def _constant(values: Integers) -> bool:
    return bool((values == values[0]).all())


class ByteVectors(NamedTuple):
    """A column of vectors in a byte an entry; a row without one has dimension 0. Entry = scale · value."""

    dimensions: Integers  # [n]
    scales: Floats  # [n], 1/127 of the entry farthest from 0
    values: Signed  # [sum of dimensions]

    @classmethod
    def of(cls, column: pl.Series) -> ByteVectors:
        """Each entry is rounded to the nearest of 255 values; of a vector of unit length that 384 entries share evenly
        it moves by some .0004.
        """
        lists = column.cast(pl.List(pl.Float32)).rechunk().to_arrow().cast(pa.large_list(FLOATS.value_type))
        dimensions = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        return cls.rounded(dimensions, pc.list_flatten(lists).to_numpy(zero_copy_only=False))

    @classmethod
    def rounded(cls, dimensions: Integers, entries: Floats) -> ByteVectors:
        """Of vectors that lie end to end. One with an entry that is not finite counts as absent."""
        farthest, there = np.zeros(len(dimensions), np.float32), dimensions > 0
        starts = (np.cumsum(dimensions) - dimensions)[there]
        if len(starts):
            farthest[there] = np.maximum.reduceat(np.abs(entries), starts)
        if not (finite := np.isfinite(farthest)).all():
            return cls.rounded(np.where(finite, dimensions, 0), entries[np.repeat(finite, dimensions)])
        scales = np.where(farthest < _LEAST, np.float32(0), farthest / np.float32(_MOST))
        steps = np.repeat(np.where(scales > 0, scales, np.float32(1)), dimensions)
        return cls(dimensions, scales, np.rint(entries / steps).astype(np.int8))

    def rows(self) -> list[bytes]:
        ends = np.cumsum(self.dimensions)
        return byte_rows(np.concatenate([np.zeros(1, np.int64), ends]), self.values)


def byte_rows(offsets: Integers, values: npt.NDArray[np.generic]) -> list[bytes]:
    """The bytes of each row of compressed rows."""
    raw, at = values.tobytes(), (offsets * values.itemsize).tolist()
    return [raw[at[i] : at[i + 1]] for i in range(len(at) - 1)]


def widen(values: Signed, scales: Floats) -> Floats:
    """Vectors [n, d] of their bytes and scales [n]; by torch where a model has loaded it: faster, equal floats."""
    torch = sys.modules.get("torch")
    if torch is None:
        return values.astype(np.float32) * scales[:, None]
    by_row = torch.from_numpy(np.ascontiguousarray(scales))[:, None]
    wide: Floats = torch.from_numpy(values).float().mul_(by_row).numpy()
    return wide
