"""The rules every imported row must meet, whatever format it came from, as expressions over a lazy frame.

A bad required value drops its row, a bad optional value is blanked and the row kept; both are counted under a reason
such as `missing-pin_id`, `impossible-created_at`, `too-long-query`, `unknown-event`, `outside-1-5-level`.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from enrich.errors import BadInput
from enrich.importers import columns
from enrich.importers.raw import RawTable
from enrich.importers.report import NESTED, ZERO_POSITION
from enrich.mapped_columns import called, nested
from enrich.row_limits import EPOCH, FUTURE, MAX_POSITION, most_characters
from enrich.tables import BOOL, DOUBLE, EVENTS, INT, LEVELS, STRING, TIMESTAMP, Column, Table

DROPPED = "_dropped"  # the reason for which the row is dropped, or null
BLANKED = "_blanked:"  # prefix of a flag a blankable column and reason

DELETABLE = ("pin", "board", "user")
_ZERO_LEVEL = "zero-level"


class Default(StrEnum):
    """What a required value becomes where the file has none."""

    START = "the start of the catalogue"
    END = "a day after the last time in the catalogue"
    FALSE = "false"


class Value(NamedTuple):
    """One column's cleaned value, and the conditions under which it is bad, with their reasons."""

    expression: pl.Expr
    problems: tuple[tuple[str, pl.Expr], ...]


def default(table: Table, column: Column) -> Default | None:
    """What stands in for a required value that is absent; None where the row cannot do without."""
    match table.name, column.name:
        case ("pins" | "boards", "created_at") | ("board_pins", "saved_at"):
            return Default.START
        case ("judgments", "judged_at") | ("deletions", "deleted_at"):
            return Default.END
        case ("interests", "is_shopping"):
            return Default.FALSE
        case _:
            return None


def clean(raw: RawTable) -> pl.LazyFrame:
    """The declared columns with their types, `_dropped`, and a `_blanked:REASON` flag for each value that was blanked.

    Values with a `default` are left null. Raises BadInput when a required column is missing or cannot be converted.
    """
    schema = raw.frame.collect_schema()
    kept: list[pl.Expr] = []
    drops: list[pl.Expr] = []
    blanks: list[pl.Expr] = []
    for column in raw.table.columns:
        name = called(column.name, schema.names())
        if name is None:
            kept.append(_absent(raw, column).alias(column.name))
            continue
        if not columns.convertible(schema[name]):
            raise BadInput(
                f"{raw.origin}: expected column {raw.table.name}.{column.name} to hold single values, found "
                f"{schema[name]}; flatten it"
            )
        value = _value(raw.table, column, pl.col(name), schema[name])
        if nested(name) in schema:
            value = _if_single(value, column, pl.col(nested(name)).fill_null(False))
        bad = pl.any_horizontal(*(condition for _, condition in value.problems)).fill_null(False)
        kept.append(pl.when(~bad).then(value.expression).alias(column.name))
        if column.required:
            drops.extend(_reason(reason, condition) for reason, condition in value.problems)
            if default(raw.table, column) is None:
                drops.append(_reason(f"missing-{column.name}", value.expression.is_null()))
        else:
            blanks.extend(
                condition.fill_null(False).alias(f"{BLANKED}{reason}") for reason, condition in value.problems
            )
    dropped = pl.coalesce(*drops, pl.lit(None, pl.String)).alias(DROPPED)
    return raw.frame.select(*kept, dropped, *blanks)


def refuse_other_scale(raw: RawTable, staged: Path, dropped: Counter[str]) -> None:
    """Raises BadInput where a level is 0 and none is the highest: then all are grades of another scale.

    `staged` is the parquet file of the rows, cleaned. Beside levels up to the highest a 0 is a bad row.
    """
    zeros = dropped[_ZERO_LEVEL]
    if not zeros:
        return
    highest = pl.scan_parquet(staged).select(pl.col("level").max()).collect(engine="streaming").item()
    if highest is None or highest < LEVELS[-1]:
        raise BadInput(
            f"{raw.origin}: expected levels {LEVELS[0]}..{LEVELS[-1]}, found grades from 0 ({zeros:,} of 0, none of "
            f"{LEVELS[-1]}); write each as 1 + 4 · grade / the highest there can be, or leave the rows of 0 out if "
            "they are no grades"
        )


