"""Training rows to features, through the very bytes that serving reads.

Reads a student_v1 training frame (relevance/training_frame.py: the pairs' columns, then view__feature). Each row's pin
is packed and unpacked as `enrich serving` and the scorer do, its query likewise, and `features.features` does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from enrich.errors import BadInput
from enrich.pin_packing import pack_pins
from enrich.pin_payload import PinBatch, unpack_pins
from enrich.query_payload import PAIR_COLUMNS, QueryInputs, QueryValues, pack_query
from enrich.query_payload import unpack_query as unpack_query_payload
from relevance import pin_rows
from relevance.features import Bools, Features, Floats, Ints, Statistics, concatenate, features

_QUERY, _PAIR = "query_features__", "query_pin_engagement__"
_ROWS_AT_ONCE = 8192  # packed and unpacked together


class QueryEncoder(Protocol):
    """As enrich.text_encoder.TextEncoder."""

    dimension: int
    producer: str

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


class QueryGroup(NamedTuple):
    """Rows of one query at times when the same was known of it; no pin stands twice."""

    query: QueryInputs
    rows: Ints  # places in the frame
    rates: Floats  # [len(rows), len(PAIR_COLUMNS)]
    has_rates: Bools  # [len(rows)]


class StudentInputs(NamedTuple):
    """A training frame, unpacked: the pin of every row, and the rows of every query."""

    pins: PinBatch
    groups: tuple[QueryGroup, ...]

    def features(self, statistics: Statistics, dropped: Bools | None = None) -> Features:
        """In the frame's order; `dropped` [n, len(INPUTS)] leaves inputs out of rows."""
        pins = self.pins if dropped is None else pin_rows.without(self.pins, dropped[:, : len(pin_rows.PIN_INPUTS)])
        keep = np.ones(len(pins), np.bool_) if dropped is None else ~dropped[:, -1]
        batches = []
        for group in self.groups:
            has = group.has_rates & keep[group.rows]
            batches.append(
                features(group.query, pin_rows.take(pins, group.rows), group.rates * has[:, None], has, statistics)
            )
        return _reordered(concatenate(batches), np.concatenate([group.rows for group in self.groups]))


def student_inputs(frame: pl.DataFrame, encoder: QueryEncoder) -> StudentInputs:
    """The rows' pins and queries; queries without a stored vector are encoded, as at serving.

    Raises BadInput when there are no rows.
    """
    if frame.is_empty():
        raise BadInput("expected rows to train or score, found none; import judgments or run `relevance label`")
    columns = pin_columns(frame)
    payloads = [payload for some in columns.iter_slices(_ROWS_AT_ONCE) for payload in pack_pins(some)]
    return StudentInputs(unpack_pins(payloads), tuple(query_groups(frame, encoder)))


def query_groups(frame: pl.DataFrame, encoder: QueryEncoder) -> list[QueryGroup]:
    """The rows by query and by what was known of it; queries without a stored vector are encoded."""
    return _with_vectors(_groups(frame), encoder)


def asked_by(frame: pl.DataFrame, queries: pl.Series) -> pl.DataFrame:
    """The rows asked by these queries, one a row; of one that is not the row's own nothing is known."""
    known = [name for name in frame.columns if name.startswith((_QUERY, _PAIR))]
    other = queries != frame["query"]
    return frame.with_columns(
        queries.alias("query"), *(pl.when(~other).then(pl.col(name)).otherwise(None).alias(name) for name in known)
    )


def rounded(vector: Floats) -> Floats:
    """A query's vector as its payload would hold it (float16), so that encoding on the spot and reading back agree."""
    return vector.astype(np.float16).astype(np.float32)


def pin_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """A training frame's pin features under the names that `pack_pins` reads. Raises BadInput where it has none."""
    names = {
        column: column.split("__", 1)[1] for column in frame.columns if column.startswith("pin_") and "__" in column
    }
    if not names:
        raise BadInput("expected a training frame with pin features (pin_text__title, ...), found none; use student_v1")
    return frame.select(list(names)).rename(names)


def _rows_by_query(frame: pl.DataFrame) -> Iterator[Ints]:
    """Places of the rows that share a query, what was known of it, and no pin."""
    known = [column for column in frame.columns if column.startswith(_QUERY)]
    places = (
        frame.select("query", "pin_id", *(pl.col(column).hash().alias(column) for column in known))
        .with_row_index("place")
        .with_columns(turn=pl.col("pin_id").cum_count().over(["query", "pin_id", *known]))
        .group_by(["query", *known, "turn"], maintain_order=True)
        .agg("place")
    )
    for rows in places["place"]:
        yield rows.to_numpy().astype(np.int64)


def _groups(frame: pl.DataFrame) -> list[QueryGroup]:
    """The rows by query, each query and its rates packed and unpacked."""
    grouped = list(_rows_by_query(frame))
    pins, (rates, has_rates) = frame["pin_id"].to_list(), _rates(frame)
    known = [column for column in frame.columns if column.startswith(_QUERY)]
    firsts = frame.select("query", *known)[np.array([rows[0] for rows in grouped])]
    names = {column: column.removeprefix(_QUERY) for column in known}
    found = []
    for rows, (query, *first) in zip(grouped, firsts.iter_rows(), strict=True):
        values = _values(dict(zip(names.values(), first, strict=True)))
        kept = rows[has_rates[rows]]
        there = values is not None or len(kept) > 0
        payload = pack_query(values or QueryValues(), [pins[i] for i in kept], rates[kept]) if there else None
        unpacked = unpack_query_payload(payload, query)
        found.append(QueryGroup(unpacked, rows, *unpacked.rates_of([pins[i] for i in rows])))
    return found


def _values(first: dict[str, Any]) -> QueryValues | None:
    """What was known of a query; None when nothing was."""
    if all(value is None for value in first.values()):
        return None
    return QueryValues(
        embedding=first.get("query_embedding"),
        interests=first.get("interests"),
        shopping_intent=first.get("shopping_intent"),
        lang=first.get("lang"),
        frequency=first.get("frequency"),
    )


def _rates(rows: pl.DataFrame) -> tuple[Floats, Bools]:
    missing = [c for c in PAIR_COLUMNS if _PAIR + c not in rows.columns]
    if missing:
        return np.zeros((rows.height, len(PAIR_COLUMNS)), np.float32), np.zeros(rows.height, np.bool_)
    columns = rows.select(pl.col(_PAIR + column).cast(pl.Float32) for column in PAIR_COLUMNS)
    has = columns.select(pl.any_horizontal(pl.all().is_not_null())).to_series().to_numpy()
    return np.ascontiguousarray(columns.fill_null(0.0).to_numpy(), np.float32), has


def _with_vectors(groups: Sequence[QueryGroup], encoder: QueryEncoder) -> list[QueryGroup]:
    texts = sorted({group.query.query for group in groups if group.query.embedding is None})
    vectors = dict(zip(texts, rounded(encoder.encode(texts)), strict=True)) if texts else {}
    return [
        group
        if group.query.embedding is not None
        else group._replace(query=replace(group.query, embedding=vectors[group.query.query]))
        for group in groups
    ]


def _reordered(found: Features, places: Ints) -> Features:
    """`found` is in the order of `places`; give it in theirs."""
    back = np.argsort(places)
    return replace(
        found,
        query_of=found.query_of[back],
        text=found.text[back],
        visual=found.visual[back],
        graph=found.graph[back],
        numbers=found.numbers[back],
    )
