"""A pin's neighbourhood over boards as a vector: `pin_graph`, one snapshot at a time.

Reads board_pins, boards, deletions and pin_text_embedding; writes pin_graph (`enrich graph`).

PinSAGE's importance pooling (Ying et al., KDD 2018, section 3.2) without learned weights: short random walks from a pin
go to one of its boards and on to one of that board's pins, and stop after each step with probability 1/2. Instead of
sampling them their visit probabilities are computed (`visits`): the `neighbours` most visited pins are the pin's
neighbourhood, and their content vectors, weighted by the visits, are pooled with the pin's own. A walk goes on from the
`frontier` most visited pins alone: all of them in a small graph, fewer (`_frontier`) where there are millions of saves.
Nothing is learned, so every snapshot shares one basis and a new pin has a vector from its first board on. Only saves,
and text vectors, from before the snapshot are seen. A pin on no board has no row.

A vector that moved less than `min_move` from the pin's last one is not written again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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
from enrich.errors import BadInput
from enrich.history import History, before, changes
from enrich.job import JobReport
from enrich.snapshots import Computed, SnapshotSettings
from enrich.tables import PIN_GRAPH, PIN_TEXT_EMBEDDING
from enrich.workspace import Workspace

Vectors = NDArray[np.float32]
FRONTIER = 1000
NO_VECTOR = "no-neighbour-with-text"
NO_VECTORS = "no-text-vectors-yet"  # of any pin: `enrich embeddings` makes them
_ENTRIES_AT_ONCE = 10_000_000  # visits that are held together: 120 MB, some four times that while they are sorted
_PATHS = 3e10  # walked in all at each hop after the first: about five minutes of a core


@dataclass(frozen=True, slots=True)
class GraphSettings:
    neighbours: int = 50  # most visited pins that are pooled (PinSAGE's T)
    hops: int = 2  # longest walk, in pin-board-pin steps
    frontier: int = FRONTIER  # most visited pins from which a walk goes on; fewer in a large graph (`_frontier`)
    own_weight: float = 0.5  # of the pin's own content vector, against 1 for all neighbours together
    min_move: float = 0.002  # 1 - cosine from which a vector is written again
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    backend: BackendLimits = BOUNDED

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.hops < 1:
            raise BadInput(
                f"expected neighbours and hops of at least 1, found {self.neighbours} and {self.hops}; "
                "raise them in GraphSettings"
            )

    @property
    def producer(self) -> str:
        return (
            f"graph/1 neighbours={self.neighbours} hops={self.hops} own={self.own_weight:g} "
            f"min-move={self.min_move:g} cadence={self.snapshots.cadence_days}d"
            + ("" if self.frontier == FRONTIER else f" frontier={self.frontier}")
        )


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
    planned = snapshots.plan(changes(saves, "saved_at", ("board_id", "pin_id"), cadence), cadence, also=moved)

    def compute(at: datetime, state: pl.DataFrame) -> Computed:
        content = _content_at(workspace, at)
        values, without = _pooled(before(saves, "saved_at", at), content, settings)
        reason = NO_VECTORS if content.pin_ids.is_empty() else NO_VECTOR
        return Computed(_settled(values, state, settings.min_move), +Counter({reason: without}))

    return snapshots.run(workspace, PIN_GRAPH, planned, compute, settings.producer, cadence)


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
    vectors = pool(holds, own, settings)
    made = np.linalg.norm(vectors, axis=1) > 0
    values = pl.DataFrame(
        {"pin_id": pins.filter(pl.Series(made)), "graph_embedding": list(vectors[made])},
        schema={"pin_id": pl.String, "graph_embedding": pl.List(pl.Float32)},
    )
    return values, int((~made).sum())


def pool(holds: sparse.csr_array, own: Vectors, settings: GraphSettings) -> Vectors:
    """Float32 [pins, d]: own and neighbours' vectors pooled, unit length; zeros where there is none to pool.

    `holds` [pins, boards] is 1 where the board holds the pin; `own` [pins, d], zeros where a pin has no text.
    """
    step = _steps(holds)
    has_text = np.linalg.norm(own, axis=1) > 0
    pooled = settings.own_weight * own
    reach = _Reach.of(holds)
    frontier = _frontier(reach, settings.frontier)
    for rows in _slices(reach, settings.hops, frontier):
        visited = visits(step, rows, settings.hops, frontier)
        pooled[rows] += most_visited(visited, has_text, rows, settings.neighbours) @ own
    lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
    return np.asarray(pooled / np.where(lengths > 0, lengths, 1), dtype=np.float32)


class _Reach(NamedTuple):
    """How far walks go, for bounds of time and memory."""

    step: NDArray[np.float64]  # [pins] the pin-board-pin paths from each pin
    next_step: NDArray[np.float64]  # [pins] the mean of `step` over the pins that one step visits

    @classmethod
    def of(cls, holds: sparse.csr_array) -> _Reach:
        paths = holds @ (holds.T @ np.ones(holds.shape[0]))
        to_board, to_pin = _steps(holds)
        return cls(paths, to_board @ (to_pin @ paths))


def _frontier(reach: _Reach, most: int) -> int:
    """From how many pins a row's walks go on: `most`, or as many as `_PATHS` in all allow; never fewer than 10."""
    return int(np.clip(_PATHS / max(float(reach.next_step.sum()), 1.0), min(10, most), most))


