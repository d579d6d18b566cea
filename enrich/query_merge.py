"""Engaged queries from the last snapshot's and the log since: what `enrich queries --refresh merge` computes.

Reads and writes W/merging/pin_queries-TIME.parquet: each pin's best queries at a snapshot, twice as many as are kept,
before those that too few users asked are left out. (What is published could not be merged: a query that is asked by
one more user each month would begin anew each month. So these files are as private as the log, and erasure removes
them.) The files of the two last snapshots stay, so that a run that was killed finds what an undisturbed one has.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import parts
from enrich.day_folders import Kind
from enrich.log_days import LogDays
from enrich.snapshots import Snapshot
from enrich.workspace import Workspace

FOLDER = "merging"
_NAME = "pin_queries-%Y%m%dT%H%M%SZ.parquet"
_ROWS = {"pin_id": pl.String, "query": pl.String, "score": pl.Float64}


class Window(NamedTuple):
    """What the log gained and lost between two snapshots."""

    new: ir.Table
    left: ir.Table


def between(days: LogDays, last: datetime, at: datetime, window: timedelta) -> Window:
    """The days since `last`, and those that have left the window since then, counted."""
    new, left = days.between(last, at), days.between(last - window, at - window)
    return Window(days.table(Kind.PAIRS, new), days.table(Kind.PAIRS, left))


def merged(old: pl.DataFrame, new: ir.Table, left: ir.Table) -> ir.Table:
    """pin_id, query, score: of `old` and of what is `new`, less what `left` the window of the queries in `old`."""
    kept = ibis.memtable(old)
    gone = left.semi_join(kept, ["pin_id", "query"]).mutate(score=-left.score)
    columns = list(_ROWS)
    both = kept.select(columns).union(new.select(columns)).union(gone.select(columns))
    summed = both.group_by("pin_id", "query").agg(score=both.score.sum().round(3))
    return summed.filter(summed.score > 0)


def load(workspace: Workspace, snapshot: Snapshot, producer: str) -> pl.DataFrame | None:
    """pin_id, query, score as of `snapshot`; None where they were not kept, or of another history or rule."""
    path = _path(workspace, snapshot.at)
    try:
        rows = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        return None
    of = rows.select("input_hash", "producer").unique().rows()
    return rows.select(list(_ROWS)) if of == [(snapshot.input_hash, producer)] else None


def save(workspace: Workspace, snapshot: Snapshot, producer: str, best: pl.DataFrame, last: datetime | None) -> None:
    """Keep `best` (pin_id, query, score) of `snapshot`, and of all others only those of the `last` one."""
    path = _path(workspace, snapshot.at)
    path.parent.mkdir(exist_ok=True)
    named = best.select(pl.col(name).cast(kind) for name, kind in _ROWS.items())
    made_of = {"input_hash": pl.lit(snapshot.input_hash), "producer": pl.lit(producer)}
    parts.write_frame(path, named.with_columns(**made_of))
    stay = {path, *([_path(workspace, last)] if last else [])}
    for other in set(path.parent.glob("pin_queries-*.parquet")) - stay:
        other.unlink()


def _path(workspace: Workspace, at: datetime) -> Path:
    return workspace.root / FOLDER / at.strftime(_NAME)
