"""What the judgments of an import will not see when models are taught: said now, not found in a weak model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from enrich.importers.revisions import Earlier, Revised
from enrich.snapshots import GAP, SnapshotSettings, first_due
from enrich.tables import BOARD_PINS, ENGAGEMENTS, JUDGMENTS

_SEEN = pl.any_horizontal(pl.col("title", "description", "category").is_not_null())  # of a row of pin_text


def notes(revised: Revised, earlier: Earlier, judgments: Path, corrected: bool) -> Iterator[str]:
    """Of the pins that were `revised`, and of the judgments (a parquet file, where there are any) made before."""
    if revised.found:
        dated = "dated as the words before, which were wrong" if corrected else "dated by this import"
        yield f"pins: {revised.found:,} changed without a later updated_at, {dated}"
    if not judgments.is_file():
        return
    late = pl.scan_parquet(revised.late)
    votes = pl.scan_parquet(judgments).select("pin_id", "judged_at")
    if before := _count(votes.join(late, on="pin_id").filter(pl.col("judged_at") < pl.col("content"))):
        yield f"{JUDGMENTS.name}: {before:,} precede {_REMEDY[corrected]}"
    pins = pl.scan_parquet(revised.path).join(late, on="pin_id", how="anti")
    content = pins.select("pin_id", content=pl.coalesce("updated_at", "created_at"))
    known = earlier.texts.filter(_SEEN).group_by("pin_id").agg(known=pl.col("event_timestamp").min())
    joined = votes.join(content, on="pin_id").join(known, on="pin_id", how="left")
    early = (pl.col("judged_at") < pl.col("content")) & ~(pl.col("known") <= pl.col("judged_at")).fill_null(False)
    if blind := _count(joined.filter(early)):
        yield (
            f"{JUDGMENTS.name}: {blind:,} precede their pin's updated_at (else created_at) and will not see its text"
        )


def behaviour_notes(aside: Path) -> Iterator[str]:
    """Of the judgments before the first snapshot, of the usual cadence, that a training frame lets them see."""
    judgments = aside / f"{JUDGMENTS.name}.parquet"
    for table, column in ((ENGAGEMENTS, "event_timestamp"), (BOARD_PINS, "saved_at")):
        path = aside / f"{table.name}.parquet"
        if not (path.is_file() and judgments.is_file()):
            continue
        first = pl.scan_parquet(path).select(pl.col(column).min()).collect(engine="streaming").item()
        if first is None:
            continue
        settings = SnapshotSettings()
        seen = first_due(first, settings) + settings.delay + GAP
        if blind := _count(pl.scan_parquet(judgments).filter(pl.col("judged_at") < seen)):
            yield (
                f"{JUDGMENTS.name}: {blind:,} precede {seen:%Y-%m-%d} and see nothing of {table.name}: {GAP.days} days "
                "before them no snapshot was known; earlier rows there would help, or a smaller --cadence-days"
            )


_REMEDY = {
    False: "such a change and see the words before it; if these were wrong, import again with --corrected",
    True: "words that an earlier import dated and `enrich run` has read, and see those before; only a new workspace "
    "forgets them",
}


def _count(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect(engine="streaming").item())
