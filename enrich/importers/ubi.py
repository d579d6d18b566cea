"""Reads User Behavior Insights (UBI 1.x): queries and events as bulk ndjson or parquet, and ESCI judgments as JSON.

    enrich import ubi PATH

PATH is a file or a folder; lines are told apart by what they hold (an action_name, a user_query, judgmentRatings). What
is empty counts as absent. Bulk's own lines are passed over, others that are neither queries nor events are dropped as
unreadable; a file that is mostly these, or events without an action, is refused.
Actions become events by `EVENT_OF_ACTION`; those about no object (searches, filters, exits) are left out and noted, and
unknown ones about an object dropped as such. An event that names no client is its query's client's, else a session
stands in for the user.
`position.ordinal` may be an object's field or the position itself; where one of them is 0, ordinals count from 0.
Pins are the objects seen in events and judgments, with the description that events carry, where they carry one.
Levels of judgments: 100, 10, 1, 0 are exact 5, substitute 4, complement 2, irrelevant 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl

from enrich import mostly_bad
from enrich.backends import spill_of_user, spill_under
from enrich.errors import BadInput
from enrich.importers import files, prose_and_levels
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.tables import ENGAGEMENTS, JUDGMENTS, PINS

EVENT_OF_ACTION = {
    **dict.fromkeys(("impression", "view"), "impression"),
    **dict.fromkeys(("click", "item_click", "product_click", "click_through"), "click"),
    **dict.fromkeys(("long_click", "dwell"), "long_click"),
    **dict.fromkeys(("save", "add_to_cart", "purchase", "add_to_list", "bookmark", "conversion"), "save"),
    **dict.fromkeys(("hide", "declined_product", "reject", "dismiss"), "hide"),
}
RATING_LEVELS = dict(zip((100.0, 10.0, 1.0, 0.0), prose_and_levels.LEVEL_OF_ESCI.values(), strict=True))

_MEMORY = "2GB"  # of the engine; what is more goes to the folder for temporary files
_FIELDS = {  # where a line has what we read of it, the first that says something; attributes may be JSON in a text
    "action": ("json->>'action_name'",),
    "query_id": ("json->>'query_id'",),
    "query": ("json->>'user_query'",),
    "user_hash": ("json->>'client_id'", "json->>'user_id'"),
    "session": ("json->>'session_id'", "attributes->>'session_id'", "attributes->'session'->>'session_id'"),
    "event_timestamp": ("json->>'timestamp'",),
    "pin_id": ("attributes->'object'->>'object_id'",),
    "position": ("attributes->'position'->>'ordinal'", "attributes->>'position'"),
    "description": ("attributes->'object'->>'description'", "attributes->'object'->>'name'"),
}
_BLANK = "".join(sign for sign in map(chr, range(0x3001)) if sign.isspace())
_KIND = """
    CASE WHEN action IS NOT NULL OR pin_id IS NOT NULL THEN 'event'
    WHEN query IS NOT NULL OR (query_id IS NOT NULL AND attributes IS NULL) THEN 'query' ELSE 'neither' END
