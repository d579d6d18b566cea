"""Content that changed without saying when: a pin that another import brings with other words, and no later date.

Dated by its `updated_at`, or `created_at`, the new content would be known before anyone had it, and what was trained on
earlier moments would change. It is dated by the import that found it; the imports after it keep that date. A pin of
which `enrich texts` has made nothing yet taught nobody, and takes the catalogue's dates.

Where the words before were wrong (a heading that was not read), an import is `corrected`: other words take the
catalogue's dates, and the judgments made before see them. What is made of a date already stays, for in an online store
and a training frame the later row wins.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich import parts
from enrich.tables import PIN_TEXT, PINS, Table
from enrich.workspace import Workspace

_CONTENT = ["title", "description", "link_url", "lang", "category"]  # not image_uri: a folder that moved says nothing
_SAYS = pl.coalesce("updated_at", "created_at")


class Earlier(NamedTuple):
    """What a workspace has of the imports before."""

    pins: pl.LazyFrame  # PINS
    texts: pl.LazyFrame  # PIN_TEXT, without those that were taken back

    @classmethod
    def of(cls, workspace: Workspace) -> Earlier:
        return cls(_rows(workspace, PINS), _rows(workspace, PIN_TEXT).filter(pl.col("reason").is_null()))


class Revised(NamedTuple):
    path: Path  # of the pins, dated
    late: Path  # pin_id, content: of the pins that are dated later than the catalogue says, but by earlier imports
    found: int  # pins that changed without saying so
    latest: datetime | None  # the last date that an import gave


def date_revisions(pins: Path, earlier: Earlier, aside: Path, corrected: bool = False) -> Revised:
    """The imported `pins` (a parquet file) in a second file in `aside`, dated by what was there `earlier`."""
    made = earlier.texts.group_by("pin_id").agg(made=pl.col("event_timestamp").max())
    stood = earlier.pins.select("pin_id", stood=_SAYS, words=_words())
    stood = stood.sort("stood").unique("pin_id", keep="last")  # a killed import left its rows beside the older ones
    stood = stood.join(made, on="pin_id").with_columns(
        stood=pl.col("made") if corrected else pl.max_horizontal("stood", "made")
    )
    rows = pl.scan_parquet(pins).join(stood, on="pin_id", how="left", maintain_order="left")
    known = pl.col("stood").is_not_null()
    other = known & (_words() != pl.col("words"))
    unsaid = other & (pl.col("updated_at").is_null() | (pl.col("stood") >= _SAYS))
    back = known & (pl.col("stood") > _SAYS) & (pl.lit(corrected) | ~other)
    now = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
    given = pl.when(unsaid & pl.lit(not corrected)).then(now).when(back).then("stood")
    late = back if corrected else unsaid
    marked = aside / "pins.marked.parquet"  # so that no catalogue need fit in memory
    rows.with_columns(updated_at=given.otherwise("updated_at"), unsaid=unsaid, late=late, given=given).sink_parquet(
        marked
    )
    return _split(marked, aside)


def _split(marked: Path, aside: Path) -> Revised:
    """The pins in a file as declared, those marked as late in another, and what is to be said of them."""
    dated, path, late = pl.scan_parquet(marked), aside / "pins.dated.parquet", aside / "pins.late.parquet"
    dated.select(column.name for column in PINS.columns).sink_parquet(path, compression="zstd")
    dated.filter("late").select("pin_id", content="updated_at").sink_parquet(late)
    found, latest = dated.select(pl.col("unsaid").sum(), pl.col("given").max()).collect(engine="streaming").row(0)
    marked.unlink()
    return Revised(path, late, int(found or 0), latest)


def _words() -> pl.Expr:
    """All content of a row as one value; null and "" differ."""
    return pl.struct(_CONTENT).hash(0)


def _rows(workspace: Workspace, table: Table) -> pl.LazyFrame:
    if workspace.folder(table).is_dir():
        return parts.scan(workspace.folder(table))
    return pl.DataFrame(pl.from_arrow(table.schema.empty_table())).lazy()
