"""A batch of rows as every online store of Feast's keeps it: keys and values in bytes, made without a protobuf a cell.

Two ways to the same rows: from the protobufs that Feast hands to `online_write_batch`, and from an Arrow batch, as
`streaming_engine.py` has it. Of an Arrow batch keys that are texts and features that are Bytes are put together here;
the rest goes through Feast's own conversion, a column at a time. Tests hold both ways equal, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol, runtime_checkable

import pyarrow as pa
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

_BYTES_FIELD = b"\x0a"  # how a protobuf Value that holds bytes begins: field 1, length-delimited
_VERSION = 3  # of key serialization; others are written by Feast's own code


class Cell(NamedTuple):
    feature: str
    value: bytes  # a Value's
    text: str | None  # what Feast's SQL stores keep beside it of texts and numbers


class Row(NamedTuple):
    key: bytes  # as `serialize_entity_key` makes it
    cells: tuple[Cell, ...]
    event: datetime  # in UTC where it has no zone
    created: datetime | None


@runtime_checkable
class ArrowWriter(Protocol):
    """An online store that takes Arrow batches beside Feast's lists of protobufs."""

    def write_arrow(self, config: RepoConfig, table: FeatureView, batch: pa.RecordBatch) -> None:
        """As `online_write_batch` of the batch's rows; the columns are the view's keys, features and clocks."""


def rows_of_protos(data: Protos, version: int) -> Iterator[Row]:
    """What Feast converted, serialized."""
    for key, values, event, created in data:
        cells = tuple(_cell(name, value) for name, value in values.items())
        yield Row(serialize_entity_key(key, entity_key_serialization_version=version), cells, event, created)


def rows_of_batch(batch: pa.RecordBatch, view: FeatureView, version: int) -> list[Row]:
    """The same of an Arrow batch. Raises ValueError for a null key or clock."""
    source = view.batch_source
    if source is None:
        raise ValueError(f"expected a view with a batch source, found none in {view.name}")
    _validate_vector_field_lengths(batch, view)
    columns = [_cells(batch.column(f.name), f.name, f.dtype.to_value_type()) for f in view.features]
    clocks = [c for c in (source.timestamp_field, source.created_timestamp_column) if c]
    events, *created = [_times(batch.column(name), name) for name in clocks]
    known: Iterable[datetime | None] = created[0] if created else [None] * len(batch)
    return list(map(Row, key_bytes(batch, view, version), zip(*columns, strict=True), events, known))


def key_bytes(batch: pa.RecordBatch, view: FeatureView, version: int) -> Iterable[bytes]:
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


def bytes_cells(payloads: list[bytes | None]) -> list[bytes]:
    """The protobuf Values of a Bytes column. As Feast's are, all are nothing where none has a byte."""
    if not any(payloads):
        return [b""] * len(payloads)
    return [b"" if p is None else b"".join((_BYTES_FIELD, _varint(len(p)), p)) for p in payloads]


def _cells(column: pa.Array, name: str, kind: FeastType) -> list[Cell]:
    if kind is FeastType.BYTES and pa.types.is_binary(column.type):
        return [Cell(name, value, None) for value in bytes_cells(column.to_pylist())]
    return [_cell(name, value) for value in _protos(column, kind)]


def _cell(name: str, value: Value) -> Cell:
    return Cell(name, value.SerializeToString(), extract_text_and_num(value, False)[0])


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
def _varint(number: int) -> bytes:
    """Base 128, lowest first (https://protobuf.dev/programming-guides/encoding/#varints)."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