"""
_BULK = (  # a line of a bulk file that says where the next one goes
    "json_keys(json) IN (['index'], ['create']) AND json_type(json, json_keys(json)[1]) = 'OBJECT'"
)
_RATINGS = 'STRUCT(query VARCHAR, ratings STRUCT("docId" VARCHAR, rating VARCHAR)[])[]'


def load(path: Path) -> RawCatalogue:
    """Pins, engagements and judgments. Raises BadInput when there is neither, or a file cannot be read.

    Lines are read once, into tables of an engine that spills; what is returned is read from there.
    """
    spill = str(spill_under(spill_of_user()))
    engine = duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": spill})
    documents = [file for file in files.within(path) if files.kind(file) in (*files.JSON_LINES, *files.PARQUET)]
    _read_lines(engine, documents)
    unreadable = _unreadable(engine, documents)
    _make_events(engine)
    _read_judgments(engine, [file for file in files.shown(path) if file.suffix == ".json"])
    _make_pins(engine)
    tallies = (
        "(SELECT count(*) FROM events WHERE known), (SELECT count(*) FROM judgments), count(*), count(*) - count(title)"
    )
    counts = engine.sql(f"SELECT {tallies} FROM pins").fetchall()[0]
    if not any(counts[:2]):
        raise BadInput(
            f"expected UBI events (ndjson, parquet) or judgments (json) in {path}, found none; check the path"
        )
    notes = _left_out(engine)
    notes.append("levels: ratings 100, 10, 1, 0 are 5, 4, 2, 1")
    notes.append(f"pins: {counts[3]:,} of {counts[2]:,} have no text, for no event describes them")
    engagements = "SELECT query, pin_id, event, position, user_hash, event_timestamp FROM events"
    return RawCatalogue(
        (
            RawTable(PINS, _rows(engine, "SELECT pin_id, title FROM pins"), str(path)),
            RawTable(ENGAGEMENTS, _rows(engine, engagements), str(path), unreadable),
            RawTable(JUDGMENTS, _rows(engine, "SELECT query, pin_id, level FROM judgments"), str(path)),
        ),
        tuple(notes),
    )


def _rows(engine: duckdb.DuckDBPyConnection, query: str) -> pl.LazyFrame:
    rows: pl.LazyFrame = engine.cursor().sql(query).pl(lazy=True)
    return rows


def _read_lines(engine: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """Every document's fields as strings, the kind of each line and the number of its document: the table `lines`."""
    engine.execute(f"CREATE MACRO said(value) AS nullif(trim(value, '{_BLANK}'), '')")
    columns = ", ".join(f"{name} VARCHAR" for name in _FIELDS)
    engine.execute(f"CREATE TABLE lines ({columns}, document INTEGER, kind VARCHAR)")
    said = {name: ", ".join(f"said({place})" for place in places) for name, places in _FIELDS.items()}
    fields = ", ".join(f"coalesce({places}) AS {name}" for name, places in said.items())
    for document, path in enumerate(paths):
        source = "SELECT json FROM read_ndjson_objects($path, ignore_errors=true)"
        if files.kind(path) in files.PARQUET:
            source = "SELECT to_json(t) AS json FROM read_parquet($path, hive_partitioning = false) t"
        found = (
            f"SELECT {fields}, attributes FROM (SELECT json, TRY_CAST(json->>'event_attributes' AS JSON) AS attributes "
            f"FROM ({source}) WHERE ({_BULK}) IS NOT TRUE)"
        )
        insert = f"INSERT INTO lines SELECT {', '.join(_FIELDS)}, {document}, {_KIND} FROM ({found})"
        try:
            engine.execute(insert, {"path": str(path)})
        except duckdb.Error as error:
            raise files.unreadable(path, "UBI queries or events", error) from error


