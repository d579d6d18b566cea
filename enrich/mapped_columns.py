"""What a foreign log calls its columns and events.

    enrich import native DIR --map query=search_term --event view=impression

A column is `engagements.query`, or of the log just `query`; a field is a column of the file or a path into nested
objects, of JSON lines or parquet (`attributes.position.ordinal`). Each is named once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from enrich.errors import BadInput
from enrich.tables import ENGAGEMENTS, EVENTS, SOURCES, Table

_NESTED = "nested:"


def spelling(name: str) -> str:
    """A column's name as ours are written."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def nested(name: str) -> str:
    """The column of a frame that flags which values of the column `name` are objects or lists."""
    return f"{_NESTED}{spelling(name)}"


def called(wanted: str, names: Iterable[str]) -> str | None:
    """Of a file's columns the first that is so called, in whatever case, or else is spelt so (Pin ID); None of none."""
    every = list(names)
    alike = [name for name in every if name.lower() == wanted.lower()]
    return next(iter(alike or [name for name in every if spelling(name) == spelling(wanted)]), None)


class _Column(NamedTuple):
    table: str
    column: str
    field: str


class _Event(NamedTuple):
    written: str
    event: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """From a native folder's own names to ours."""

    columns: tuple[_Column, ...] = ()
    events: tuple[_Event, ...] = ()

    @classmethod
    def parse(cls, columns: Sequence[str], events: Sequence[str]) -> Mapping:
        """Of "TABLE.COLUMN=FIELD" and "WORD=EVENT". Raises BadInput for what names no column or event of ours, or says
        two things of one.
        """
        mapping = cls(tuple(map(_column, columns)), tuple(map(_event, events)))
        _refuse_twice("--map", [(f"{one.table}.{one.column}", one.field) for one in mapping.columns])
        _refuse_twice("--event", [(one.written.lower(), one.event) for one in mapping.events])
        return mapping

    @classmethod
    def of(cls, columns: Sequence[Sequence[str]], events: Sequence[Sequence[str]]) -> Mapping:
        """Of what `dataclasses.asdict` made of one."""
        return cls(tuple(_Column(*one) for one in columns), tuple(_Event(*one) for one in events))

    def field(self, table: Table, column: str) -> str | None:
        """What the file calls the column, where it was said."""
        return next((one.field for one in self.columns if (one.table, one.column) == (table.name, column)), None)

    def fields(self, table: Table) -> tuple[str, ...]:
        """What the table's mapping reads, as the file may call it: a column of that name, of a path its first step."""
        named = (one.field for one in self.columns if one.table == table.name)
        return tuple(dict.fromkeys(name for field in named for name in (field, field.partition(".")[0])))

    def apply(self, table: Table, frame: pl.LazyFrame, origin: str) -> pl.LazyFrame:
        """`frame` with our columns beside the file's. Raises BadInput, naming `origin`, for a field it lacks."""
        schema = frame.collect_schema()
        names = schema.names()
        made = {one.column: _read(one, schema, origin) for one in self.columns if one.table == table.name}
        flags = {nested(one.column): nested(one.field) for one in self.columns if one.table == table.name}
        taken = {*made, *flags}
        own = [name for name in names if spelling(name) not in taken]  # a column of the name that is mapped gives way
        made |= {flag: pl.col(written) for flag, written in flags.items() if written in names}
        mapped = frame.select(*own, **made) if made else frame
        if table is not ENGAGEMENTS or not self.events:
            return mapped
        column = called("event", mapped.collect_schema().names())
        if column is None:
            return mapped
        words = {one.written.lower(): one.event for one in self.events}
        written = pl.col(column).cast(pl.String).str.strip_chars()
        return mapped.with_columns(written.str.to_lowercase().replace_strict(words, default=written).alias(column))

    def notes(self) -> list[str]:
        """What was mapped, for the report."""
        said = [f"{one.table}.{one.column} is read from {one.field}" for one in self.columns]
        return said + [f"events: {one.written} is {one.event}" for one in self.events]


NO_MAPPING = Mapping()


def _read(one: _Column, schema: pl.Schema, origin: str) -> pl.Expr:
    written = called(one.field, schema.names())
    if written is not None:
        return pl.col(written)
    first, *steps = one.field.split(".")
    name = called(first, schema.names())
    value = _inside(pl.col(name), schema[name], steps) if name and steps else None
    if value is not None:
        return value
    raise BadInput(
        f"{origin}: expected a column {one.field!r} for {one.table}.{one.column}, found "
        f"{', '.join(_fields(schema)[:40]) or 'no columns'}; correct --map"
    )


def _inside(value: pl.Expr, dtype: pl.DataType, steps: Sequence[str]) -> pl.Expr | None:
    """What lies so many steps in an object, or in the JSON of a text; None where it has no such field."""
    if not steps:
        return value
    if isinstance(dtype, pl.Struct):
        fields = pl.Schema(dtype.to_schema())
        first, rest = steps[0], steps[1:]
        return _inside(value.struct.field(first), fields[first], rest) if first in fields else None
    if isinstance(dtype, (pl.List, pl.Array)):
        return None
    return value.cast(pl.String).str.json_path_match("$" + "".join(f"['{step}']" for step in steps))


def _fields(schema: pl.Schema) -> list[str]:
    return [
        f"{name}.{field.name}" if field else name
        for name, dtype in schema.items()
        if not name.startswith(_NESTED)
        for field in (dtype.fields if isinstance(dtype, pl.Struct) else (None,))
    ]


def _refuse_twice(flag: str, said: Sequence[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    for name, what in said:
        if name in first:
            raise BadInput(f"expected one {flag} for {name}, found two: {first[name]} and {what}; leave one out")
        first[name] = what


def _column(text: str) -> _Column:
    ours, _, field = text.partition("=")
    table, _, column = ours.rpartition(".")
    table = table or ENGAGEMENTS.name
    known = {(source.name, one.name) for source in SOURCES for one in source.columns}
    if not field.strip() or (table, column) not in known:
        names = ", ".join(one.name for one in ENGAGEMENTS.columns)
        raise BadInput(
            f"expected --map TABLE.COLUMN=FIELD (of the log: {names}), found {text!r}; name a source table's column"
        )
    return _Column(table, column, field.strip())


def _event(text: str) -> _Event:
    written, _, event = text.rpartition("=")
    if not written.strip() or event not in EVENTS:
        raise BadInput(f"expected --event WORD=EVENT with an event of {', '.join(EVENTS)}, found {text!r}; name one")
    return _Event(written.strip(), event)
