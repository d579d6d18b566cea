"""Payloads that were served, packed anew from the typed tables: of many logged requests at once, each payload once.

Reads pin_serving or query_serving, whose rows say which payload (by the hash of what it says) a key had from when on,
and the tables that it was packed from, as they stood at that row's packing: by both clocks and by when their rows were
written. `relevance/serving/replay.py` scores with what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import polars as pl

from enrich import parts
from enrich.payload import content_hash
from enrich.serving import PRODUCER
from enrich.tables import Table
from enrich.workspace import Workspace

NOT_KEPT = "its payload is in no table any more"
ANOTHER_LAYOUT = "its payload was packed in an older layout"
REWRITTEN = "the rows it was made from were rewritten or deleted since"

_SERVED = pl.Schema({"key": pl.String(), "hash": pl.String(), "at": pl.Datetime("us", "UTC")})
Pack = Callable[[Workspace, pl.DataFrame, datetime, datetime], pl.DataFrame]


class Served(NamedTuple):
    """What was served of a key at a moment."""

    key: str
    hash: str
    at: datetime


class Again(NamedTuple):
    payload: bytes | None
    reason: str | None  # why there is none


class PackedAgain:
    """Of one serving table; holds the payloads of the last call, and those alone."""

    def __init__(self, workspace: Workspace, table: Table, pack: Pack) -> None:
        self._workspace, self._table, self._pack = workspace, table, pack
        self._made: dict[tuple[str, datetime], Again] = {}  # by key and packing time, of which each has one row

    def of(self, served: Sequence[Served]) -> list[Again]:
        """The payload of each, in the order asked."""
        rows = self._rows(pl.DataFrame(served, _SERVED, orient="row"))
        told = rows.drop_nulls("packed")
        wanted = told.filter(producer=PRODUCER).select("key", "packed", "hash").unique().rows()
        known = {(key, at): self._made[key, at] for key, at, _ in wanted if (key, at) in self._made}
        self._made = known | self._pack_all([row for row in wanted if row[:2] not in known])
        older = told.filter(pl.col("producer") != PRODUCER).select("key", "packed").rows()
        self._made |= dict.fromkeys(older, Again(None, ANOTHER_LAYOUT))
        not_kept = Again(None, NOT_KEPT)
        found = rows.select("key", "packed").iter_rows()
        return [not_kept if at is None else self._made[key, at] for key, at in found]

    def _rows(self, served: pl.DataFrame) -> pl.DataFrame:
        """`served` with when its payload was packed, the last time before it was served; null where no row says so."""
        table = parts.scan(self._workspace.folder(self._table))
        named = table.select("producer", key=self._table.key[0], hash="input_hash", packed="event_timestamp")
        kept = named.join(served.lazy(), on=["key", "hash"], how="semi").sort("packed").collect()
        asked = served.with_row_index("place").sort("at")
        dated = asked.join_asof(
            kept, left_on="at", right_on="packed", by=["key", "hash"], coalesce=False, check_sortedness=False
        )
        return dated.sort("place")

    def _pack_all(self, wanted: Sequence[tuple[str, datetime, str]]) -> dict[tuple[str, datetime], Again]:
        found: dict[tuple[str, datetime], Again] = {}
        by_moment: dict[datetime, dict[str, str]] = {}
        for key, packed, said in wanted:
            by_moment.setdefault(packed, {})[key] = said
        for moment, hashes in by_moment.items():
            keys = pl.DataFrame({self._table.key[0]: sorted(hashes)})
            rows = self._pack(self._workspace, keys, moment, moment).select(self._table.key[0], "payload")
            made = dict(rows.iter_rows())
            for key, said in hashes.items():
                payload = made.get(key)
                same = payload is not None and content_hash(payload) == said
                found[key, moment] = Again(payload, None) if same else Again(None, REWRITTEN)
        return found
