"""What the scorer needs, packed: every pin's latest values in one payload, every known query's likewise.

Reads the enriched tables, `pins` and `deletions`; writes `pin_serving` and `query_serving` (`enrich serving`).

A value is a table's newest row of its key by event time, then by the time it could be known, among the rows whose two
clocks have passed and whose time to live has not. Only a payload that says something new gets a row, dated by its
packing, so that Feast's incremental materialization finds it. A pin that was deleted, and a query of which nothing is
left, get a row without payload and with the reason; the online store then answers for them as for unknown ones.

The work goes in slices of keys, each one atomic part, packed on every core where there are many: killed anywhere, the
next run goes on where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl

import enrich
from enrich import parts
from enrich.errors import BadInput
from enrich.job import JobReport
from enrich.live_pins import deleted_pins, live_pins
from enrich.payload import NEVER, VERSION, content_hash
from enrich.pin_packing import pack_pins
from enrich.progress import progress
from enrich.query_payload import PAIR_COLUMNS, QueryValues, pack_query
from enrich.tables import (
    FOREVER,
    PIN_BOARDS,
    PIN_CAPTION,
    PIN_ENGAGEMENT,
    PIN_GRAPH,
    PIN_LINK,
    PIN_QUERIES,
    PIN_SERVING,
    PIN_TEXT,
    PIN_TEXT_EMBEDDING,
    PIN_VISUAL_EMBEDDING,
    QUERY_FEATURES,
    QUERY_PIN_ENGAGEMENT,
    QUERY_SERVING,
    Table,
)
from enrich.workers import each
from enrich.workspace import Workspace

PIN_INPUTS = (
    PIN_TEXT,
    PIN_CAPTION,
    PIN_LINK,
    PIN_BOARDS,
    PIN_QUERIES,
    PIN_TEXT_EMBEDDING,
    PIN_VISUAL_EMBEDDING,
    PIN_GRAPH,
    PIN_ENGAGEMENT,
)
QUERY_INPUTS = (QUERY_FEATURES, QUERY_PIN_ENGAGEMENT)
PRODUCER = f"enrich.payload version {VERSION}"
LEFT = "not-in-catalogue"  # reason of a pin that is not there any more: deleted, or not in the last import
EXPIRED = "expired"  # reason of a key of which nothing is known any more

_QUERY_COLUMNS = ("query_embedding", "interests", "shopping_intent", "lang", "frequency", "created_timestamp", "until")
_UNTIL = {PIN_QUERIES: "queries_until", PIN_ENGAGEMENT: "engagement_until"}  # as `pack_pins` names them
_CLOCKS = ("event_timestamp", "created_timestamp")
_Pack = Callable[[Workspace, pl.DataFrame, datetime], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """How many keys are packed at once, and written as one part; and by how many processes."""

    pins_at_once: int = 10_000  # about 100 MB of values, in each process
    queries_at_once: int = 1_000  # with the values of up to MAX_PAIRS pins each
    processes: int | None = None  # None: one a core, where there are slices enough for it

    def __post_init__(self) -> None:
        if min(self.pins_at_once, self.queries_at_once, self.processes or 1) < 1:
            raise BadInput(
                "expected to pack at least 1 key at once by at least 1 process, found less; "
                "raise pins_at_once, queries_at_once, processes"
            )


class _Packed(NamedTuple):
    """What became of one slice of keys."""

    keys: int
    fresh: int
    made: int
    taken_back: Counter[str]  # by reason


def run_serving(workspace: Workspace, settings: ServingSettings) -> tuple[JobReport, JobReport]:
    """Bring `pin_serving` and `query_serving` up to date with the tables as they are now."""
    known = pl.concat([parts.scan(workspace.folder(table)).select("query") for table in QUERY_INPUTS])
    there = live_pins(workspace).select("pin_id")
    pins = _run(workspace, PIN_SERVING, there, pin_payloads, settings.pins_at_once, settings.processes)
    queries = _run(workspace, QUERY_SERVING, known, query_payloads, settings.queries_at_once, settings.processes)
    return pins, queries


def pin_payloads(
    workspace: Workspace, keys: pl.DataFrame, now: datetime, written: datetime | None = None
) -> pl.DataFrame:
    """pin_id and payload of those of `keys` (pin_id) that have rows at `now` and were not deleted.

    `written` leaves out rows that were written later, whatever their clocks say: to pack again what was packed then.
    """
    rows = keys.join(deleted_pins(workspace).collect(), on="pin_id", how="anti", maintain_order="left")
    known = [f"{table.name} known" for table in PIN_INPUTS]
    for table, name in zip(PIN_INPUTS, known, strict=True):
        values = latest_as_of(workspace, table, keys, now, written).rename({"created_timestamp": name})
        values = values.rename({"until": _UNTIL[table]}) if table in _UNTIL else values.drop("until")
        rows = rows.join(values, on="pin_id", how="left", maintain_order="left")
    rows = rows.with_columns(created_timestamp=pl.max_horizontal(known))
    rows = rows.filter(pl.col("created_timestamp").is_not_null())
    return rows.select("pin_id", payload=pl.Series(pack_pins(rows), dtype=pl.Binary))


def query_payloads(
    workspace: Workspace, keys: pl.DataFrame, now: datetime, written: datetime | None = None
) -> pl.DataFrame:
    """query and payload of those of `keys` (query) of which anything is known at `now`; `written` as above."""
    values = latest_as_of(workspace, QUERY_FEATURES, keys, now, written)
    values = values.filter(_any_known(column.name for column in QUERY_FEATURES.features))
    pairs = (
        latest_as_of(workspace, QUERY_PIN_ENGAGEMENT, keys, now, written)
        .filter(_any_known(PAIR_COLUMNS))
        .join(deleted_pins(workspace).collect(), on="pin_id", how="anti")
        .group_by("query")
        .agg(
            "pin_id",
            pl.col(PAIR_COLUMNS).cast(pl.Float32).fill_null(0.0),
            pl.col("until").dt.epoch("us").alias("pairs_until"),
            pairs_created_timestamp=pl.col("created_timestamp").max(),
        )
    )
    rows = (
        values.join(pairs, on="query", how="full", coalesce=True)
        .sort("query")
        .with_columns(
            pl.max_horizontal("created_timestamp", "pairs_created_timestamp").dt.epoch("us"),
            pl.col("until").dt.epoch("us").fill_null(NEVER),
        )
    )
    payloads = [
        _query_payload(*row) for row in rows.select(*_QUERY_COLUMNS, "pin_id", "pairs_until", *PAIR_COLUMNS).iter_rows()
    ]
    return rows.select("query", payload=pl.Series(payloads, dtype=pl.Binary))


def latest_as_of(
    workspace: Workspace, table: Table, keys: pl.DataFrame, now: datetime, written: datetime | None = None
) -> pl.DataFrame:
    """Key, features and `created_timestamp` of the newest row that is evidence at `now`, of each of `keys` with one.

    And `until`, the last moment at which it is (null: for ever). `keys` has the first column of the table's key; rows
    written after `written` are left out.
    """
    name = table.key[0]
    first, last = keys[name].min(), keys[name].max()
    rows = parts.scan(workspace.folder(table)).filter(
        pl.col(name).is_between(pl.lit(first, pl.String), pl.lit(last, pl.String)),
        *(pl.col(clock) <= now for clock in _CLOCKS),
    )
    if written is not None:
        rows = rows.filter(pl.col("written_at") <= written)
    if table.ttl != FOREVER:
        rows = rows.filter(pl.col("event_timestamp") >= now - table.ttl)
    newest = (  # which row it is, first: the values of older rows are not read
        rows.select(*table.key, *_CLOCKS)
        .join(keys.lazy(), on=name, how="semi")
        .sort(_CLOCKS)
        .unique(subset=list(table.key), keep="last")
    )
    values = rows.select(*table.key, *(column.name for column in table.features), *_CLOCKS)
    found = values.join(newest, on=[*table.key, *_CLOCKS], how="semi", maintain_order="left")
    found = found.unique(subset=list(table.key), keep="last", maintain_order=True)  # of equals, as Feast's join here
    until = pl.col("event_timestamp") + table.ttl if table.ttl != FOREVER else pl.lit(None, pl.Datetime("us", "UTC"))
    return found.with_columns(until=until).drop("event_timestamp").collect()


def _run(
    workspace: Workspace, table: Table, there: pl.LazyFrame, pack: _Pack, at_once: int, processes: int | None
) -> JobReport:
    """Pack the keys that are `there`; take back what is served of others."""
    key = table.key[0]
    served = parts.scan(workspace.folder(table)).select(key, there=pl.lit(False))
    keys = pl.concat([there.with_columns(there=pl.lit(True)), served])
    keys_in_order = keys.group_by(key).agg(pl.col("there").any()).sort(key).collect()
    slices = list(keys_in_order.iter_slices(at_once))
    fresh, made, taken_back = 0, 0, Counter[str]()
    with progress(keys_in_order.height, table.name) as bar:
        for done in each(partial(_pack_slice, workspace, table, pack), slices, processes):
            fresh, made = fresh + done.fresh, made + done.made
            taken_back += done.taken_back
            bar.update(done.keys)
    return JobReport(table.name, fresh, made, taken_back)


def _pack_slice(workspace: Workspace, table: Table, pack: _Pack, keys: pl.DataFrame) -> _Packed:
    """One part, of what is new of `keys` (key, there); its rows' date is the moment as of which they are packed, so
    that they can be packed again.
    """
    now = datetime.now(UTC)
    packed = pack(workspace, keys.filter("there").drop("there"), now)
    rows = _news(workspace, table, packed, keys, now)
    if rows.height:
        parts.append(workspace.folder(table), table, rows.to_arrow())
    reasons = rows["reason"].drop_nulls().to_list()
    made = rows.height - len(reasons)
    return _Packed(keys.height, packed.height - made, made, Counter(reasons))


def _news(workspace: Workspace, table: Table, packed: pl.DataFrame, keys: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The rows to write of `keys` (key, there): payloads that changed, and those taken back."""
    key = table.key[0]
    hashes = pl.Series([content_hash(payload) for payload in packed["payload"]], dtype=pl.String)
    packed = packed.with_columns(input_hash=hashes, reason=pl.lit(None, pl.String))
    before = _served(workspace, table, keys)
    changed = packed.join(before, on=[key, "input_hash"], how="anti", maintain_order="left")
    gone = before.filter(pl.col("reason").is_null()).join(packed, on=key, how="anti", maintain_order="left")
    gone = gone.join(keys.select(key, "there"), on=key, how="left", maintain_order="left")
    reason = pl.when("there").then(pl.lit(EXPIRED)).otherwise(pl.lit(LEFT))
    gone = gone.select(key, payload=pl.lit(None, pl.Binary), input_hash=reason, reason=reason)
    return _dated(table, pl.concat([changed, gone]), before, now)