def _slices(reach: _Reach, hops: int, frontier: int) -> Iterator[NDArray[np.int64]]:
    """The pins, as many at a time as have about `_ENTRIES_AT_ONCE` visits."""
    pins = len(reach.step)
    visited = reach.step + (hops - 1) * np.minimum(reach.step, frontier) * reach.next_step
    piece = (np.cumsum(np.minimum(visited, pins)) // _ENTRIES_AT_ONCE).astype(np.int64)
    yield from np.split(np.arange(pins), np.flatnonzero(np.diff(piece)) + 1)


def _steps(holds: sparse.csr_array) -> tuple[sparse.csr_array, sparse.csr_array]:
    """The two halves of a step: from a pin to one of its boards [pins, boards], from a board to one of its pins."""
    return _row_normalised(holds), _row_normalised(holds.T.tocsr())


def visits(
    step: tuple[sparse.csr_array, sparse.csr_array],
    rows: NDArray[np.int64],
    hops: int,
    frontier: int = FRONTIER,
) -> sparse.csr_array:
    """[rows, pins]: the expected visits of walks from `rows`, half of which stop after each step, for `hops` steps.

    Walks go on from the `frontier` most visited pins of each row.
    """
    to_board, to_pin = step
    at = to_board[rows] @ to_pin
    total = at
    for hop in range(1, hops):
        at = _strongest(at, frontier) @ to_board @ to_pin
        total = total + at * 0.5**hop
    return total.tocsr()


def _strongest(visited: sparse.csr_array, most: int) -> sparse.csr_array:
    """Each row's `most` largest entries, of equals the first."""
    if np.diff(visited.indptr).max(initial=0) <= most:
        return visited
    visited.sort_indices()
    row, column = visited.tocoo().coords
    order = np.lexsort((column, -visited.data.round(12), row))
    place = np.arange(len(order)) - visited.indptr[row[order]]
    best = order[place < most]
    return sparse.csr_array((visited.data[best], (row[best], column[best])), shape=visited.shape)


def most_visited(
    visited: sparse.csr_array, has_text: NDArray[np.bool_], rows: NDArray[np.int64], neighbours: int
) -> sparse.csr_array:
    """[rows, pins]: each row's `neighbours` most visited other pins with a text, their shares of the visits (sum 1).

    Ties at the border go to the pin that comes first.
    """
    visited.sort_indices()
    entries = visited.tocoo()
    row, pin = entries.coords
    kept = (pin != rows[row]) & has_text[pin]
    row, pin, weight = row[kept], pin[kept], entries.data[kept]
    # One sort for rows and visits: a row's visits come to less than 2, so halves of them stay within their row.
    order = np.argsort((row - weight / 2).round(11), kind="stable")
    row, pin, weight = row[order], pin[order], weight[order]
    first = np.searchsorted(row, np.arange(len(rows)))
    best = np.arange(len(row)) - first[row] < neighbours
    return _row_normalised(sparse.csr_array((weight[best], (row[best], pin[best])), shape=visited.shape))


def _row_normalised(matrix: sparse.csr_array) -> sparse.csr_array:
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    return sparse.diags_array(1 / np.where(sums > 0, sums, 1)).tocsr() @ matrix


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
