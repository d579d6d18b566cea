"""Reads Wayfair's annotated search data (WANDS): product.csv, query.csv and label.csv, separated by tabs.

    enrich import wands DIR

Levels: Exact 5, Partial 3, Irrelevant 1.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from enrich.importers import files, prose_and_levels
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.tables import JUDGMENTS, PINS

LEVEL_OF_LABEL = {"exact": 5.0, "partial": 3.0, "irrelevant": 1.0}
_TEXTS = ("product_class", "category hierarchy", "product_description", "product_features")


def load(path: Path) -> RawCatalogue:
    """Pins and judgments. Raises BadInput when one of the three files is missing or cannot be read."""
    product, query, label = (files.file_in(path, [f"{n}.csv", f"{n}.tsv"], n) for n in ("product", "query", "label"))
    products, queries, labels = files.scan(product), files.scan(query), files.scan(label)
    described = files.need(products, product, ["product_id", "product_name"], _TEXTS).cast(pl.String)
    asked = files.need(queries, query, ["query_id", "query"]).cast(pl.String)
    votes = files.need(labels, label, ["query_id", "product_id", "label"], ["id"]).cast(pl.String)
    word = pl.col("label").str.strip_chars().str.to_lowercase()
    judged = votes.join(asked.unique("query_id", keep="first"), on="query_id", how="left").select(
        "query",
        pin_id="product_id",
        level=word.replace_strict(LEVEL_OF_LABEL, default=None, return_dtype=pl.Float64),
        lang=pl.lit("en"),
    )
    return RawCatalogue(
        (
            RawTable(PINS, _pins(described), str(product), products.unreadable),
            RawTable(JUDGMENTS, judged, str(label), queries.unreadable + labels.unreadable),
        ),
        ("levels: Exact 5, Partial 3, Irrelevant 1",),
    )


def _pins(products: pl.LazyFrame) -> pl.LazyFrame:
    feature = pl.element().str.strip_chars().str.replace(r"\s*:\s*", ": ")  # "seatmaterial:foam|color:grey|..."
    features = pl.col("product_features").str.split("|").list.eval(feature)
    kind = pl.lit("Class: ") + pl.col("product_class")
    return products.select(
        pin_id="product_id",
        title="product_name",
        description=prose_and_levels.prose(pl.col("product_description"), kind, features),
        category=pl.coalesce("category hierarchy", "product_class"),
        lang=pl.lit("en"),
    )