def _served(workspace: Workspace, table: Table, keys: pl.DataFrame) -> pl.DataFrame:
    """Key, input_hash, reason and event_timestamp of what is served of `keys` now."""
    key = table.key[0]
    rows = parts.scan(workspace.folder(table)).select(key, "input_hash", "reason", *_CLOCKS)
    newest = rows.join(keys.lazy(), on=key, how="semi").sort(_CLOCKS).unique(subset=key, keep="last")
    return newest.drop("created_timestamp").collect()


def _dated(table: Table, rows: pl.DataFrame, before: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """`rows` with clocks and provenance: of the moment of packing, and after the row they replace even where a clock
    went back.
    """
    now = pl.lit(moment).cast(pl.Datetime("us", "UTC"))
    replaced = before.select(table.key[0], replaced="event_timestamp")
    after = pl.col("replaced") + pl.duration(microseconds=1)
    return (
        rows.join(replaced, on=table.key[0], how="left", maintain_order="left")
        .with_columns(event_timestamp=pl.max_horizontal(now, after), written_at=now)
        .with_columns(
            created_timestamp=pl.col("event_timestamp"),
            backfilled=pl.lit(False),
            producer=pl.lit(PRODUCER),
            code_version=pl.lit(enrich.__version__),
        )
        .select(table.schema.names)
    )


def _query_payload(
    embedding: list[float] | None,
    interests: list[str] | None,
    shopping_intent: float | None,
    lang: str | None,
    frequency: int | None,
    created_us: int,
    until_us: int,
    pin_ids: list[str] | None,
    pairs_until_us: list[int] | None,
    *rates: list[float] | None,
) -> bytes:
    """One query's columns (_QUERY_COLUMNS, its pairs' pins and expiries, then PAIR_COLUMNS of those) packed."""
    values = QueryValues(embedding, interests, shopping_intent, lang, frequency, created_us, until_us)
    if pin_ids is None:
        return pack_query(values)
    return pack_query(values, pin_ids, np.array(rates, np.float32).T, pairs_until_us)


def _any_known(columns: Iterable[str]) -> pl.Expr:
    return pl.any_horizontal(pl.col(name).is_not_null() for name in columns)
