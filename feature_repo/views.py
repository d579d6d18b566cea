"""The feature views: one an enriched table, of the same name, with the columns declared in enrich/tables.py as fields.

Training joins every view on two clocks (relevance/training_frame.py says at which moments). Content is true of a pin
until it changes, and so is what boards say; what the log said expires. Feast does not apply a TTL online:
`enrich serving` does, when it packs the other views' latest values into pin_serving and query_serving for the scorer.
"""

import pyarrow as pa
from entities import pin, query
from feast import Entity, FeatureView, Field
from feast.types import Array, Bytes, FeastType, Float32, Int64, String
from sources import source

from enrich import tables
from enrich.tables import Kind, Table

FEAST_TYPES: dict[pa.DataType, FeastType] = {
    tables.STRING: String,
    tables.INT: Int64,
    tables.FLOAT: Float32,
    tables.BYTES: Bytes,
    tables.STRINGS: Array(String),
    tables.FLOATS: Array(Float32),
}


def view(table: Table, entities: list[Entity], owner: str, signal: str) -> FeatureView:
    """The table as a view. `signal` (text, image, behaviour, label, packed) says what its values are made from."""
    return FeatureView(
        name=table.name,
        entities=entities,
        ttl=table.ttl,
        schema=[Field(name=c.name, dtype=FEAST_TYPES[c.type], description=c.description) for c in table.columns],
        source=source(table),
        online=table.kind is not Kind.LABEL,
        description=table.description,
        owner=owner,
        tags={"kind": table.kind.value, "signal": signal, "writer": table.writer},
    )


# What the pin itself says and shows.
pin_text = view(tables.PIN_TEXT, [pin], owner="enrichment", signal="text")
pin_caption = view(tables.PIN_CAPTION, [pin], owner="enrichment", signal="image")
pin_visual_embedding = view(tables.PIN_VISUAL_EMBEDDING, [pin], owner="enrichment", signal="image")
pin_link = view(tables.PIN_LINK, [pin], owner="enrichment", signal="text")
pin_text_embedding = view(tables.PIN_TEXT_EMBEDDING, [pin], owner="enrichment", signal="text")

# What people do with it.
pin_boards = view(tables.PIN_BOARDS, [pin], owner="enrichment", signal="behaviour")
pin_graph = view(tables.PIN_GRAPH, [pin], owner="enrichment", signal="behaviour")
pin_queries = view(tables.PIN_QUERIES, [pin], owner="enrichment", signal="behaviour")
pin_engagement = view(tables.PIN_ENGAGEMENT, [pin], owner="enrichment", signal="behaviour")

# What is known of a query, and of a query with a pin.
query_features = view(tables.QUERY_FEATURES, [query], owner="enrichment", signal="behaviour")
query_pin_engagement = view(tables.QUERY_PIN_ENGAGEMENT, [query, pin], owner="enrichment", signal="behaviour")

# Labels are read from the offline store alone; which of the two wins is decided in relevance/training_frame.py.
judgment = view(tables.JUDGMENT, [query, pin], owner="relevance", signal="label")
soft_label = view(tables.SOFT_LABEL, [query, pin], owner="relevance", signal="label")

# For the scorer: all of the above in one read. Dated by packing, so that materialize-incremental suffices.
pin_serving = view(tables.PIN_SERVING, [pin], owner="relevance", signal="packed")
query_serving = view(tables.QUERY_SERVING, [query], owner="relevance", signal="packed")
