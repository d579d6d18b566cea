"""Which share of the catalogue's pins has each input of the models, from `enrich.status`."""

from __future__ import annotations

from enrich.status import Status
from relevance.judging.figures import FieldCoverage

_INPUTS = (  # input, table, column; a vector is there wherever its row was made
    ("title", "pin_text", "title"),
    ("description", "pin_text", "description"),
    ("caption", "pin_caption", "caption"),
    ("link", "pin_link", "link_title"),
    ("boards", "pin_boards", "board_titles"),
    ("queries", "pin_queries", "engaged_queries"),
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
