"""Judged (query, pin) pairs with their texts, for the benchmarks of the teacher, and pins' texts, for the encoder's.

Reads Chorus from ../shared/data/chorus, or, where that is absent, the sample's tables: texts as they were imported, no
enrichment, so that every side can be given the very same words.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich.importers import chorus
from enrich.judgments import gold_level
from enrich.tables import JUDGMENTS, PINS
from relevance.splits import split_queries
from relevance.teaching.rows import TeacherRows

ROOT = Path(__file__).resolve().parents[1]
CHORUS = ROOT.parent / "shared" / "data" / "chorus"
SAMPLE = ROOT / "data" / "sample"
SHORT, LONG = "short_text", "long_text"  # title and short description; title and all that is told of the pin


class JudgedPairs(NamedTuple):
    """Pairs of a query and a pin, each once: query, pin_id, short_text, long_text, level (1..5), votes."""

    origin: str
    rows: pl.DataFrame

    def split(self, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """The rows of training, dev and test queries: 72, 8 and 20 % of them."""
        chosen = split_queries(self.rows.select("query", "pin_id"), seed)
        train, dev, test = (
            self.rows.filter(pl.col("query").is_in(sorted(side))) for side in (chosen.train, chosen.dev, chosen.test)
        )
        return train, dev, test


def judged_pairs(limit: int | None = None) -> JudgedPairs:
    """All of them, or the first `limit` in an order of hashes."""
    origin, judgments, pins = _chorus() if CHORUS.is_dir() else _sample()
    votes = judgments.group_by("query", "pin_id").agg(votes=pl.col("level").sort())
    graded = votes.with_columns(level=gold_level(pl.col("votes")))
    rows = graded.join(pins, on="pin_id").sort("query", "pin_id").collect()
    order = rows.select("query", "pin_id").hash_rows(seed=0)
    return JudgedPairs(origin, rows.with_columns(order=order).sort("order").drop("order").head(limit or rows.height))


def pin_texts(limit: int) -> tuple[str, list[str]]:
    """Where they are from, and the long texts of `limit` pins that have one, judged or not, in an order of hashes."""
    origin, _, pins = _chorus() if CHORUS.is_dir() else _sample()
    told = pins.select("pin_id", LONG).drop_nulls().sort("pin_id").collect()
    return origin, told.with_columns(order=told["pin_id"].hash(seed=0)).sort("order")[LONG].head(limit).to_list()


def teacher_rows(rows: pl.DataFrame, text: str) -> TeacherRows:
    """As the teacher learns them, the pin's `text` (SHORT or LONG) as its title."""
    return TeacherRows(rows["query"].to_list(), rows[text].to_list(), rows["level"].to_numpy(), rows["votes"].to_list())


def _chorus() -> tuple[str, pl.LazyFrame, pl.LazyFrame]:
    tables = {raw.table: raw.frame for raw in chorus.load(CHORUS).tables}
    products = pl.scan_ndjson(CHORUS / "products.jsonl", infer_schema_length=None, ignore_errors=True)
    short = products.select(pl.col("id").cast(pl.String).alias("pin_id"), "short_description").unique("pin_id")
    pins = tables[PINS].join(short, on="pin_id", how="left")
    return "Chorus", tables[JUDGMENTS], pins.select("pin_id", **_texts("short_description", "description"))


def _sample() -> tuple[str, pl.LazyFrame, pl.LazyFrame]:
    judgments, pins, boards, board_pins = (
        pl.scan_parquet(SAMPLE / f"{name}.parquet") for name in ("judgments", "pins", "boards", "board_pins")
    )
    titles = board_pins.join(boards.select("board_id", board="title"), on="board_id").group_by("pin_id")
    told = pins.join(titles.agg(pl.col("board").sort().str.join(", ")), on="pin_id", how="left")
    everything = told.with_columns(all=pl.concat_str("description", "board", separator=". ", ignore_nulls=True))
    return "the sample (synthetic)", judgments, everything.select("pin_id", **_texts("description", "all"))


def _texts(short: str, long: str) -> dict[str, pl.Expr]:
    return {
        name: pl.concat_str("title", told, separator=". ", ignore_nulls=True)
        for name, told in ((SHORT, short), (LONG, long))
    }
