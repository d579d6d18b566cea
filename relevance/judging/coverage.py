"""Which share of the catalogue's pins has each input of the models, from `enrich.status`."""

from __future__ import annotations

from enrich.status import Status
from relevance.judging.figures import FieldCoverage
from relevance.text_fields import COLUMNS, Field


def _first(field: Field) -> tuple[str, str]:
    table, column = COLUMNS[field][0]
    return table.name, column


_INPUTS: tuple[tuple[str, str, str | None], ...] = (  # input, table, column; a vector is there where its row is
    *((str(field), *_first(field)) for field in Field),
    ("engagement", "pin_engagement", None),
    ("text embedding", "pin_text_embedding", None),
    ("visual embedding", "pin_visual_embedding", None),
    ("graph embedding", "pin_graph", None),
)


def field_coverage(status: Status) -> tuple[FieldCoverage, ...]:
    """Pins with each input, of all pins."""
    tables = {table.table: table for table in status.enriched}
    return tuple(
        FieldCoverage(
            name, tables[table].features[column] if column else tables[table].made, tables[table].expected or 0
        )
        for name, table, column in _INPUTS
    )
