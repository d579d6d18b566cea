"""Lenient types: expressions that make a column of any type text, a time, a number or a flag, null where it cannot be.

Ids may be integers in the file, times ISO strings, dates or epochs, levels strings or floats.
"""

from __future__ import annotations

import polars as pl

from enrich.row_limits import DAYS, EPOCHS

_NESTED = (pl.List, pl.Array, pl.Struct, pl.Object)
_ISO = (  # 2024-3-1, 2024/03/01 10:00, 2024-03-01T10:00:00.123456Z, ... +02:00
    r"^(?<date>[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2})(?:[Tt ]\s*(?<hour>[0-9]{1,2}):(?<minute>[0-9]{2})"
    r"(?::(?<second>[0-9]{2})(?:[.,](?<fraction>[0-9]{1,9}))?)?\s*(?:[Zz]|UTC|GMT|(?<zone>[+-][0-9]{2}:?(?:[0-9]{2})?))?)?$"
)
_DAYS_WITH_A_YEAR = (-719_162, 2_932_896)  # since 1970: the first of year 1, the last of 9999
_TRUE = ("true", "t", "yes", "y", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "0", "0.0")
_UTC = pl.Datetime("us", "UTC")


def convertible(dtype: pl.DataType) -> bool:
    """Whether a column of this type can become text, a time, a number or a flag at all."""
    return not isinstance(dtype, _NESTED)


def text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """As a string; a whole float as its integer (an id column that once held nulls)."""
    if isinstance(dtype, pl.Float32 | pl.Float64):
        whole = (column == column.floor()) & (column.abs() < 2.0**53)
        integer = column.cast(pl.Int64, strict=False).cast(pl.String)
        return pl.when(whole).then(integer).when(column.is_finite()).then(column.cast(pl.String))
    return column.cast(pl.String, strict=False)


def number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """As a finite float64."""
    plain = column if dtype.is_numeric() else text(column, dtype).str.strip_chars()
    value = plain.cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def flag(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """As a boolean; also of yes/no, true/false, 1/0."""
    word = text(column, dtype).str.strip_chars().str.to_lowercase()
    return pl.when(word.is_in(_TRUE)).then(True).when(word.is_in(_FALSE)).then(False)


def time(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """As a UTC time in microseconds: one without a zone is UTC; a number is an epoch in s, ms, µs or ns by its size."""
    if isinstance(dtype, (pl.Datetime, pl.Date)):
        column = _nameable(column, dtype)
    if isinstance(dtype, pl.Datetime):
        zoned = column if dtype.time_zone else column.dt.replace_time_zone("UTC")
        return zoned.dt.convert_time_zone("UTC").cast(_UTC)
    if isinstance(dtype, pl.Date):
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if dtype.is_numeric():
        return _epoch(number(column, dtype))
    return pl.coalesce(_iso(text(column, dtype).str.strip_chars()), _epoch(number(column, dtype)))


def _nameable(column: pl.Expr, dtype: pl.Datetime | pl.Date) -> pl.Expr:
    """Null where the time is of no year from 1 to 9999: Polars ends the process over it when zones are changed."""
    a_day = 1 if isinstance(dtype, pl.Date) else {"ms": 86_400_000, "us": 86_400_000_000, "ns": 0}[dtype.time_unit]
    if not a_day:
        return column  # nanoseconds reach from 1677 to 2262
    first, last = (edge * a_day for edge in _DAYS_WITH_A_YEAR)
    return pl.when(column.to_physical().cast(pl.Int64).is_between(first, last)).then(column)


def _iso(column: pl.Expr) -> pl.Expr:
    part = column.str.extract_groups(_ISO).struct
    clock = [part.field(name).fill_null("00").str.zfill(2) for name in ("hour", "minute", "second")]
    day = part.field("date").str.replace_all("/", "-", literal=True)
    local = pl.concat_str(day, pl.lit(" "), clock[0], pl.lit(":"), clock[1], pl.lit(":"), clock[2])
    fraction = part.field("fraction").fill_null("0").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    zone = part.field("zone").str.replace(":", "", literal=True).str.pad_end(5, "0")
    minutes = zone.str.slice(1, 2).cast(pl.Int64) * 60 + zone.str.slice(3, 2).cast(pl.Int64)
    offset = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0)
    parsed = local.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    return (parsed + pl.duration(microseconds=fraction) - pl.duration(minutes=offset)).dt.replace_time_zone("UTC")


def _epoch(value: pl.Expr) -> pl.Expr:
    day = value.cast(pl.Int64, strict=False).cast(pl.String).str.to_datetime("%Y%m%d", strict=False, time_unit="us")
    scale = pl.lit(1e-3)
    for limit, factor in reversed(EPOCHS):
        scale = pl.when(value.abs() < limit).then(factor).otherwise(scale)
    micros = (value * scale).round().cast(pl.Int64, strict=False).cast(pl.Datetime("us"))
    is_day = value.is_between(*DAYS) & (value == value.floor())
    return pl.when(is_day).then(day).otherwise(micros).dt.replace_time_zone("UTC")
