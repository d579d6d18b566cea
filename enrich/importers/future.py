"""Content that says it is of the future: nothing reads it before its time, so the import says which and until when.

A clock may be ahead, or a local time be written as UTC; and a shop may know today what it will show tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl


def has_been(time: pl.Expr) -> pl.Expr:
    """The times that are not of the future, without the others."""
    return time.filter(time <= pl.lit(datetime.now(UTC)))


def future_note(pins: Path) -> Iterator[str]:
    """Of the imported `pins` (a parquet file) those whose content is of the future."""
    content = pl.scan_parquet(pins).select(at=pl.coalesce("updated_at", "created_at"))
    later = content.filter(pl.col("at") > pl.lit(datetime.now(UTC)))
    count, last = later.select(pl.len(), pl.col("at").max()).collect(engine="streaming").row(0)
    if count:
        yield (
            f"pins: {count:,} have an updated_at (else created_at) in the future, up to {last:%Y-%m-%d %H:%M} UTC: "
            "this content is served by the first `enrich run` after its time; if it is local time, write its zone"
        )