def _absent(raw: RawTable, column: Column) -> pl.Expr:
    if column.required and default(raw.table, column) is None:
        found = ", ".join((raw.columns or tuple(raw.frame.collect_schema().names()))[:40]) or "no columns"
        raise BadInput(
            f"{raw.origin}: table {raw.table.name!r} needs a column {column.name!r} ({column.description}), "
            f"found {found}; add it, or name the column that holds it: --map {raw.table.name}.{column.name}=COLUMN"
        )
    return pl.lit(None, _polars_type(column.type))


def _if_single(value: Value, column: Column, nested: pl.Expr) -> Value:
    """With what is an object or a list for a problem of its own."""
    others = tuple((reason, condition & ~nested) for reason, condition in value.problems)
    return Value(value.expression, ((f"{NESTED}{column.name}", nested), *others))


def _value(table: Table, column: Column, source: pl.Expr, dtype: pl.DataType) -> Value:
    if column.type == TIMESTAMP:
        return _time(column, source, dtype)
    if column.type == BOOL:
        flag = columns.flag(source, dtype)
        return Value(flag, ((f"not-a-flag-{column.name}", _given(source, dtype) & flag.is_null()),))
    if column.type == DOUBLE:
        return _level(column, source, dtype)
    if column.type == INT:
        return _position(column, source, dtype)
    assert column.type == STRING, f"no rule for {table.name}.{column.name}"
    return _text(column, source, dtype)


def _time(column: Column, source: pl.Expr, dtype: pl.DataType) -> Value:
    time = columns.time(source, dtype)
    possible = time.is_between(pl.lit(EPOCH), pl.lit(datetime.now(UTC) + FUTURE))
    if column.name == "event_timestamp":
        possible &= time != pl.lit(EPOCH)
    bad = _given(source, dtype) & ~possible.fill_null(False)
    return Value(time, ((f"impossible-{column.name}", bad),))


def _level(column: Column, source: pl.Expr, dtype: pl.DataType) -> Value:
    level = columns.number(source, dtype)
    bad = _given(source, dtype) & ~level.is_between(LEVELS[0], LEVELS[-1]).fill_null(False)
    return Value(level, ((_ZERO_LEVEL, level == 0), (f"outside-1-5-{column.name}", bad)))


def _position(column: Column, source: pl.Expr, dtype: pl.DataType) -> Value:
    number = columns.number(source, dtype)
    possible = number.is_between(1, MAX_POSITION) & (number == number.floor())
    bad = _given(source, dtype) & ~possible.fill_null(False)
    zero = number == 0
    problems = ((ZERO_POSITION, zero), (f"impossible-{column.name}", bad & ~zero.fill_null(False)))
    return Value(number.cast(pl.Int64, strict=False), problems)


def _text(column: Column, source: pl.Expr, dtype: pl.DataType) -> Value:
    name = column.name
    text = columns.text(source, dtype)
    stripped = text.str.strip_chars()
    filled = pl.when(stripped.str.len_chars() > 0)
    too_long = (f"too-long-{name}", stripped.str.len_chars() > most_characters(name))
    if name == "event":
        event = filled.then(stripped.str.to_lowercase().str.replace_all(r"[\s-]+", "_"))
        return Value(event, ((f"unknown-{name}", ~event.is_in(EVENTS)),))
    if name == "kind":
        kind = filled.then(stripped.str.to_lowercase())
        return Value(kind, ((f"unknown-{name}", ~kind.is_in(DELETABLE)),))
    if name == "lang":
        lang = stripped.str.to_lowercase().str.extract(r"^([a-z]{2,3})(?:[_-][a-z0-9_-]*)?$")
        return Value(lang, ((f"malformed-{name}", filled.then(lang.is_null())),))
    if name == "country":
        country = stripped.str.to_uppercase().str.extract(r"^([A-Z]{2})$")
        return Value(country, ((f"malformed-{name}", filled.then(country.is_null())),))
    if name == "id" or name.endswith(("_id", "_hash")):
        return Value(filled.then(stripped), (too_long, (f"malformed-{name}", stripped.str.contains(r"\p{Cc}"))))
    return Value(filled.then(stripped if name == "query" else text), (too_long,))


def _given(source: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.String):
        return source.str.strip_chars().str.len_bytes().fill_null(0) > 0
    return source.is_not_null()


def _reason(reason: str, condition: pl.Expr) -> pl.Expr:
    return pl.when(condition.fill_null(False)).then(pl.lit(reason))


def _polars_type(dtype: pa.DataType) -> pl.DataType:
    return pl.Series(pa.array([], dtype)).dtype
