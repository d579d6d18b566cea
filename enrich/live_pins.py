"""The catalogue's pins as the content jobs see them: without the deleted ones, each dated by its content.

Reads pins and deletions; writes nothing.
"""

from __future__ import annotations

import polars as pl

from enrich import parts
from enrich.tables import DELETIONS, PINS
from enrich.workspace import Workspace


def live_pins(workspace: Workspace) -> pl.LazyFrame:
    """The pins that were not deleted, and `event_timestamp`: when their content last changed."""
    pins = parts.scan(workspace.folder(PINS)).join(deleted_pins(workspace), on="pin_id", how="anti")
    return pins.with_columns(event_timestamp=pl.coalesce("updated_at", "created_at"))


def deleted_pins(workspace: Workspace) -> pl.LazyFrame:
    """pin_id of every deleted pin, once."""
    return parts.scan(workspace.folder(DELETIONS)).filter(pl.col("kind") == "pin").select(pin_id="id").unique()


def pins_without(workspace: Workspace, having: pl.DataFrame) -> pl.DataFrame:
    """pin_id, event_timestamp of the live pins that are not among `having` (pin_id)."""
    pins = live_pins(workspace).select("pin_id", "event_timestamp")
    return pins.join(having.lazy(), on="pin_id", how="anti").collect()
