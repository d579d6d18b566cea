"""What is known of each logged query: `query_features`, one snapshot at a time.

Reads engagements, pins (their category), interests and deletions; writes query_features (`enrich queries`). A query is
known when it is in the log; a private one (`privacy.py`) is not kept.

Frequency: distinct (user, UTC day) that issued it in the year before the snapshot. Language: the one most often given
in that time, else identified from the text and from what the other queries are in (`query_languages.py`). Interests: at
most three, by

    affinity(query, interest) = max(0, cosine of their embeddings) + engaged(query, interest) / (engaged(query) + 5)

where engaged counts clicks, long clicks and saves on pins of the interest's category: the embedding speaks for a new
query, people's behaviour for an old one. Shopping intent: the shopping interests' share of the three's affinity.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import polars as pl
from numpy.typing import NDArray

from enrich import encoder_choice, parts, snapshots, tables
from enrich.day_folders import Kind
from enrich.history import History, times
from enrich.job import JobReport, input_hash
from enrich.log_days import LogDays, start_of_day
from enrich.normalise import normalise_query
from enrich.query_languages import PRODUCER as IDENTIFIER
from enrich.query_languages import QueryLanguages
from enrich.snapshots import Change, Computed, SnapshotSettings
from enrich.tables import QUERY_FEATURES
from enrich.text_encoder import TextEncoder
from enrich.window_sums import Remembered, Sum, WindowSums
from enrich.workspace import Workspace

MAX_INTERESTS = 3
MIN_AFFINITY = 0.2  # below it an interest is noise: unrelated phrases reach about 0.15 with MiniLM
_PRIOR_ENGAGEMENT = 5.0  # events at which behaviour counts half of what it can
_SAME_NAME = 0.6  # cosine from which a category is taken to be the interest of another name
_ENGAGING = ("click", "long_click", "save")

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class QueryFeatureSettings:
    model: str | None = None  # text encoder: a folder or hub id; None for the one last named to the workspace
    window: timedelta = timedelta(days=365)  # of the log that counts


class Interests(NamedTuple):
    ids: list[str]
    vectors: Vectors  # [interests, d]
    shopping: NDArray[np.bool_]  # [interests]
    of_category: dict[str, int]  # a pin's category, as written -> which interest it is


_SEARCHES = Sum("searches", Kind.ASKERS, lambda log: searches(log.filter(log.refused.isnull())).rename(n="frequency"))
_LANGUAGES = Sum("query-languages", Kind.ASKERS, lambda log: _given_languages(log.filter(log.refused.isnull())))
_FIRST_ENGAGED = Sum(
    "pin-first-engaged", Kind.PAIRS, lambda log: _first_engaged(log.filter(log.refused.isnull())), earliest=True
)
_ENGAGED = Sum("query-engaged", Kind.PAIRS, lambda log: _engaged(log.filter(log.refused.isnull())))


class _Window(NamedTuple):
    """What the log says of the queries of one window."""

    searches: ir.Table  # query, n: distinct (user, UTC day) that issued it
    languages: ir.Table  # query, lang, n
    engaged: ir.Table  # query, category (of the pin), n: clicks, long clicks and saves


def run_query_features(
    workspace: Workspace,
    history: History,
    days: LogDays,
    settings: QueryFeatureSettings,
    cadence: SnapshotSettings,
) -> JobReport:
    """Bring query_features up to date with what the log held before each due snapshot."""
    encoder = encoder_choice.chosen(workspace, settings.model)
    rule = f"query-features/2 window={settings.window.days}d cadence={cadence.cadence_days}d"
    producer = f"{rule} {encoder.producer} {IDENTIFIER}"
    pins = history.pins().select("pin_id", "category")
    pins = history.keep("categories", pins.filter(pins.category.notnull()).distinct())
    taxonomy = pl.DataFrame(parts.read(workspace.folder(tables.INTERESTS), tables.INTERESTS)).sort("interest_id")
    basis = input_hash(repr(taxonomy.rows()))
    sums, found = WindowSums(days), Remembered[pl.DataFrame]()
    categories = _category_changes(sums, pins, cadence)
    planned = snapshots.plan(days.changes(cadence), cadence, also=categories, basis=basis, window=settings.window)
    lost = [one.at for one in planned if days.lost(one.at - settings.window, one.at)]
    planned = snapshots.as_made(workspace, QUERY_FEATURES, planned, lost)
    vectors = QueryVectors(workspace, producer, encoder)
    told = QueryLanguages()
    interests = cache(lambda: _interests(taxonomy, pins, encoder))

    def compute(at: datetime, _: pl.DataFrame) -> Computed:
        start = at - settings.window
        searched, languages, engaged = (sums.of(one, start, at) for one in (_SEARCHES, _LANGUAGES, _ENGAGED))
        window = _Window(searched, languages, engaged.join(pins, "pin_id"))
        values = found.of((searched, languages, engaged), lambda: query_features(window, interests(), vectors, told))
        return Computed(values, Counter())

    report = snapshots.run(workspace, QUERY_FEATURES, planned, compute, producer, cadence)
    sums.save()
    return report


def query_features(window: _Window, interests: Interests, vectors: QueryVectors, told: QueryLanguages) -> pl.DataFrame:
    """The features of each usable query of one window."""
    known: pl.DataFrame = window.searches.select("query", frequency="n").order_by("query").to_polars()
    queries: list[str] = known["query"].to_list()
    embedded = vectors.of(queries)
    affinity = np.maximum(embedded @ interests.vectors.T, 0) + _engaged_share(window.engaged, queries, interests)
    best = np.argsort(-affinity, axis=1, kind="stable")[:, :MAX_INTERESTS]
    weights = np.take_along_axis(affinity, best, axis=1)
    weights[weights < MIN_AFFINITY] = 0
    return known.with_columns(lang=told.of(window.languages.to_polars(), queries)).with_columns(
        query_embedding=pl.Series(list(embedded), dtype=pl.List(pl.Float32)),
        interests=pl.Series(_named(best, weights, interests.ids), dtype=pl.List(pl.String)),
        shopping_intent=_shopping_intent(weights, interests.shopping[best]),
    )


def searches(log: ir.Table) -> ir.Table:
    """query, frequency: how many distinct (user, UTC day) issued it; `day` is the UTC day's number."""
    days = log.select("query", "user", "day").distinct()
    return days.group_by("query").agg(frequency=days.count())


