"""What the newest rows of a behaviour table say, kept so that one snapshot more reads no older ones.

Reads a table's parts; writes `latest-HASH.state` beside them, parquet that no pattern of parts finds: each key's newest
row as the last snapshot left it. The hash is of that snapshot, its producer and its input, so that a state of another
history is not found; then the parts are read, all of them. A run whose history is another one lets it go at its start,
for it may say what was deleted; so does erasure, which rewrites parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from enrich import parts
from enrich.job import input_hash
from enrich.tables import Table
from enrich.workspace import Workspace


def latest_before(workspace: Workspace, table: Table, at: datetime, without: Sequence[datetime] = ()) -> pl.DataFrame:
    """Key, features and reason of each key's latest row with an event time before `at` and none of those in `without`,
    from the parts.
    """
    time = pl.col("event_timestamp")
    columns = [*table.key, *(column.name for column in table.features), "reason"]
    return (
        parts.scan(workspace.folder(table))
        .filter((time < at) & ~time.is_in(without))
        .sort("event_timestamp", "created_timestamp")
        .unique(subset=list(table.key), keep="last", maintain_order=True)
        .select(columns)
        .collect()
    )


def load(folder: Path, at: datetime, producer: str, made_of: str) -> pl.DataFrame | None:
    """The state after the snapshot at `at`, of that producer and input hash; None where it was not kept."""
    try:
        return pl.read_parquet(_path(folder, at, producer, made_of))
    except (OSError, pl.exceptions.PolarsError):
        return None


def save(folder: Path, at: datetime, producer: str, made_of: str, state: pl.DataFrame) -> None:
    """Keep `state`, and no other."""
    forget(folder)
    parts.write_frame(_path(folder, at, producer, made_of), state)


def keep_only(folder: Path, at: datetime, producer: str, made_of: str) -> None:
    """Remove what was kept, but the state after the snapshot at `at`, of that producer and input hash."""
    _remove(folder, _path(folder, at, producer, made_of))


def forget(folder: Path) -> None:
    """Remove what was kept, and what a kill left of it."""
    _remove(folder)


def _remove(folder: Path, but: Path | None = None) -> None:
    for path in folder.glob("latest-*.state"):
        if path != but:
            path.unlink()
    sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what a kill left of a state that was being written."""
    for path in folder.glob(".latest-*"):
        path.unlink()


def _path(folder: Path, at: datetime, producer: str, made_of: str) -> Path:
    return folder / f"latest-{input_hash(at.isoformat(), producer, made_of)}.state"
