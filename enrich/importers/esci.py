"""Reads Amazon's shopping queries data (ESCI): examples and products, as one joined file or a folder of both.

    enrich import esci PATH

A file with an esci_label holds examples, one with a product_title products. Levels: exact 5, substitute 4, complement
2, irrelevant 1. An id is the product's, with "@locale" after it where the products are of more than one locale.
Examples of a locale without products are left out and counted, for their ids may be those of other products.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

from enrich.errors import BadInput
from enrich.importers import files, prose_and_levels
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.tables import JUDGMENTS, PINS

LANG_OF_LOCALE = {"us": "en", "uk": "en", "ca": "en", "es": "es", "jp": "ja", "de": "de", "fr": "fr", "it": "it"}
_TEXTS = ("product_description", "product_bullet_point", "product_brand", "product_color")
_LOCALE = pl.col("product_locale").str.strip_chars().str.to_lowercase()
_LANG = _LOCALE.replace_strict(LANG_OF_LOCALE, default=None, return_dtype=pl.String)


class _Part(NamedTuple):
    """One of the two tables, from all files that hold it, as strings."""

    frame: pl.LazyFrame
    unreadable: int


def load(path: Path) -> RawCatalogue:
    """Pins and judgments. Raises BadInput when no file holds products or a file cannot be read."""
    products = _part(path, "product_title", ["product_id", "product_title"], [*_TEXTS, "product_locale"])
    if products is None:
        raise BadInput(f"expected a file with product_id and product_title in {path}, found none; check the path")
    examples = _part(path, "esci_label", ["query", "product_id", "esci_label"], ["product_locale"])
    pin_id = pl.col("product_id")
    locales = _collected(products.frame.select(_LOCALE.drop_nulls().unique()), path, "products").to_series()
    if len(locales) > 1:
        pin_id = pl.concat_str(pin_id, pl.lit("@"), _LOCALE.fill_null("")).str.strip_suffix("@")
    tables = [RawTable(PINS, _pins(products.frame, pin_id), str(path), products.unreadable)]
    notes = ["levels: exact 5, substitute 4, complement 2, irrelevant 1"]
    if examples:
        elsewhere = (_LOCALE.is_in(locales.implode()).not_() & bool(len(locales))).fill_null(False)
        lost = _collected(examples.frame.select(elsewhere.sum()), path, "examples").item()
        if lost:
            notes.append(f"judgments: {lost:,} are of locales that no product is of, and were left out")
        label = pl.col("esci_label").str.strip_chars().str.slice(0, 1).str.to_uppercase()
        level = label.replace_strict(prose_and_levels.LEVEL_OF_ESCI, default=None, return_dtype=pl.Float64)
        judged = examples.frame.filter(~elsewhere).select("query", pin_id=pin_id, level=level, lang=_LANG)
        tables.append(RawTable(JUDGMENTS, judged, str(path), examples.unreadable))
    return RawCatalogue(tuple(tables), tuple(notes))


def _part(path: Path, mark: str, names: list[str], optional: list[str]) -> _Part | None:
    """The rows of the files that have the column `mark`."""
    scans = [(file, files.scan(file)) for file in files.within(path)]
    marked = [(file, scan) for file, scan in scans if mark in {column.lower() for column in scan.columns}]
    if not marked:
        return None
    frames = [files.need(scan, file, names, optional).cast(pl.String) for file, scan in marked]
    return _Part(pl.concat(frames), sum(scan.unreadable for _, scan in marked))


def _collected(frame: pl.LazyFrame, path: Path, what: str) -> pl.DataFrame:
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, duckdb.Error) as error:
        raise files.unreadable(path, what, error) from error


def _pins(products: pl.LazyFrame, pin_id: pl.Expr) -> pl.LazyFrame:
    description, bullets, brand, color = (pl.col(name) for name in _TEXTS)
    told = prose_and_levels.prose(description, bullets, pl.lit("Brand: ") + brand, pl.lit("Color: ") + color)
    pins = products.select(pin_id=pin_id, title="product_title", description=told, lang=_LANG)
    return pins.unique("pin_id", keep="first", maintain_order=True)  # a joined file repeats a product a query
