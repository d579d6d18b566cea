"""Content that changed without saying when: a pin that another import brings with other words, and no later date.

Dated by its `updated_at`, or `created_at`, the new content would be known before anyone had it, and what was trained on
earlier moments would change. It is dated by the import that found it; the imports after it keep that date.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich.tables import PINS

_CONTENT = ["title", "description", "link_url", "lang", "category"]  # not image_uri: a folder that moved says nothing


class Revised(NamedTuple):
    path: Path  # of the pins, dated
    found: int  # pins that this import dated


def date_revisions(pins: Path, before: pl.LazyFrame, aside: Path) -> Revised:
    """The imported `pins` (a parquet file) in a second file `aside`, dated by what was there `before` (PINS)."""
    now = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
    stood = before.select("pin_id", stood=pl.coalesce("updated_at", "created_at"), words=_words())
    stood = stood.sort("stood").unique("pin_id", keep="last")  # a killed import left its rows beside the older ones
    rows = pl.scan_parquet(pins).join(stood, on="pin_id", how="left", maintain_order="left")
    says = pl.coalesce("updated_at", "created_at")
    known = pl.col("stood").is_not_null()
    other = known & (_words() != pl.col("words"))
    unsaid = other & (pl.col("updated_at").is_null() | (says <= pl.col("stood")))
    kept = known & ~other & (says < pl.col("stood"))
    updated = pl.when(unsaid).then(now).when(kept).then("stood").otherwise("updated_at")
    marked = aside.with_suffix(".marked.parquet")  # so that no catalogue need fit in memory
    rows.with_columns(updated_at=updated, unsaid=unsaid).sink_parquet(marked)
    dated = pl.scan_parquet(marked)
    dated.select(column.name for column in PINS.columns).sink_parquet(aside, compression="zstd")
    found = dated.select(pl.col("unsaid").sum()).collect(engine="streaming").item()
    marked.unlink()
    return Revised(aside, int(found or 0))


def _words() -> pl.Expr:
    """All content of a row as one value; null and "" differ."""
    return pl.struct(_CONTENT).hash(0)
