"""Every picture described once, however many pins show it, and whenever.

Pins show the same picture when its bytes are the same (`input_hash`). Of those that are stale one is described, and all
get a row of what was said; a picture that this producer described for any pin before is not described again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import polars as pl

from enrich import parts
from enrich.captioning.alike import Alike
from enrich.picture_twins import PictureTwins
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING, Table
from enrich.workspace import Workspace

_ROWS = 20_000  # at once: their vectors of 768 are 60 MB
_OF_A_PIN = ("pin_id", "event_timestamp", "input_hash")

Describe = Callable[[pl.DataFrame, Alike | None], Iterator[pl.DataFrame]]


def described(
    workspace: Workspace, producer: str, stale: pl.DataFrame, describe: Describe, twins: PictureTwins | None = None
) -> Iterator[pl.DataFrame]:
    """Rows of all pins in `stale` (pin_id, image_uri, event_timestamp, input_hash), as they get done.

    `describe` gets the pictures to describe (place, image_uri, input_hash) and yields rows of `working.SCHEMA`; with
    `twins` it leaves out those of which `Alike` says that they are copies, and asks in the order of places.
    """
    pins = stale.sort("input_hash", "pin_id")
    pictures = (
        pins.with_row_index("place")
        .group_by("input_hash", maintain_order=True)
        .agg(pl.col("place").first().cast(pl.Int64), pl.col("image_uri").first(), pins=pl.len())
    )
    counts = np.zeros(pins.height, np.int64)  # of a picture's pins, where its first one stands
    counts[pictures["place"].to_numpy()] = pictures["pins"].to_numpy()
    of_a_pin = pins.select(_OF_A_PIN)
    known = _described_before(workspace, producer, pictures.select("input_hash", "place"))
    for some in known.iter_slices(_ROWS):
        yield from _to_pins(of_a_pin, counts, _values(workspace, producer, some))
    left = pictures.join(known, on="place", how="anti", maintain_order="left")
    alike = Alike(twins, left, partial(_values, workspace, producer)) if twins else None
    made_of_left = describe(left.select("place", "image_uri", "input_hash"), alike)
    for made in alike.with_copies(made_of_left) if alike else made_of_left:
        yield from _to_pins(of_a_pin, counts, made)


def _to_pins(pins: pl.DataFrame, counts: np.ndarray, made: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """What was `made` of pictures (`place`, values) as rows of the pins that show them; theirs follow that place."""
    first = made["place"].to_numpy()
    each = counts[first]
    of = np.repeat(np.arange(made.height), each)  # the picture of each row
    within = np.arange(len(of)) - (np.cumsum(each) - each)[of]
    values = made.drop("place")
    for start in range(0, len(of), _ROWS):
        some = of[start : start + _ROWS]
        rows = first[some] + within[start : start + _ROWS]
        yield pl.concat([pins[rows], values[some]], how="horizontal")


def _described_before(workspace: Workspace, producer: str, pictures: pl.DataFrame) -> pl.DataFrame:
    """Those of `pictures` (input_hash, place) of which both tables have what this producer made."""
    known = pictures
    for table in (PIN_CAPTION, PIN_VISUAL_EMBEDDING):
        rows = _made(workspace, table, producer, known).select(pl.col("input_hash").unique())
        known = known.join(rows.collect(), on="input_hash", how="semi", maintain_order="left")
    return known


def _values(workspace: Workspace, producer: str, pictures: pl.DataFrame) -> pl.DataFrame:
    """place, caption, caption_rule, visual_embedding, reason of pictures that were described before."""
    found = pictures
    for table in (PIN_CAPTION, PIN_VISUAL_EMBEDDING):
        features = [column.name for column in table.features]
        rows = _made(workspace, table, producer, pictures).select("input_hash", *features)
        once = rows.unique("input_hash", keep="any").collect()
        found = found.join(once, on="input_hash", how="inner", maintain_order="left")
    return found.drop("input_hash").with_columns(reason=pl.lit(None, pl.String))


def _made(workspace: Workspace, table: Table, producer: str, pictures: pl.DataFrame) -> pl.LazyFrame:
    rows = parts.scan(workspace.folder(table)).filter(pl.col("producer") == producer, pl.col("reason").is_null())
    return rows.join(pictures.lazy().select("input_hash"), on="input_hash", how="semi")
