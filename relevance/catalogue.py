"""The catalogue's pins as they are now: their texts, embeddings and pictures, to find pins with and to show them.

Reads the latest rows of the enriched tables and the pins' own; writes nothing. Models learn and score through Feast
alone; candidates.py indexes what is read here, the BM25 baseline counts it, and judging/showcase.py shows it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich import parts, tables
from enrich.embeddings import content_texts
from enrich.tables import Table
from enrich.workspace import Workspace

Vectors = npt.NDArray[np.float32]

_BEHAVIOUR_TEXTS: tuple[tuple[Table, str], ...] = (
    (tables.PIN_BOARDS, "board_titles"),
    (tables.PIN_QUERIES, "engaged_queries"),
)
_SHOWN_TEXTS: tuple[tuple[Table, str, str], ...] = (  # table, column, the field's name to a reader
    (tables.PIN_TEXT, "title", "title"),
    (tables.PIN_TEXT, "description", "description"),
    (tables.PIN_CAPTION, "caption", "caption"),
    (tables.PIN_LINK, "link_title", "link"),
    (tables.PIN_LINK, "link_description", "link description"),
    (tables.PIN_BOARDS, "board_titles", "boards"),
    (tables.PIN_QUERIES, "engaged_queries", "queries"),
)


def catalogue_texts(workspace: Workspace) -> pl.DataFrame:
    """pin_id and text of every pin: its content texts, then the board titles and engaged queries known of it now."""
    pins = content_texts(workspace).select("pin_id", "text")
    for table, column in _BEHAVIOUR_TEXTS:
        latest = parts.latest(workspace.folder(table), table)
        pins = pins.join(latest.select("pin_id", pl.col(column).list.join(", ")), on="pin_id", how="left")
    said = pl.concat_str("text", *(column for _, column in _BEHAVIOUR_TEXTS), separator=". ", ignore_nulls=True)
    return pins.select("pin_id", text=said)


def text_embeddings(workspace: Workspace, pin_ids: pl.Series) -> Vectors:
    """The pins' latest text embeddings, float32 [n, d]; zeros where there is none; [n, 0] where none has any.

    Of vectors of several lengths those of the commonest count.
    """
    table = tables.PIN_TEXT_EMBEDDING
    latest = parts.latest(workspace.folder(table), table).filter(pl.col("text_embedding").is_not_null())
    places = pl.DataFrame({"pin_id": pin_ids}).with_row_index("place")
    known = places.join(latest.select("pin_id", "text_embedding"), on="pin_id", how="inner")
    if known.is_empty():
        return np.zeros((len(pin_ids), 0), dtype=np.float32)
    dimension = known["text_embedding"].list.len().mode().sort()[-1]  # of most, while another encoder takes over
    known = known.filter(pl.col("text_embedding").list.len() == dimension)
    vectors = np.zeros((len(pin_ids), dimension), dtype=np.float32)
    vectors[known["place"].to_numpy()] = known["text_embedding"].list.to_array(dimension).to_numpy()
    return vectors


def field_texts(workspace: Workspace, pin_ids: pl.Series) -> pl.DataFrame:
    """pin_id, field, text: what each of these pins says, a row a field that is not empty, in the fields' order."""
    found = [pl.DataFrame(schema={"pin_id": pl.String, "field": pl.String, "text": pl.String})]
    for table, column, field in _SHOWN_TEXTS:
        rows = latest_of(workspace, table, pin_ids)
        said = pl.col(column).list.join(" · ") if isinstance(rows.schema[column], pl.List) else pl.col(column)
        found.append(rows.select("pin_id", field=pl.lit(field), text=said).filter(pl.col("text") != ""))
    return pl.concat(found)


def image_uris(workspace: Workspace, pin_ids: pl.Series) -> pl.DataFrame:
    """pin_id, image_uri of those of these pins that have one."""
    pins = parts.scan(workspace.folder(tables.PINS)).filter(pl.col("pin_id").is_in(pin_ids.to_list()))
    return pins.filter(pl.col("image_uri").is_not_null()).select("pin_id", "image_uri").collect()


def latest_of(workspace: Workspace, table: Table, pin_ids: pl.Series) -> pl.DataFrame:
    """As `parts.latest`, of a few pins of a table that may be large."""
    rows = parts.scan(workspace.folder(table)).filter(pl.col("pin_id").is_in(pin_ids.to_list()))
    return parts.newest(rows, table).collect()
