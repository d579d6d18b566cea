"""Rows of an Arrow batch in the online stores' layout: byte for byte what Feast's protobufs give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Bytes, Float32, Int64, String
from feast.utils import _convert_arrow_to_proto
from hypothesis import given
from hypothesis import strategies as st

from enrich.stores.online_rows import Rows, rows_of_batch, rows_of_protos, values_of_bytes

TIMES = pa.timestamp("us", "UTC")
PIN, QUERY = (Entity(name=n, join_keys=[n], value_type=ValueType.STRING) for n in ("pin_id", "query"))
NUMBER = Entity(name="number", join_keys=["number"], value_type=ValueType.INT64)


def view_of(entities: list[Entity], created: str | None, **types: object) -> FeatureView:
    source = FileSource(
        name="s", path="none.parquet", timestamp_field="event_timestamp", created_timestamp_column=created
    )
    keys = [Field(name=e.name, dtype=Int64 if e is NUMBER else String) for e in entities]
    fields = [Field(name=name, dtype=dtype) for name, dtype in types.items()]
    return FeatureView(name="v", entities=entities, schema=[*keys, *fields], source=source)


def both_ways(view: FeatureView, batch: pa.RecordBatch) -> tuple[Rows, Rows]:
    keys = {entity.name: entity.dtype.to_value_type() for entity in view.entity_columns}
    return rows_of_batch(batch, view, 3), rows_of_protos(_convert_arrow_to_proto(batch, view, keys), 3)


def batch_of(clocks: list[datetime], **columns: pa.Array) -> pa.RecordBatch:
    late = pa.array([clock + timedelta(microseconds=1) for clock in clocks], TIMES)
    return pa.record_batch({**columns, "event_timestamp": pa.array(clocks, TIMES), "created_timestamp": late})


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["x" * 300, "花瓶", "\0", "a\nb"]
)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
rows = st.lists(st.tuples(keys, keys, moments, st.none() | st.binary(max_size=200)), min_size=1, max_size=8)


@given(rows)
def test_packed_rows_of_one_key_and_of_two(drawn: list[tuple[str, str, datetime, bytes | None]]):
    pins, queries, clocks, payloads = map(list, zip(*drawn, strict=True))
    batch = batch_of(clocks, pin_id=pa.array(pins), query=pa.array(queries), payload=pa.array(payloads, pa.binary()))
    for entities in ([PIN], [QUERY, PIN]):
        for created in ("created_timestamp", None):
            mine, theirs = both_ways(view_of(entities, created, payload=Bytes), batch)
            assert mine == theirs
    view = view_of([PIN], None, payload=Bytes)
    cut = rows_of_batch(batch.slice(1), view, 3)  # a slice has offsets of its own
    if any(payloads[1:]):
        assert cut.features[0].values == rows_of_batch(batch, view, 3).features[0].values[1:]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_payloads_of_every_length_of_the_length(kind: pa.DataType):
    payloads = [b"x" * size for size in (0, 1, 127, 128, 16_383, 16_384, 3_000_000)]
    expected = [Value(bytes_val=payload).SerializeToString() for payload in payloads]
    assert values_of_bytes(pa.array([*payloads, None], kind)) == [*expected, b""]


typed = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        moments,
        st.none() | st.text("aé花", max_size=3),
        st.none() | st.lists(st.text("ab", max_size=2), max_size=3),
        st.none() | st.floats(width=32, allow_nan=False),
    ),
    min_size=1,
    max_size=6,
)


@given(typed)
def test_typed_rows_under_a_number(drawn: list[tuple[int, datetime, str | None, list[str] | None, float | None]]):
    numbers, clocks, texts, lists, floats = map(list, zip(*drawn, strict=True))
    view = view_of([NUMBER], "created_timestamp", text=String, texts=Array(String), rate=Float32)
    columns = {"text": pa.array(texts, pa.string()), "texts": pa.array(lists, pa.list_(pa.string()))}
    columns["rate"] = pa.array(floats, pa.float32())
    mine, theirs = both_ways(view, batch_of(clocks, number=pa.array(numbers, pa.int64()), **columns))
    assert mine == theirs


def test_big_integers_beside_nulls_stay_what_they_are():
    view = view_of([PIN], None, count=Int64)
    found = rows_of_batch(
        batch_of(
            [datetime(2025, 1, 1, tzinfo=UTC)] * 2, pin_id=pa.array(["a", "b"]), count=pa.array([2**62 + 1, None])
        ),
        view,
        3,
    )
    assert found.features[0].values == [Value(int64_val=2**62 + 1).SerializeToString(), b""]
    assert found.features[0].texts == [str(2**62 + 1), None]


def test_a_null_key_and_a_null_clock_are_refused_as_feast_refuses_them():
    view, at = view_of([PIN], None, payload=Bytes), datetime(2025, 1, 1, tzinfo=UTC)
    no_key = batch_of([at], pin_id=pa.array([None], pa.string()), payload=pa.array([b"x"]))
    with pytest.raises(ValueError, match="Value type not supported"):
        rows_of_batch(no_key, view, 3)
    no_clock = pa.record_batch({"pin_id": ["a"], "payload": [b"x"], "event_timestamp": pa.array([None], TIMES)})
    with pytest.raises(ValueError, match="a time in every row of event_timestamp"):
        rows_of_batch(no_clock, view, 3)
