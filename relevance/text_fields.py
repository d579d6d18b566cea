"""The texts of a pin: their names, and the columns of the enriched tables in which they stand."""

from __future__ import annotations

from enum import StrEnum

from enrich import tables
from enrich.errors import BadInput
from enrich.tables import Table


class Field(StrEnum):
    """A text field of a pin, as the teacher and the student's matching features name it."""

    TITLE = "title"
    DESCRIPTION = "description"
    CAPTION = "caption"
    LINK = "link"
    BOARDS = "boards"
    QUERIES = "queries"


COLUMNS: dict[Field, tuple[tuple[Table, str], ...]] = {
    Field.TITLE: ((tables.PIN_TEXT, "title"),),
    Field.DESCRIPTION: ((tables.PIN_TEXT, "description"),),
    Field.CAPTION: ((tables.PIN_CAPTION, "caption"),),
    Field.LINK: ((tables.PIN_LINK, "link_title"), (tables.PIN_LINK, "link_description")),
    Field.BOARDS: ((tables.PIN_BOARDS, "board_titles"),),
    Field.QUERIES: ((tables.PIN_QUERIES, "engaged_queries"),),
}
CONTENT = (Field.TITLE, Field.DESCRIPTION, Field.CAPTION, Field.LINK)  # the pin's own; boards and queries are behaviour
TABLES = tuple(dict.fromkeys(table for columns in COLUMNS.values() for table, _ in columns))


def frame_columns(field: Field) -> tuple[str, ...]:
    """What a training frame calls the field's columns."""
    return tuple(f"{table.name}__{column}" for table, column in COLUMNS[field])


def named(names: str) -> tuple[Field, ...]:
    """The fields of `--fields A,B`. Raises BadInput for one that there is none of, or that is named twice."""
    found = [name.strip() for name in names.split(",")]
    for name in found:
        if name not in list(Field):
            raise BadInput(f"expected --fields among {', '.join(Field)}, found {name!r}")
    if len(set(found)) != len(found):
        raise BadInput(f"expected each of --fields once, found {names!r}")
    return tuple(map(Field, found))
