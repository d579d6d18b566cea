"""What a foreign log calls its columns and events.

    enrich import native DIR --map query=search_term --event view=impression

A column is `engagements.query`, or of the log just `query`; a field is a column of the file or, in JSON lines, a path
into nested objects (`attributes.position.ordinal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from enrich.errors import BadInput
from enrich.tables import ENGAGEMENTS, EVENTS, SOURCES, Table


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
        """Of "TABLE.COLUMN=FIELD" and "WORD=EVENT". Raises BadInput for what names no column or event of ours."""
        return cls(tuple(map(_column, columns)), tuple(map(_event, events)))

    @classmethod
    def of(cls, columns: Sequence[Sequence[str]], events: Sequence[Sequence[str]]) -> Mapping:
        """Of what `dataclasses.asdict` made of one."""
        return cls(tuple(_Column(*one) for one in columns), tuple(_Event(*one) for one in events))

    def field(self, table: Table, column: str) -> str | None:
        """What the file calls the column, where it was said."""
        return next((one.field for one in self.columns if (one.table, one.column) == (table.name, column)), None)

    def fields(self, table: Table) -> tuple[str, ...]:
        """The file's columns that the table's mapping reads: of a path its first step."""
        return tuple(one.field.partition(".")[0] for one in self.columns if one.table == table.name)

    def apply(self, table: Table, frame: pl.LazyFrame, origin: str) -> pl.LazyFrame:
        """`frame` with our columns beside the file's. Raises BadInput, naming `origin`, for a field it lacks."""
        names = frame.collect_schema().names()
        made = {one.column: _read(one, names, origin) for one in self.columns if one.table == table.name}
        own = [name for name in names if name.lower() not in made]  # a column of the name that is mapped gives way
        mapped = frame.select(*own, **made) if made else frame
        if table is not ENGAGEMENTS or not self.events:
            return mapped
        column = next((name for name in mapped.collect_schema().names() if name.lower() == "event"), None)
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


def _read(one: _Column, names: Sequence[str], origin: str) -> pl.Expr:
    written = {name.lower(): name for name in reversed(names)}
    if one.field.lower() in written:
        return pl.col(written[one.field.lower()])
    first, _, rest = one.field.partition(".")
    if rest and first.lower() in written:
        steps = "".join(f"['{step}']" for step in rest.split("."))
        return pl.col(written[first.lower()]).cast(pl.String).str.json_path_match(f"${steps}")
    raise BadInput(
        f"{origin}: expected a column {one.field!r} for {one.table}.{one.column}, found "
        f"{', '.join(names[:40]) or 'no columns'}; correct --map"
    )


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
