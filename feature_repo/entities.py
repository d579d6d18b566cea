"""What features are of: a pin, a query, and, where a view names both, the pair of them."""

from feast import Entity, ValueType

pin = Entity(
    name="pin",
    join_keys=["pin_id"],
    value_type=ValueType.STRING,
    description="a pin of the catalogue, by its id",
)
query = Entity(
    name="query",
    join_keys=["query"],
    value_type=ValueType.STRING,
    description="a search query, by its normalised text (enrich.normalise.normalise_query)",
)
