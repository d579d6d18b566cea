"""A few judged queries with their pins, as the report shows them: where a model ranks best, as usual, and worst.

Reads predictions and the catalogue as it is now (catalogue.py); writes nothing. Pictures are read from this machine
alone: one that lies elsewhere, or is broken, leaves a card of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.image_uris import base_folder, local_path, read_image
from enrich.images import BadImage, jpeg_thumbnail
from enrich.workspace import Workspace
from relevance.catalogue import field_texts, image_uris
from relevance.judging.gold import Predictions, by_query_and_pin, ranked
from relevance.metrics import most_probable, ndcg_by_query

_LONGEST_TEXT = 240  # characters of a field that are shown
_QUALITY = 72  # of a thumbnail's JPEG


@dataclass(frozen=True, slots=True)
class ShowcaseSettings:
    queries: int = 2  # of each kind: best and usual
    worst: int = 4  # what to mend
    pins: int = 8  # of each query, at most
    opinions: int = 2  # models whose levels are shown beside gold: the first so many of the predictions
    fewest_pins: int = 4  # judged pins that a query needs to be shown
    picture_pixels: int = 192  # the longer side of a thumbnail


class FieldText(NamedTuple):
    field: str
    text: str


class Opinion(NamedTuple):
    """What one model says of a pin; `probabilities` of levels 1..5, empty for a model that only scores."""

    model: str
    level: int | None
    probabilities: tuple[float, ...]


class ExamplePin(NamedTuple):
    rank: int
    pin_id: str
    title: str
    picture: bytes | None  # JPEG
    gold: int
    opinions: tuple[Opinion, ...]
    texts: tuple[FieldText, ...]

    @property
    def in_words(self) -> str:
        """What stands where its picture would."""
        said = [text.text for text in self.texts if text.field != "title"]
        return next(iter(said), self.title) or "no picture, no text"


class Example(NamedTuple):
    query: str
    lang: str
    kind: str  # best, usual or worst
    ndcg: float
    ranked_by: str
    pins: tuple[ExamplePin, ...]


def showcase(
    workspace: Workspace, predictions: Sequence[Predictions], settings: ShowcaseSettings | None = None
) -> tuple[Example, ...]:
    """Queries of the first model's best, median and worst nDCG, their pins in its order, beside models' opinions."""
    settings = settings or ShowcaseSettings()
    first = ranked(predictions[0])
    chosen = _choose(first.rows, settings)
    wanted = chosen["pin_id"].unique()
    texts, pictures = texts_of(workspace, wanted), pictures_of(workspace, wanted, settings.picture_pixels)
    opinions = [_opinions(one, chosen) for one in predictions[: settings.opinions]]
    examples = []
    for (kind, query), rows in chosen.group_by(["kind", "query"], maintain_order=True):
        pins = tuple(
            ExamplePin(
                rank=rank,
                pin_id=row["pin_id"],
                title=next((said.text for said in texts.get(row["pin_id"], ()) if said.field == "title"), ""),
                picture=pictures.get(row["pin_id"]),
                gold=row["level"],
                opinions=tuple(said[key] for said in opinions if (key := (row["query"], row["pin_id"])) in said),
                texts=texts.get(row["pin_id"], ()),
            )
            for rank, row in enumerate(rows.iter_rows(named=True), start=1)
        )
        lang = rows["lang"][0] if "lang" in rows.columns else None
        examples.append(Example(str(query), lang or "", str(kind), rows["ndcg"][0], first.model, pins))
    return tuple(examples)


def _choose(rows: pl.DataFrame, settings: ShowcaseSettings) -> pl.DataFrame:
    """The rows of the queries to show, best first within each, with `kind` and `ndcg`; ties by the query's text."""
    judged = rows.filter(pl.col("level").is_not_null())
    sizes = judged.group_by("query").agg(pl.len(), best=pl.col("level").max(), least=pl.col("level").min())
    able = sizes.filter((pl.col("len") >= settings.fewest_pins) & (pl.col("best") > pl.col("least")))
    judged = judged.join(able.select("query"), on="query", how="semi")
    if judged.is_empty():
        return judged.with_columns(kind=pl.lit(""), ndcg=pl.lit(0.0)).clear()
    values = ndcg_by_query(by_query_and_pin(judged, "level"), by_query_and_pin(judged, "score"))
    order = sorted(values, key=lambda query: (-values[query], query))
    kinds = {query: kind for kind, queries in _kinds(order, settings) for query in queries}
    shown = judged.filter(pl.col("query").is_in(list(kinds))).with_columns(
        kind=pl.col("query").replace_strict(kinds), ndcg=pl.col("query").replace_strict(values)
    )
    shown = shown.sort(pl.col("ndcg").neg(), "query", pl.col("score").neg(), "pin_id")
    return shown.filter(pl.int_range(pl.len()).over("query") < settings.pins)


def _kinds(order: Sequence[str], settings: ShowcaseSettings) -> list[tuple[str, Sequence[str]]]:
    """The last, middle and first of the queries; where they are few, a later kind takes a query from an earlier one."""
    each, worst = (min(wanted, len(order) // 3) or 1 for wanted in (settings.queries, settings.worst))
    middle = max(each, (len(order) - each) // 2)
    return [("worst", order[-worst:]), ("usual", order[middle : middle + each]), ("best", order[:each])]


def _opinions(one: Predictions, chosen: pl.DataFrame) -> dict[tuple[str, str], Opinion]:
    if "probabilities" not in one.rows.columns:
        return {}
    rows = one.rows.join(chosen.select("query", "pin_id"), on=["query", "pin_id"], how="semi")
    rows = rows.filter(pl.col("probabilities").is_not_null())
    if rows.is_empty():
        return {}
    probabilities = np.array(rows["probabilities"].to_list(), np.float64)
    levels = most_probable(probabilities).tolist()
    return {
        (query, pin): Opinion(one.model, level, tuple(map(float, row)))
        for query, pin, level, row in zip(rows["query"], rows["pin_id"], levels, probabilities, strict=True)
    }


def texts_of(workspace: Workspace, pins: pl.Series) -> dict[str, tuple[FieldText, ...]]:
    """What each of the pins says, a text a field, cut where it is long."""
    found: dict[str, list[FieldText]] = {}
    for pin, field, text in field_texts(workspace, pins).iter_rows():
        found.setdefault(pin, []).append(FieldText(field, _cut(text)))
    return {pin: tuple(texts) for pin, texts in found.items()}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def pictures_of(workspace: Workspace, pins: pl.Series, pixels: int) -> dict[str, bytes]:
    """JPEG thumbnails of those pins whose picture lies on this machine and is whole."""
    base = base_folder(workspace)
    found = {}
    for pin, uri in image_uris(workspace, pins).iter_rows():
        try:
            if local_path(uri, base) is not None:
                found[pin] = jpeg_thumbnail(read_image(uri, base), pixels, _QUALITY)
        except BadImage:  # the card shows its texts; `enrich status` counts the reason
            continue
    return found