def _unreadable(engine: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> int:
    """How many lines are neither queries nor events. Raises BadInput for the document of which most are bad."""
    counts = "count(*), countif(kind = 'neither'), countif(kind = 'event' AND action IS NULL)"
    every = engine.sql(f"SELECT document, {counts} FROM lines GROUP BY document ORDER BY document").fetchall()
    for document, total, neither, without in every:
        dropped = Counter({"unreadable-line": neither, "missing-event": without})
        mostly_bad.refuse(str(paths[document]), ENGAGEMENTS.name, total - neither - without, +dropped)
    return sum(neither for _, _, neither, _ in every)


def _make_events(engine: duckdb.DuckDBPyConnection) -> None:
    """`events`: those about an object, as engagements with their query and description, where the action is not `known`
    under its own name, or under none; `others`: actions left out.
    """
    cases = " ".join(f"WHEN '{action}' THEN '{event}'" for action, event in EVENT_OF_ACTION.items())
    engine.execute(
        "CREATE TEMP TABLE asked AS SELECT query_id, min_by(query, (event_timestamp, query)) AS query, "
        "min_by(user_hash, (event_timestamp, query)) AS user_hash, "
        "min_by(session, (event_timestamp, query)) AS session FROM lines "
        "WHERE kind = 'query' AND query IS NOT NULL AND query_id IS NOT NULL GROUP BY query_id"
    )
    engine.execute(
        "CREATE TEMP TABLE others AS SELECT action, count(*) AS n FROM lines WHERE action IS NOT NULL AND "
        "pin_id IS NULL GROUP BY action"
    )
    engine.execute(  # an unknown action, or none, is dropped for itself, whether it has a query or not
        f"CREATE TABLE events AS SELECT (CASE lower(l.action) {cases} END) IS NOT NULL AS known, "
        "coalesce(l.query, a.query, CASE WHEN NOT known THEN 'none' END) AS query, l.pin_id, "
        f"CASE lower(l.action) {cases} ELSE l.action END AS event, "
        "TRY_CAST(l.position AS DOUBLE) AS position, "
        "coalesce(l.user_hash, a.user_hash, 'session:' || coalesce(l.session, a.session)) AS user_hash, "
        "coalesce(l.user_hash, a.user_hash) IS NULL AS unnamed, l.event_timestamp, l.description "
        "FROM lines l LEFT JOIN asked a ON l.query_id = a.query_id WHERE l.pin_id IS NOT NULL"
    )
    if engine.sql("SELECT bool_or(position = 0) FROM events WHERE known").fetchall()[0][0]:
        engine.execute("UPDATE events SET position = position + 1 WHERE position >= 0")


def _read_judgments(engine: duckdb.DuckDBPyConnection, paths: list[Path]) -> None:
    """`judgments`: query, pin_id, level of every rating; null where it is no rating of the four."""
    engine.execute("CREATE TABLE judgments (query VARCHAR, pin_id VARCHAR, level DOUBLE)")
    cases = " ".join(f"WHEN {rating} THEN {level}" for rating, level in RATING_LEVELS.items())
    for path in paths:
        query = f"""
            INSERT INTO judgments
            SELECT said(j.query), said(r."docId"), CASE TRY_CAST(r.rating AS DOUBLE) {cases} END
            FROM read_json($path, columns={{"judgmentRatings": '{_RATINGS}'}}),
                unnest("judgmentRatings") AS a(j), unnest(j.ratings) AS b(r)"""
        try:
            engine.execute(query, {"path": str(path)})
        except duckdb.Error as error:
            raise files.unreadable(path, "UBI judgments", error) from error


def _make_pins(engine: duckdb.DuckDBPyConnection) -> None:
    """`pins`: every object that was seen or judged, with the latest description that an event carries."""
    engine.execute(
        "CREATE TABLE pins AS SELECT pin_id, max_by(description, event_timestamp) AS title FROM "
        "(SELECT pin_id, description, event_timestamp FROM events WHERE known "
        "UNION ALL SELECT pin_id, NULL, NULL FROM judgments) WHERE pin_id IS NOT NULL GROUP BY pin_id ORDER BY pin_id"
    )


def _left_out(engine: duckdb.DuckDBPyConnection) -> list[str]:
    """Notes of the actions about no object, of those that are unknown, of the sessions that stand in for users, and of
    queries that can be found by no event.
    """
    notes = []
    unknown = "SELECT event, count(*) AS n FROM events WHERE NOT known AND event IS NOT NULL GROUP BY event"
    for actions, what in (("FROM others", "are about no object and left out"), (unknown, "have an unknown action")):
        found = engine.sql(f"SELECT * FROM ({actions}) ORDER BY 2 DESC, 1 DESC").fetchall()
        named = ", ".join(f"{action} {count:,}" for action, count in found[:8])
        notes += [f"{sum(n for _, n in found):,} events {what}: {named}"] if found else []
    sessions = engine.sql("SELECT count(*) FROM events WHERE known AND unnamed AND user_hash IS NOT NULL").fetchall()
    if sessions[0][0]:
        notes.append(f"{sessions[0][0]:,} events name no client: their sessions stand in for users")
    unfound = engine.sql("SELECT countif(query IS NULL OR query_id IS NULL) FROM lines WHERE kind = 'query'").fetchall()
    if unfound[0][0]:
        notes.append(f"{unfound[0][0]:,} queries have no words or no query_id: no event finds them")
    return notes
