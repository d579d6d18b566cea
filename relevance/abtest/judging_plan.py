"""Which searches to have judged next, so that the mean of nDCG is known best for what the judging costs.

Reads the log's searches and what is judged of them; pure. Searches of one query share their judgments, so what is drawn
is a query, by a search of it: it counts once however often it was asked. Queries are told apart by how often they are
asked and by language; a stratum gets judgments by its searches times the spread of its queries' nDCG (Neyman 1934;
Cochran 1977, ch. 5). Those judged already count as drawn like the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heapreplace
from math import sqrt
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.errors import BadInput
from relevance.abtest.outcomes import Outcome, outcomes
from relevance.labelling.strata import FREQUENCIES, frequency_classes
from relevance.metrics import Floats, Ints

_PRIOR_QUERIES = 10.0  # of the pooled spread beside a stratum's own
_LEAST = 2  # judged queries of a stratum, or their spread could not be seen


class StratumPlan(NamedTuple):
    popularity: str
    lang: str
    searches: int  # in the log, but for those of queries with nothing to gain
    queries: int  # asked in these
    judged: int  # of the queries, with a judged impression
    spread: float  # standard deviation of the queries' nDCG, drawn towards the pooled one
    searches_to_judge: int  # each of another query that is not judged


class JudgingPlan(NamedTuple):
    """The strata, and the standard error of the mean nDCG after judging as planned, or in other ways as many.

    No more are planned than there are.
    """

    strata: tuple[StratumPlan, ...]
    error: float
    proportional_error: float
    simple_random_error: float  # had what is judged been drawn at random too


def judging_plan(events: pl.DataFrame, judged: pl.DataFrame, searches: int) -> JudgingPlan:
    """How to spread `searches` over the strata. Raises BadInput where they are too few, or no search is judged."""
    known = _queries(events, judged)
    if known["y"].count() < _LEAST:
        raise BadInput(
            f"expected {_LEAST} queries or more with judged impressions, found {known['y'].count()}; judge some"
        )
    table = (
        known.group_by("popularity", "lang")
        .agg(
            pl.col("searches").sum(),
            queries=pl.len(),
            judged=pl.col("y").count(),
            mean=pl.col("y").mean(),
            variance=pl.col("y").var(),
        )
        .sort(pl.col("popularity").replace_strict({name: i for i, name in enumerate(FREQUENCIES)}), "lang")
    )
    held, queries = (table[name].to_numpy().astype(np.int64) for name in ("judged", "queries"))
    needed = int(np.maximum(np.minimum(_LEAST, queries) - held, 0).sum())
    if searches < needed:
        raise BadInput(
            f"expected at least {needed} searches to judge, so that {_LEAST} queries of each of {table.height} strata "
            f"are judged, found {searches}"
        )
    weights = table["searches"].to_numpy() / table["searches"].sum()
    variances = _variances(table, float(known["y"].var() or 0.0))  # type: ignore[arg-type]
    spreads = np.sqrt(variances)
    wanted = spread_over(weights * spreads, queries - held, searches, held)
    means = table["mean"].fill_null(known["y"].mean()).to_numpy()
    between = float(np.sum(weights * (means - np.sum(weights * means)) ** 2))
    within = float(np.sum(weights * variances))
    return JudgingPlan(
        strata=tuple(_rows(table, spreads, wanted)),
        error=_error(weights, variances, held + wanted),
        proportional_error=_error(weights, variances, held + spread_over(weights, queries - held, searches, held)),
        simple_random_error=sqrt((within + between) / (held + wanted).sum()),
    )


def spread_over(claims: Floats, most: Ints, total: int, held: Ints) -> Ints:
    """`total` shared out so that the sum of claims² ÷ count is least, counts being what is `held` and given; all [h].

    At most `most` are given of each, and nobody has a third before all who can have two. One at a time, to whom it
    helps most, is the exact optimum (Wright 2012, "The equivalence of Neyman optimum allocation for sampling and equal
    proportions for apportioning the U.S. House of Representatives").
    """
    given = np.zeros_like(most)
    turns = [(_turn(claims[place], held[place]), place) for place in np.flatnonzero(most)]
    heapify(turns)
    for _ in range(min(total, int(most.sum()))):
        place = turns[0][1]
        given[place] += 1
        if given[place] < most[place]:
            heapreplace(turns, (_turn(claims[place], held[place] + given[place]), place))
        else:
            heappop(turns)
    return given


def _turn(claim: float, count: int) -> tuple[bool, float, int]:
    """The least is next: who has too few, then whom one more helps most, then who has fewest."""
    return count >= _LEAST, -claim / sqrt(count * (count + 1)) if count >= _LEAST else 0.0, count


def _queries(events: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    """Each query's searches, popularity class and commonest language, and `y`: the mean nDCG of its judged searches.

    Without those whose judgments give no nDCG, for they have nothing to gain: to judge them again tells no more.
    """
    ndcg = next(rows for outcome, rows in outcomes(events, judged) if outcome is Outcome.NDCG)
    asked = events.group_by("request_id").agg(pl.col("query").first(), pl.col("lang").first().fill_null("unknown"))
    found = (
        asked.join(ndcg.select("request_id", "y"), on="request_id", how="left")
        .group_by("query")
        .agg(pl.col("lang").mode().min(), pl.col("y").mean(), searches=pl.len())
    )
    classes = frequency_classes(dict(found.group_by("searches").agg(queries=pl.len()).iter_rows()))
    shown = events.filter(pl.col("event") == "impression").join(judged, on=["query", "pin_id"], how="semi")
    open_ = found.join(shown, on="query", how="anti")
    known = pl.concat([open_, found.filter(pl.col("y").is_not_null())]).sort("query")
    return known.with_columns(popularity=pl.col("searches").replace_strict(classes, return_dtype=pl.String))


def _variances(table: pl.DataFrame, pooled: float) -> Floats:
    """Of each stratum, drawn towards the pooled one as if that had been seen in some queries more."""
    judged, own = table["judged"].to_numpy().astype(np.float64), table["variance"].fill_null(0.0).to_numpy()
    return np.asarray((judged * own + _PRIOR_QUERIES * pooled) / (judged + _PRIOR_QUERIES))


def _error(weights: Floats, variances: Floats, queries: Ints) -> float:
    return float(np.sqrt(np.sum(weights**2 * variances / queries)))


def _rows(table: pl.DataFrame, spreads: Floats, wanted: Ints) -> Iterator[StratumPlan]:
    columns = table.select("popularity", "lang", "searches", "queries", "judged").iter_rows()
    for (popularity, lang, searches, queries, judged), spread, count in zip(columns, spreads, wanted, strict=True):
        yield StratumPlan(popularity, lang, searches, queries, judged, float(spread), int(count))
