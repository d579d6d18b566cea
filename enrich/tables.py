"""Every source and enriched table: its columns, its grain and the command that writes it.

A table is a folder of parquet parts (`workspace.py` says where) that all carry exactly the schema declared here, so a
reader never guesses and a table that nobody filled is still there, typed, with no rows. Source tables hold what the
importers brought; enriched tables hold what the jobs made, each row with two clocks and its provenance (`PROVENANCE`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa

from enrich.errors import BadInput

TIMESTAMP = pa.timestamp("us", tz="UTC")
STRING = pa.string()
INT = pa.int64()
FLOAT = pa.float32()
DOUBLE = pa.float64()
BOOL = pa.bool_()
STRINGS = pa.list_(pa.string())
FLOATS = pa.list_(pa.float32())
BYTES = pa.binary()

EVENTS = ("impression", "click", "long_click", "save", "hide")
LEVELS = (1, 2, 3, 4, 5)
ENGAGEMENT_WINDOWS_DAYS = (30, 365)
FOREVER = timedelta(0)  # as Feast writes it: a row is evidence until the next one
LOG_TTL = timedelta(days=3 * 365)  # what the log said; past its longest window (2 years) with a year to spare


class Kind(StrEnum):
    """Which rule a table's clocks follow."""

    SOURCE = "source"
    CONTENT = "content"  # a function of the pin's own content; event = the content's time
    BEHAVIOUR = "behaviour"  # computed from the log at a snapshot; event = the snapshot
    LABEL = "label"  # event = the judgment's (or the labelled pair's) time
    SERVING = "serving"  # event = the packing time


class Column(NamedTuple):
    name: str
    type: pa.DataType
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One declared table. `key` is its grain; `writer` the command that fills it."""

    name: str
    kind: Kind
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    writer: str
    description: str
    ttl: timedelta = FOREVER  # how long after its event a row is evidence

    @property
    def schema(self) -> pa.Schema:
        extra = () if self.kind is Kind.SOURCE else PROVENANCE
        return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in (*self.columns, *extra)])

    @property
    def recency(self) -> tuple[str, str]:
        """The clocks by which rows of a key are newer or older, the first deciding.

        What became true last, and of that, what could be known last. A corrected label may be dated before the one that
        it corrects, so among labels the last that could be known counts.
        """
        clocks = ("event_timestamp", "created_timestamp")
        return clocks if self.kind is not Kind.LABEL else (clocks[1], clocks[0])

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that are neither key nor provenance."""
        return tuple(c for c in self.columns if c.name not in self.key)


PROVENANCE = (
    Column("event_timestamp", TIMESTAMP, "when the values became true of the key", required=True),
    Column("created_timestamp", TIMESTAMP, "when the values could be known", required=True),
    Column("written_at", TIMESTAMP, "wall time of the write", required=True),
    Column("backfilled", BOOL, "written later than it could be known", required=True),
    Column("producer", STRING, "model id and revision, or rule and its settings", required=True),
    Column("code_version", STRING, "corkboard version that wrote the row", required=True),
    Column("input_hash", STRING, "hash of what the values were made from", required=True),
    Column("reason", STRING, "why the values could not be made (made anew: the last ones stay); null when they were"),
)


def _source(name: str, key: tuple[str, ...], description: str, *columns: Column) -> Table:
    return Table(name, Kind.SOURCE, key, columns, "enrich import", description)