def _given_languages(log: ir.Table) -> ir.Table:
    """query, lang, n: how often each language was given with it."""
    named = log.filter(log.lang.notnull() & (log.lang != ""))
    return named.group_by("query", "lang").agg(n=times(named).sum())


def _engaged(log: ir.Table) -> ir.Table:
    """query, pin_id, n: clicks, long clicks and saves."""
    engaged = log.filter(log.event.isin(_ENGAGING))
    return engaged.group_by("query", "pin_id").agg(n=times(engaged).sum())


def _first_engaged(log: ir.Table) -> ir.Table:
    """pin_id and n, the number of the first day on which anybody engaged with it."""
    engaged = log.filter(log.event.isin(_ENGAGING))
    return engaged.group_by("pin_id").agg(n=engaged.day.min())


def _category_changes(sums: WindowSums, pins: ir.Table, cadence: SnapshotSettings) -> list[Change]:
    """What says that a pin's category is another: it counts from the first day that anybody engaged with the pin.

    Only whole days count, so that a day that is still being written costs no look at all that were before.
    """
    first = sums.of(_FIRST_ENGAGED, None, start_of_day(replace(cadence, as_of=None).horizon))
    known = pins.join(first, "pin_id").mutate(period=first.n // cadence.cadence_days)
    known = known.mutate(digest=ibis.literal("\x1f").join([known.pin_id, known.category]).hash() % 2**31)
    counted = known.group_by("period").agg(rows=known.count(), digest=known.digest.sum().cast("int64"))
    return [Change(*row) for row in counted.order_by("period").to_polars().iter_rows()]


def _named(best: NDArray[np.int64], weights: NDArray[np.float64], ids: list[str]) -> list[list[str]]:
    """The ids at `best` [n, at most 3] that have a weight."""
    return [
        [ids[place] for place, weight in zip(*row, strict=True) if weight] for row in zip(best, weights, strict=True)
    ]


def _shopping_intent(weights: NDArray[np.floating], shopping: NDArray[np.bool_]) -> pl.Series:
    """The shopping interests' share of the weights [n, at most 3], to two decimals; null where there are none."""
    total = weights.sum(axis=1)
    share = (weights * shopping).sum(axis=1) / np.where(total > 0, total, 1)
    return pl.Series(np.where(total > 0, share, np.nan)).fill_nan(None).round(2).cast(pl.Float32)


def _engaged_share(engaged: ir.Table, queries: list[str], interests: Interests) -> NDArray[np.float64]:
    """[queries, interests]: the share of the query's engagement that went to the interest's pins, shrunk to 0."""
    by_category = engaged.group_by("query", "category").agg(events=engaged.n.sum().cast("int64"))
    counted = by_category.order_by("query", "category").to_polars()
    places = {query: place for place, query in enumerate(queries)}
    events = np.zeros((len(queries), len(interests.ids)))
    for query, category, count in counted.iter_rows():
        if category in interests.of_category:
            events[places[query], interests.of_category[category]] += count
    share: NDArray[np.float64] = events / (events.sum(axis=1, keepdims=True) + _PRIOR_ENGAGEMENT)
    return share


def _interests(taxonomy: pl.DataFrame, pins: ir.Table, encoder: TextEncoder) -> Interests:
    """The taxonomy's vectors, and which interest each category of the pins is: of that id or name, else of a name
    close to it."""
    names: list[str] = taxonomy["name"].to_list()
    ids: list[str] = taxonomy["interest_id"].to_list()
    vectors = encoder.encode(names)
    shopping = taxonomy["is_shopping"].to_numpy().astype(bool)
    if not ids:
        return Interests(ids, vectors, shopping, {})
    written = pins.select("category").distinct().order_by("category").to_polars()
    exact = {normalise_query(text): place for texts in (names, ids) for place, text in enumerate(texts)}
    of_category = {text: exact[key] for text in written["category"] if (key := normalise_query(text)) in exact}
    others = [text for text in written["category"] if text not in of_category]
    cosines = encoder.encode(others) @ vectors.T
    close = {text: int(row.argmax()) for text, row in zip(others, cosines, strict=True) if row.max() >= _SAME_NAME}
    return Interests(ids, vectors, shopping, of_category | close)


class QueryVectors:
    """Each query's vector: from the table where the same producer wrote it, else encoded, once."""

    def __init__(self, workspace: Workspace, producer: str, encoder: TextEncoder) -> None:
        self._encoder = encoder
        written = parts.scan(workspace.folder(QUERY_FEATURES)).filter(
            (pl.col("producer") == producer) & pl.col("query_embedding").is_not_null()
        )
        known = written.select("query", "query_embedding").unique("query", keep="any").collect()
        self._vectors: dict[str, Vectors] = {
            query: np.asarray(vector, dtype=np.float32) for query, vector in known.iter_rows()
        }

    def of(self, queries: list[str]) -> Vectors:
        """Float32 [n, d], in the order of `queries`."""
        missing = [query for query in queries if query not in self._vectors]
        self._vectors.update(zip(missing, self._encoder.encode(missing), strict=True))
        if not queries:
            return np.zeros((0, self._encoder.dimension), dtype=np.float32)
        return np.stack([self._vectors[query] for query in queries])
