"""A pin's neighbourhood over boards as a vector: `pin_graph`, one snapshot at a time.

Reads board_pins, boards, deletions and pin_text_embedding; writes pin_graph (`enrich graph`).

The vectors are pooled as importance_pooling.py says. Nothing is learned, so every snapshot shares one basis and a new
pin has a vector from its first board on. Only saves, and text vectors, from before the snapshot are seen, and the last
snapshot is the first that sees all saves and the vectors of their pins: content may be dated after the last save. A pin
on no board has no row.

A vector that moved less than `min_move` from the pin's last one is not written again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import ibis.expr.types as ir
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from enrich import parts, snapshots
from enrich.backends import BOUNDED, BackendLimits
from enrich.history import History, before, changes
from enrich.importance_pooling import Pooling, Vectors, pool
from enrich.job import JobReport
from enrich.snapshots import Computed, SnapshotSettings
from enrich.tables import PIN_GRAPH, PIN_TEXT_EMBEDDING
from enrich.workspace import Workspace

NO_VECTOR = "no-neighbour-with-text"
NO_VECTORS = "no-text-vectors-yet"  # of any pin: `enrich embeddings` makes them


@dataclass(frozen=True, slots=True)
class GraphSettings:
    pooling: Pooling = field(default_factory=Pooling)
    min_move: float = 0.002  # 1 - cosine from which a vector is written again
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    backend: BackendLimits = BOUNDED

    @property
    def producer(self) -> str:
        return f"graph/1 {self.pooling} min-move={self.min_move:g} cadence={self.snapshots.cadence_days}d"


class Content(NamedTuple):
    """Text vectors as known at one moment."""

    pin_ids: pl.Series
    vectors: Vectors  # [pins, d], unit length


def run_graph(workspace: Workspace, settings: GraphSettings) -> JobReport:
    """Bring pin_graph up to date with the saves and text vectors of before each due snapshot."""
    history = History(workspace, settings.backend)
    saves = history.saves().select("board_id", "pin_id", "saved_at")
    cadence = settings.snapshots
    embedded = history.source(PIN_TEXT_EMBEDDING)
    moved = changes(embedded, "created_timestamp", ("pin_id", "input_hash", "producer", "reason"), cadence)
    saved = changes(saves, "saved_at", ("board_id", "pin_id"), cadence)
    planned = snapshots.plan(saved, cadence, also=moved, until=_last_vector(embedded, saves))

    def compute(at: datetime, state: pl.DataFrame) -> Computed:
        content = _content_at(workspace, at)
        values, without = _pooled(before(saves, "saved_at", at), content, settings)
        reason = NO_VECTORS if content.pin_ids.is_empty() else NO_VECTOR
        return Computed(_settled(values, state, settings.min_move), +Counter({reason: without}))

    return snapshots.run(workspace, PIN_GRAPH, planned, compute, settings.producer, cadence)


def _last_vector(embedded: ir.Table, saves: ir.Table) -> datetime | None:
    """When the last text vector of a saved pin could be known."""
    known = embedded.semi_join(saves, "pin_id")
    last: datetime | None = known.agg(last=known.created_timestamp.max()).to_polars().item()
    return last


def _content_at(workspace: Workspace, at: datetime) -> Content:
    """Each pin's latest text vector that was known before `at`, of the encoder that made most of them."""
    rows = parts.scan(workspace.folder(PIN_TEXT_EMBEDDING)).filter(
        pl.col("created_timestamp") < at, pl.col("event_timestamp") < at
    )
    newest = rows.sort("event_timestamp", "created_timestamp").unique("pin_id", keep="last", maintain_order=True)
    known = newest.filter(pl.col("text_embedding").is_not_null()).sort("pin_id")
    frame = known.select("pin_id", "text_embedding", "producer").collect()
    if frame.is_empty():
        return Content(frame["pin_id"], np.zeros((0, 0), dtype=np.float32))
    common = frame["producer"].value_counts().sort("count", "producer", descending=True)["producer"][0]
    frame = frame.filter(pl.col("producer") == common)
    return Content(frame["pin_id"], _matrix(frame["text_embedding"]))


def _matrix(lists: pl.Series) -> Vectors:
    """[n, d] of lists of one length."""
    return np.asarray(lists.explode().to_numpy(), dtype=np.float32).reshape(len(lists), -1)


def _pooled(saves: ir.Table, content: Content, settings: GraphSettings) -> tuple[pl.DataFrame, int]:
    """pin_id, graph_embedding of each pin with a board; and how many have no vector to pool."""
    edges = saves.order_by("pin_id", "board_id").to_polars()
    pins = edges["pin_id"].unique().sort()
    boards = edges["board_id"].unique().sort()
    holds = sparse.csr_array(
        (np.ones(edges.height), (_places(edges["pin_id"], pins), _places(edges["board_id"], boards))),
        shape=(len(pins), len(boards)),
    )
    own = aligned(pins, content)
    vectors = pool(holds, own, settings.pooling)
    made = np.linalg.norm(vectors, axis=1) > 0
    values = pl.DataFrame(
        {"pin_id": pins.filter(pl.Series(made)), "graph_embedding": list(vectors[made])},
        schema={"pin_id": pl.String, "graph_embedding": pl.List(pl.Float32)},
    )
    return values, int((~made).sum())


def aligned(pins: pl.Series, content: Content) -> Vectors:
    """[pins, d]: the pins' text vectors, zeros where unknown."""
    own = np.zeros((len(pins), content.vectors.shape[1]), dtype=np.float32)
    known = content.pin_ids.is_in(pins.implode())
    own[_places(content.pin_ids.filter(known), pins)] = content.vectors[known.to_numpy()]
    return own


def _places(values: pl.Series, among: pl.Series) -> NDArray[np.int64]:
    """Where each value stands in `among`, sorted and unique."""
    return np.asarray(among.search_sorted(values).to_numpy(), dtype=np.int64)


def _settled(values: pl.DataFrame, state: pl.DataFrame, min_move: float) -> pl.DataFrame:
    """`values`, with a pin's last vector in place of one that hardly moved from it."""
    both = values.join(state.rename({"graph_embedding": "last"}).drop("reason"), on="pin_id", how="left")
    known = both.filter(pl.col("last").is_not_null())
    if known.is_empty():
        return values
    new, old = _matrix(known["graph_embedding"]), _matrix(known["last"])
    if new.shape != old.shape:  # another encoder's vectors: all are new
        return values
    still = known.filter(pl.Series((new * old).sum(axis=1) > 1 - min_move)).select("pin_id", "last")
    kept = values.join(still, on="pin_id", how="left")
    return kept.select("pin_id", graph_embedding=pl.coalesce("last", "graph_embedding"))