PINS = _source(
    "pins",
    ("pin_id",),
    "the catalogue, one row a pin",
    Column("pin_id", STRING, "the pin's id", required=True),
    Column("title", STRING, "as its owner wrote it"),
    Column("description", STRING, "as its owner wrote it"),
    Column("image_uri", STRING, "path, file:, http(s):, s3:"),
    Column("link_url", STRING, "the page the pin links to"),
    Column("lang", STRING, "ISO 639-1 of the pin's own text"),
    Column("category", STRING, "the catalogue's own category"),
    Column("created_at", TIMESTAMP, "when the pin was made", required=True),
    Column("updated_at", TIMESTAMP, "when its content last changed"),
)
BOARDS = _source(
    "boards",
    ("board_id",),
    "titled collections of pins",
    Column("board_id", STRING, "the board's id", required=True),
    Column("title", STRING, "as its owner wrote it", required=True),
    Column("owner_hash", STRING, "pseudonymous owner"),
    Column("created_at", TIMESTAMP, "when the board was made", required=True),
)
BOARD_PINS = _source(
    "board_pins",
    ("board_id", "pin_id"),
    "which pin was saved to which board, and when",
    Column("board_id", STRING, "the board", required=True),
    Column("pin_id", STRING, "the pin", required=True),
    Column("saved_at", TIMESTAMP, "when it was saved", required=True),
)
ENGAGEMENTS = _source(
    "engagements",
    ("query", "pin_id", "event", "event_timestamp"),
    "the search log, one row an event",
    Column("query", STRING, "as typed", required=True),
    Column("pin_id", STRING, "the pin shown", required=True),
    Column("event", STRING, "impression, click, long_click, save or hide", required=True),
    Column("position", INT, "rank at which it was shown, from 1"),
    Column("user_hash", STRING, "pseudonymous user"),
    Column("country", STRING, "ISO 3166 alpha-2"),
    Column("lang", STRING, "ISO 639-1 of the query"),
    Column("event_timestamp", TIMESTAMP, "when it happened", required=True),
)
JUDGMENTS = _source(
    "judgments",
    ("query", "pin_id", "annotator_id"),
    "human grades, one row a vote",
    Column("query", STRING, "as shown to the annotator", required=True),
    Column("pin_id", STRING, "the pin graded", required=True),
    Column("level", DOUBLE, "1 highly irrelevant .. 5 highly relevant; between them when mapped", required=True),
    Column("annotator_id", STRING, "who graded"),
    Column("judged_at", TIMESTAMP, "when", required=True),
    Column("lang", STRING, "ISO 639-1 of the query"),
)
INTERESTS = _source(
    "interests",
    ("interest_id",),
    "the taxonomy that queries are mapped onto",
    Column("interest_id", STRING, "the interest's id", required=True),
    Column("name", STRING, "its name", required=True),
    Column("is_shopping", BOOL, "whether people buy in it", required=True),
)
DELETIONS = _source(
    "deletions",
    ("kind", "id"),
    "what must be forgotten",
    Column("kind", STRING, "pin, board or user", required=True),
    Column("id", STRING, "its id (or user hash)", required=True),
    Column("deleted_at", TIMESTAMP, "when", required=True),
)
EXPERIMENT_LOG = _source(
    "experiment_log",
    ("request_id", "pin_id", "event"),
    "an online experiment's events",
    Column("request_id", STRING, "the search request", required=True),
    Column("session_id", STRING, "the session", required=True),
    Column("user_hash", STRING, "pseudonymous user"),
    Column("arm", STRING, "control or a treatment's name", required=True),
    Column("country", STRING, "ISO 3166 alpha-2"),
    Column("lang", STRING, "ISO 639-1"),
    Column("query", STRING, "as typed", required=True),
    Column("pin_id", STRING, "the pin shown", required=True),
    Column("position", INT, "rank from 1"),
    Column("event", STRING, "as in engagements", required=True),
    Column("event_timestamp", TIMESTAMP, "when it happened", required=True),
)

PIN_ID = Column("pin_id", STRING, "the pin's id", required=True)
QUERY = Column("query", STRING, "the normalised query (enrich.normalise.normalise_query)", required=True)


def _rates(suffix: str) -> tuple[Column, ...]:
    counts = tuple(Column(f"{event}s_{suffix}", INT, f"{event} events in the window") for event in EVENTS)
    rates = tuple(
        Column(f"{event}_rate_{suffix}", FLOAT, f"smoothed {event}s per impression in the window")
        for event in EVENTS[1:]
    )
    return counts + rates


def _pin(name: str, kind: Kind, writer: str, description: str, *features: Column, ttl: timedelta = FOREVER) -> Table:
    return Table(name, kind, ("pin_id",), (PIN_ID, *features), writer, description, ttl)


