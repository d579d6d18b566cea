"""A batch of rows as every online store of Feast's keeps it: keys and values in bytes, made without a protobuf a cell.

Two ways to the same rows: from the protobufs that Feast hands to `online_write_batch`, and from an Arrow batch, as
`streaming_engine.py` has it. Of an Arrow batch keys that are texts and features that are Bytes are put together here;
the rest goes through Feast's own conversion, a column at a time. Tests hold both ways equal, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key, serialize_entity_key_prefix
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value, ValueType
from feast.repo_config import RepoConfig
from feast.type_map import python_values_to_proto_values
from feast.utils import _build_entity_keys, _validate_vector_field_lengths
from feast.value_type import ValueType as FeastType

Protos = list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]  # of `online_write_batch`

_VERSION = 3  # of key serialization; others are written by Feast's own code


class Feature(NamedTuple):
    """One feature of every row."""

    name: str
    values: list[bytes | None]  # a Value's bytes; None where the row has no such feature, which leaves the stored one
    texts: Sequence[str | None]  # what Feast's SQL stores keep beside it of texts and numbers


class Rows(NamedTuple):
    """Columns, all of one length: no object a cell but its bytes."""

    keys: list[bytes]  # as `serialize_entity_key` makes them
    features: list[Feature]
    events: list[datetime]  # in UTC where they have no zone
    created: Sequence[datetime | None]


@runtime_checkable
class ArrowWriter(Protocol):
    """An online store that takes Arrow batches beside Feast's lists of protobufs."""

    def write_arrow(self, config: RepoConfig, table: FeatureView, batch: pa.RecordBatch) -> None:
        """As `online_write_batch` of the batch's rows; the columns are the view's keys, features and clocks."""


def rows_of_protos(data: Protos, version: int) -> Rows:
    """What Feast converted, serialized."""
    names = dict.fromkeys(name for _, values, *_ in data for name in values)
    return Rows(
        [serialize_entity_key(key, entity_key_serialization_version=version) for key, *_ in data],
        [_feature(name, [values.get(name) for _, values, *_ in data]) for name in names],
        [event for *_, event, _ in data],
        [created for *_, created in data],
    )


def rows_of_batch(batch: pa.RecordBatch, view: FeatureView, version: int) -> Rows:
    """The same of an Arrow batch. Raises ValueError for a null key or clock."""
    source = view.batch_source
    if source is None:
        raise ValueError(f"expected a view with a batch source, found none in {view.name}")
    _validate_vector_field_lengths(batch, view)
    clocks = [c for c in (source.timestamp_field, source.created_timestamp_column) if c]
    events, *created = [_times(batch.column(name), name) for name in clocks]
    return Rows(
        key_bytes(batch, view, version),
        [_feature_of_column(batch.column(f.name), f.name, f.dtype.to_value_type()) for f in view.features],
        events,
        created[0] if created else [None] * len(batch),
    )


def key_bytes(batch: pa.RecordBatch, view: FeatureView, version: int) -> list[bytes]:
    """Every row's entity key, serialized."""
    types = {entity.name: entity.dtype.to_value_type() for entity in view.entity_columns}
    names = sorted(types)
    columns = [batch.column(name) for name in names]
    texts = all(
        types[n] is FeastType.STRING and pa.types.is_string(c.type) for n, c in zip(names, columns, strict=True)
    )
    if version != _VERSION or not texts or any(column.null_count for column in columns):
        protos = {name: _protos(batch.column(name), kind) for name, kind in types.items()}
        keys = _build_entity_keys(len(batch), types, protos)
        return [serialize_entity_key(key, entity_key_serialization_version=version) for key in keys]
    before = serialize_entity_key_prefix(names, version)
    values = [[_text_header(len(text)) + text for text in column.cast(pa.binary()).to_pylist()] for column in columns]
    return [b"".join((before, *row)) for row in zip(*values, strict=True)]


def values_of_bytes(column: pa.Array) -> list[bytes | None]:
    """The protobuf Values of a binary column, cut out of its buffer; as Feast's, all empty where all bytes are."""
    if not pc.sum(pc.binary_length(column)).as_py():
        return [b""] * len(column)
    _, offsets, content = column.buffers()
    width = np.int64 if pa.types.is_large_binary(column.type) else np.int32
    ends = np.frombuffer(offsets, width)[column.offset : column.offset + len(column) + 1].tolist()
    view = memoryview(content)
    values: list[bytes | None] = [
        b"".join((_bytes_header(end - start), view[start:end])) for start, end in pairwise(ends)
    ]
    for place in np.flatnonzero(~np.asarray(column.is_valid())).tolist() if column.null_count else ():
        values[place] = b""
    return values


def _feature_of_column(column: pa.Array, name: str, kind: FeastType) -> Feature:
    if kind is FeastType.BYTES and (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        return Feature(name, values_of_bytes(column), [None] * len(column))
    return _feature(name, _protos(column, kind))


def _feature(name: str, values: Sequence[Value | None]) -> Feature:
    serialized = [None if value is None else value.SerializeToString() for value in values]
    return Feature(name, serialized, [value and extract_text_and_num(value, False)[0] for value in values])


def _protos(column: pa.Array, kind: FeastType) -> list[Value]:
    """Feast's own conversion. Integers beside nulls stay integers, which numpy, and so Feast, makes floats."""
    beside_nulls = column.null_count and pa.types.is_integer(column.type)
    values = column.to_pylist() if beside_nulls else column.to_numpy(zero_copy_only=False)
    converted: list[Value] = python_values_to_proto_values(values, kind)
    return converted


def _times(column: pa.Array, name: str) -> list[datetime]:
    """In UTC, without a zone, to the microsecond."""
    if column.null_count:
        raise ValueError(f"expected a time in every row of {name}, found {column.null_count} without; give them one")
    times: list[datetime] = column.to_numpy(zero_copy_only=False).astype("datetime64[us]").tolist()
    return times


@lru_cache(maxsize=4096)
def _text_header(size: int) -> bytes:
    return ValueType.STRING.to_bytes(4, "little") + size.to_bytes(4, "little")


@lru_cache(maxsize=65_536)
def _bytes_header(size: int) -> bytes:
    """Field 1, length-delimited, and the length (https://protobuf.dev/programming-guides/encoding)."""
    digits = bytearray(b"\x0a")
    while size > 0x7F:  # base 128, lowest first
        digits.append(size & 0x7F | 0x80)
        size >>= 7
    digits.append(size)
    return bytes(digits)
