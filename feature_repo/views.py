"""The feature views: one an enriched table, of the same name, with the columns declared in enrich/tables.py as fields.

Training joins every view on two clocks (relevance/training_frame.py says at which moments). Content is true of a pin
until it changes, and so is what boards say; what the log said expires. Feast does not apply a TTL online:
`enrich serving` does, when it packs the other views' latest values into pin_serving and query_serving for the scorer.
"""

from datetime import timedelta

import pyarrow as pa
from entities import pin, query
from feast import Entity, FeatureView, Field
from feast.types import Array, Bytes, FeastType, Float32, Int64, String
from sources import source

from enrich import tables
from enrich.tables import Table

FOREVER = timedelta(0)
THREE_YEARS = timedelta(days=3 * 365)

FEAST_TYPES: dict[pa.DataType, FeastType] = {
    tables.STRING: String,
    tables.INT: Int64,
    tables.FLOAT: Float32,
    tables.BYTES: Bytes,
    tables.STRINGS: Array(String),
    tables.FLOATS: Array(Float32),
}


def view(
    table: Table, entities: list[Entity], ttl: timedelta, owner: str, signal: str, online: bool = True
) -> FeatureView:
    """The table as a view. `signal` (text, image, behaviour, label, packed) says what its values are made from."""
    return FeatureView(
        name=table.name,
        entities=entities,
        ttl=ttl,
        schema=[Field(name=c.name, dtype=FEAST_TYPES[c.type], description=c.description) for c in table.columns],
        source=source(table),
        online=online,
        description=table.description,
        owner=owner,
        tags={"kind": table.kind.value, "signal": signal, "writer": table.writer},
    )


# What the pin itself says and shows.
pin_text = view(tables.PIN_TEXT, [pin], ttl=FOREVER, owner="enrichment", signal="text")
pin_caption = view(tables.PIN_CAPTION, [pin], ttl=FOREVER, owner="enrichment", signal="image")
pin_visual_embedding = view(tables.PIN_VISUAL_EMBEDDING, [pin], ttl=FOREVER, owner="enrichment", signal="image")
pin_link = view(tables.PIN_LINK, [pin], ttl=FOREVER, owner="enrichment", signal="text")
pin_text_embedding = view(tables.PIN_TEXT_EMBEDDING, [pin], ttl=FOREVER, owner="enrichment", signal="text")

# What people do with it.
pin_boards = view(tables.PIN_BOARDS, [pin], ttl=FOREVER, owner="enrichment", signal="behaviour")
pin_graph = view(tables.PIN_GRAPH, [pin], ttl=FOREVER, owner="enrichment", signal="behaviour")
pin_queries = view(tables.PIN_QUERIES, [pin], ttl=THREE_YEARS, owner="enrichment", signal="behaviour")
pin_engagement = view(tables.PIN_ENGAGEMENT, [pin], ttl=THREE_YEARS, owner="enrichment", signal="behaviour")

# What is known of a query, and of a query with a pin.
query_features = view(tables.QUERY_FEATURES, [query], ttl=THREE_YEARS, owner="enrichment", signal="behaviour")
query_pin_engagement = view(
    tables.QUERY_PIN_ENGAGEMENT, [query, pin], ttl=THREE_YEARS, owner="enrichment", signal="behaviour"
)

# Labels are read from the offline store alone; which of the two wins is decided in relevance/training_frame.py.
judgment = view(tables.JUDGMENT, [query, pin], ttl=FOREVER, owner="relevance", signal="label", online=False)
soft_label = view(tables.SOFT_LABEL, [query, pin], ttl=FOREVER, owner="relevance", signal="label", online=False)

# For the scorer: all of the above in one read. Dated by packing, so that materialize-incremental suffices.
pin_serving = view(tables.PIN_SERVING, [pin], ttl=FOREVER, owner="relevance", signal="packed")
query_serving = view(tables.QUERY_SERVING, [query], ttl=FOREVER, owner="relevance", signal="packed")
