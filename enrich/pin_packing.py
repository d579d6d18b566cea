"""Rows of typed columns as packed pins; `enrich/pin_payload.py` says what is where in one, and reads them."""

from __future__ import annotations

import numpy as np
import polars as pl

from enrich.payload import NEVER, Bools, ByteVectors, Floats, byte_rows, seal
from enrich.pin_payload import ENGAGEMENT_COLUMNS, HEAD, LOG, MAGIC, TEXT_FIELDS, VECTORS
from enrich.term_ids import Terms, TextIds, key_hashes, text_ids, trigram_ids


def pack_pins(rows: pl.DataFrame) -> list[bytes]:
    """One payload a row of typed columns, each optional and nullable; columns of other names are ignored.

    Texts: pin_id (its hash is kept, to find the pin among a query's pairs), title, description, caption, link_title,
    link_description, lang; lists of texts: board_titles, engaged_queries; lists of floats: VECTORS; numbers:
    ENGAGEMENT_COLUMNS; times: `queries_until` and `engagement_until`, when these stop being evidence, and
    `created_timestamp`, when the newest of the values could be known. Equal values give equal bytes on every machine.
    """
    title, description, caption = (_texts(rows, name) for name in TEXT_FIELDS[:3])
    link = _joined(_texts(rows, "link_title"), _texts(rows, "link_description"))
    boards, queries = (_texts(rows, name) for name in ("board_titles", "engaged_queries"))
    fields = [text_ids(texts) for texts in (title, description, caption, link, boards, queries)]
    terms = [*(field.terms for field in fields), trigram_ids(_joined(title, description, caption))]
    vectors = [ByteVectors.of(_column(rows, name, pl.List(pl.Float32()))) for name in VECTORS]
    engagement, has_engagement = _engagement(rows)
    sections = [
        *(vector.rows() for vector in vectors),
        [row.tobytes() if has else b"" for row, has in zip(engagement, has_engagement, strict=True)],
        *(byte_rows(part.offsets, part.ids.astype("<u4")) for part in terms),
        *(byte_rows(part.offsets, part.counts.astype(np.uint8)) for part in terms),
    ]
    until = [_times(rows, f"{name}_until", NEVER) for name in LOG]
    openings = _heads(rows, until, fields, terms, vectors, has_engagement)
    created = _times(rows, "created_timestamp", 0)
    bodies = map(b"".join, zip(openings, *sections, strict=True))
    return [seal(MAGIC, at, body) for at, body in zip(created, bodies, strict=True)]


def _times(rows: pl.DataFrame, name: str, default: int) -> list[int]:
    """A column of times as µs since 1970."""
    return _column(rows, name, pl.Datetime("us", "UTC")).dt.epoch("us").fill_null(default).to_list()


def _column(rows: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Series:
    if name not in rows.columns:
        return pl.Series(name, [None], dtype).new_from_index(0, rows.height)
    return rows[name].cast(dtype)


def _texts(rows: pl.DataFrame, name: str) -> list[str | None]:
    """A column of texts; of a list of texts the items on lines of their own, so that no term spans two."""
    if name in rows.columns and isinstance(rows.schema[name], pl.List):
        return rows[name].cast(pl.List(pl.String)).list.join("\n", ignore_nulls=True).to_list()
    return _column(rows, name, pl.String()).to_list()


def _joined(*columns: list[str | None]) -> list[str | None]:
    return ["\n".join(text for text in row if text) for row in zip(*columns, strict=True)]


def _engagement(rows: pl.DataFrame) -> tuple[Floats, Bools]:
    """[n, len(ENGAGEMENT_COLUMNS)] with zeros for nulls, and which rows have any value."""
    columns = pl.DataFrame([_column(rows, name, pl.Float32()).alias(name) for name in ENGAGEMENT_COLUMNS])
    has = columns.select(pl.any_horizontal(pl.all().is_not_null())).to_series().to_numpy()
    return np.ascontiguousarray(columns.fill_null(0.0).to_numpy(), "<f4"), has


def _heads(
    rows: pl.DataFrame,
    until: list[list[int]],
    fields: list[TextIds],
    terms: list[Terms],
    vectors: list[ByteVectors],
    has_engagement: Bools,
) -> list[bytes]:
    head = np.zeros(rows.height, HEAD)
    head["until"] = np.array(until, "<i8").T
    head["key"] = key_hashes(rows["pin_id"].to_list()) if "pin_id" in rows.columns else 0
    langs = _column(rows, "lang", pl.String()).to_list()
    head["lang"] = [(lang or "")[:4].encode("ascii", "ignore") for lang in langs]
    head["scales"] = np.column_stack([vector.scales for vector in vectors])
    head["dimensions"] = np.column_stack([vector.dimensions for vector in vectors])
    head["engagement"] = np.where(has_engagement, len(ENGAGEMENT_COLUMNS), 0)
    head["terms"] = np.column_stack([np.diff(part.offsets) for part in terms])
    head["lengths"] = np.column_stack([field.lengths for field in fields])
    return [row.tobytes() for row in head]
