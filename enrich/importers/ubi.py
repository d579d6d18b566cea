"""Reads User Behavior Insights (UBI 1.x): queries and events as bulk ndjson or parquet, and ESCI judgments as JSON.

    enrich import ubi PATH

PATH is a file or a folder; lines are told apart by what they hold (an action_name, a user_query, judgmentRatings).
Actions become events by `EVENT_OF_ACTION`; those about no object (searches, filters, exits) are left out and noted.
`position.ordinal` may be an object's field or the position itself; where one of them is 0, ordinals count from 0.
Pins are the objects seen in events and judgments, with the description that events carry, where they carry one.
Levels of judgments: 100, 10, 1, 0 are exact 5, substitute 4, complement 2, irrelevant 1.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl

from enrich.errors import BadInput
from enrich.importers import columns, files, mapping
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.tables import ENGAGEMENTS, JUDGMENTS, PINS, Table

EVENT_OF_ACTION = {
    **dict.fromkeys(("impression", "view"), "impression"),
    **dict.fromkeys(("click", "item_click", "product_click", "click_through"), "click"),
    **dict.fromkeys(("long_click", "dwell"), "long_click"),
    **dict.fromkeys(("save", "add_to_cart", "purchase", "add_to_list", "bookmark", "conversion"), "save"),
    **dict.fromkeys(("hide", "declined_product", "reject", "dismiss"), "hide"),
}
RATING_LEVELS = dict(zip((100.0, 10.0, 1.0, 0.0), mapping.LEVEL_OF_ESCI.values(), strict=True))

_FIELDS = {  # where a line has what we read of it; attributes may be an object or its JSON text
    "action": "json->>'action_name'",
    "query_id": "json->>'query_id'",
    "query": "json->>'user_query'",
    "user_hash": "coalesce(json->>'client_id', json->>'user_id')",
    "event_timestamp": "json->>'timestamp'",
    "pin_id": "attributes->'object'->>'object_id'",
    "position": "coalesce(attributes->'position'->>'ordinal', attributes->>'position')",
    "description": "coalesce(attributes->'object'->>'description', attributes->'object'->>'name')",
}
_RATINGS = 'STRUCT(query VARCHAR, ratings STRUCT("docId" VARCHAR, rating VARCHAR)[])[]'


def load(path: Path) -> RawCatalogue:
    """Pins, engagements and judgments. Raises BadInput when there is neither, or a file cannot be read."""
    documents = [file for file in files.within(path) if files.kind(file) in (*files.JSON_LINES, *files.PARQUET)]
    lines, unreadable = _lines(documents)
    judgments = _judgments(sorted(path.rglob("*.json")) if path.is_dir() else [path] if path.suffix == ".json" else [])
    events, other = _events(lines)
    if events.is_empty() and judgments.is_empty():
        raise BadInput(
            f"expected UBI events (ndjson, parquet) or judgments (json) in {path}, found none; check the path"
        )
    origin = str(path)
    engagements = events.drop("description", "action")
    described = events.filter(pl.col("description").is_not_null()).unique("pin_id", keep="last", maintain_order=True)
    ids = pl.concat([events["pin_id"], judgments["pin_id"]]).drop_nulls().unique(maintain_order=True).to_frame()
    pins = ids.join(described.select("pin_id", title="description"), on="pin_id", how="left", maintain_order="left")
    notes = [f"{other['len'].sum():,} events are about no object and left out: {_named(other)}"] if len(other) else []
    notes.append("levels: ratings 100, 10, 1, 0 are 5, 4, 2, 1")
    notes.append(f"pins: {pins['title'].null_count():,} of {len(pins):,} have no text, for no event describes them")
    return RawCatalogue(
        (
            _raw(PINS, pins, origin),
            RawTable(ENGAGEMENTS, engagements.lazy(), origin, unreadable),
            _raw(JUDGMENTS, judgments, origin),
        ),
        tuple(notes),
    )


def _raw(table: Table, frame: pl.DataFrame, origin: str) -> RawTable:
    return RawTable(table, frame.lazy(), origin)


def _lines(paths: list[Path]) -> tuple[pl.DataFrame, int]:
    """Every document's fields as strings, a bulk file's action lines left out, and the number of unreadable lines."""
    frames = [pl.DataFrame(schema=dict.fromkeys(_FIELDS, pl.String))]
    unreadable = 0
    for path in paths:
        source = "SELECT json FROM read_ndjson_objects($path, ignore_errors=true)"
        if files.kind(path) in files.PARQUET:
            source = "SELECT to_json(t) AS json FROM read_parquet($path) t"
        attributes = f"SELECT json, TRY_CAST(json->>'event_attributes' AS JSON) AS attributes FROM ({source})"
        fields = ", ".join(f"{expression} AS {name}" for name, expression in _FIELDS.items())
        query = f"SELECT json IS NULL AS unreadable, {fields} FROM ({attributes})"
        try:
            rows = duckdb.connect().sql(query, params={"path": str(path)}).pl()
        except duckdb.Error as error:
            raise files.unreadable(path, "UBI queries or events", error) from error
        unreadable += int(rows["unreadable"].sum())
        frames.append(rows.filter(~pl.col("unreadable")).drop("unreadable"))
    return pl.concat(frames), unreadable


def _events(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events as engagements, with their action and description; and the actions left out, [action, len]."""
    asked = lines.filter(pl.col("action").is_null() & pl.col("query").is_not_null()).unique("query_id", keep="first")
    joined = lines.filter(pl.col("action").is_not_null()).join(
        asked.select("query_id", asked="query"), on="query_id", how="left", maintain_order="left"
    )
    event = pl.col("action").str.to_lowercase().replace_strict(EVENT_OF_ACTION, default=None, return_dtype=pl.String)
    ordinal = columns.number(pl.col("position"), pl.String())
    known = joined.with_columns(event=event, position=ordinal, query=pl.coalesce("query", "asked"))
    about = pl.col("event").is_not_null() & pl.col("pin_id").is_not_null()
    first = known.filter(about)["position"].min()
    events = known.filter(about).with_columns(position=pl.col("position") + (1 if first == 0 else 0))
    other = known.filter(~about).group_by("action").len().sort("len", "action", descending=[True, False])
    return events.drop("asked", "query_id"), other


def _judgments(paths: list[Path]) -> pl.DataFrame:
    frames = [pl.DataFrame(schema={"query": pl.String, "pin_id": pl.String, "level": pl.Float64})]
    for path in paths:
        query = f"""
            SELECT j.query AS query, r."docId" AS pin_id, r.rating AS rating
            FROM read_json($path, columns={{"judgmentRatings": '{_RATINGS}'}}),
                unnest("judgmentRatings") AS a(j), unnest(j.ratings) AS b(r)"""
        try:
            rows = duckdb.connect().sql(query, params={"path": str(path)}).pl()
        except duckdb.Error as error:
            raise files.unreadable(path, "UBI judgments", error) from error
        rating = columns.number(pl.col("rating"), pl.String())
        level = rating.replace_strict(RATING_LEVELS, default=None, return_dtype=pl.Float64)
        frames.append(rows.select("query", "pin_id", level=level))
    return pl.concat(frames)


def _named(counts: pl.DataFrame) -> str:
    return ", ".join(f"{action} {count:,}" for action, count in counts.head(8).iter_rows())