PIN_TEXT = _pin(
    "pin_text",
    Kind.CONTENT,
    "enrich texts",
    "the owner's own words",
    Column("title", STRING, "title, white space collapsed"),
    Column("description", STRING, "description, white space collapsed"),
    Column("lang", STRING, "ISO 639-1, as given or identified"),
    Column("category", STRING, "the catalogue's own category"),
)
PIN_CAPTION = _pin(
    "pin_caption",
    Kind.CONTENT,
    "enrich captions",
    "what the image shows, in words",
    Column("caption", STRING, "generated by the captioner"),
    Column("caption_rule", STRING, "loop-cut where it went round in circles and was cut; null of all others"),
)
PIN_VISUAL_EMBEDDING = _pin(
    "pin_visual_embedding",
    Kind.CONTENT,
    "enrich captions",
    "what the image shows, as a vector",
    Column("visual_embedding", FLOATS, "unit length; the captioner's vision tower"),
)
PIN_LINK = _pin(
    "pin_link",
    Kind.CONTENT,
    "enrich links",
    "what the linked page says of itself",
    Column("link_title", STRING, "the page's title without the site's name"),
    Column("link_description", STRING, "the page's own summary"),
    Column("site_name", STRING, "the site's name"),
    Column("title_rule", STRING, "which rule gave the title"),
    Column("description_rule", STRING, "which rule gave the description"),
)
PIN_TEXT_EMBEDDING = _pin(
    "pin_text_embedding",
    Kind.CONTENT,
    "enrich embeddings",
    "the content texts as a vector",
    Column("text_embedding", FLOATS, "unit length; of title, description, caption, link"),
)
PIN_BOARDS = _pin(
    "pin_boards",
    Kind.BEHAVIOUR,
    "enrich boards",
    "the titles under which people saved the pin",
    Column("board_titles", STRINGS, "at most 10, best first"),
    Column("board_count", INT, "boards that hold the pin"),
)
PIN_QUERIES = _pin(
    "pin_queries",
    Kind.BEHAVIOUR,
    "enrich queries",
    "the queries that people engaged with the pin for",
    Column("engaged_queries", STRINGS, "at most 20, best first"),
    Column("engaged_query_scores", FLOATS, "their engagement scores, same order"),
    ttl=LOG_TTL,
)
PIN_ENGAGEMENT = _pin(
    "pin_engagement",
    Kind.BEHAVIOUR,
    "enrich engagement",
    "how people engage with the pin",
    *(column for days in ENGAGEMENT_WINDOWS_DAYS for column in _rates(f"{days}d")),
    ttl=LOG_TTL,
)
PIN_GRAPH = _pin(
    "pin_graph",
    Kind.BEHAVIOUR,
    "enrich graph",
    "the pin's neighbourhood over boards, as a vector",
    Column("graph_embedding", FLOATS, "unit length; importance-pooled content vectors of its neighbours"),
)
QUERY_FEATURES = Table(
    "query_features",
    Kind.BEHAVIOUR,
    ("query",),
    (
        QUERY,
        Column("query_embedding", FLOATS, "unit length"),
        Column("interests", STRINGS, "interest ids, best first, at most 3"),
        Column("shopping_intent", FLOAT, "0..1, share of the interests' weight that is shopping"),
        Column("lang", STRING, "ISO 639-1"),
        Column("frequency", INT, "distinct searches in the window"),
    ),
    "enrich queries",
    "what is known of a query",
    ttl=LOG_TTL,
)
QUERY_PIN_ENGAGEMENT = Table(
    "query_pin_engagement",
    Kind.BEHAVIOUR,
    ("query", "pin_id"),
    (QUERY, PIN_ID, *_rates("365d")),
    "enrich engagement",
    "how people engage with the pin when they ask the query",
    ttl=LOG_TTL,
)
JUDGMENT = Table(
    "judgment",
    Kind.LABEL,
    ("query", "pin_id"),
    (
        QUERY,
        PIN_ID,
        Column("level", INT, "gold: the annotators' mean, half up"),
        Column("votes", FLOATS, "the annotators' levels, ascending"),
        Column("lang", STRING, "ISO 639-1 of the query"),
    ),
    "enrich judgments",
    "gold levels",
)
SOFT_LABEL = Table(
    "soft_label",
    Kind.LABEL,
    ("query", "pin_id"),
    (
        QUERY,
        PIN_ID,
        Column("probabilities", FLOATS, "five, levels 1..5, sum 1"),
        Column("stratum", STRING, "where the pair was sampled from"),
    ),
    "relevance label",
    "the teacher's softmax on unlabelled pairs",
)
PIN_SERVING = _pin(
    "pin_serving",
    Kind.SERVING,
    "enrich serving",
    "all that scoring needs of a pin, packed",
    Column("payload", BYTES, "see enrich/pin_payload.py"),
)
QUERY_SERVING = Table(
    "query_serving",
    Kind.SERVING,
    ("query",),
    (QUERY, Column("payload", BYTES, "see enrich/query_payload.py")),
    "enrich serving",
    "all that scoring needs of a known query, packed, with its pairs' rates",
)

SOURCES = (PINS, BOARDS, BOARD_PINS, ENGAGEMENTS, JUDGMENTS, INTERESTS, DELETIONS, EXPERIMENT_LOG)
ENRICHED = (
    PIN_TEXT,
    PIN_CAPTION,
    PIN_VISUAL_EMBEDDING,
    PIN_LINK,
    PIN_BOARDS,
    PIN_QUERIES,
    PIN_ENGAGEMENT,
    QUERY_PIN_ENGAGEMENT,
    PIN_TEXT_EMBEDDING,
    PIN_GRAPH,
    QUERY_FEATURES,
    JUDGMENT,
    SOFT_LABEL,
    PIN_SERVING,
    QUERY_SERVING,
)
TABLES = SOURCES + ENRICHED


def validate(table: Table, data: pa.Table, origin: str) -> pa.Table:
    """`data` with exactly `table`'s columns and types, in its order; unknown columns are dropped.

    Raises BadInput, naming `origin`, when a required column is missing or holds nulls, or a type cannot be converted.
    """
    arrays = [_column(table, field, data, origin) for field in table.schema]
    return pa.Table.from_arrays(arrays, schema=table.schema)


def _column(table: Table, field: pa.Field, data: pa.Table, origin: str) -> pa.ChunkedArray:
    if field.name not in data.column_names:
        if field.nullable:
            return pa.chunked_array([pa.nulls(data.num_rows, field.type)])
        raise BadInput(
            f"{origin}: table {table.name!r} needs a column {field.name!r} ({field.type}), found "
            f"{', '.join(data.column_names) or 'no columns'}; add it or map one onto it"
        )
    column = data.column(field.name)
    try:
        column = column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadInput(
            f"{origin}: column {table.name}.{field.name} must convert to {field.type}, found {column.type} ({error})"
        ) from error
    if not field.nullable and column.null_count:
        raise BadInput(
            f"{origin}: column {table.name}.{field.name} must have no nulls, found {column.null_count}; "
            "drop those rows or fill them"
        )
    return column
