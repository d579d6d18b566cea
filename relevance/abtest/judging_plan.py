"""Which searches to have judged next, so that the mean of nDCG is known best for what the judging costs.

Reads the log's searches and what is judged of them; pure. Searches are told apart by how often their query is asked and
by language; a stratum gets judgments by its size times the spread of its nDCG (Neyman 1934; Cochran 1977, ch. 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.errors import BadInput
from relevance.abtest.outcomes import Outcome, outcomes
from relevance.labelling.strata import FREQUENCIES, frequency_classes
from relevance.metrics import Floats, Ints

_PRIOR_SEARCHES = 10.0  # of the pooled spread beside a stratum's own
_LEAST = 2  # searches of a stratum, or their spread could not be seen


class StratumPlan(NamedTuple):
    popularity: str
    lang: str
    searches: int  # in the log
    judged: int  # of these, with a judged impression
    spread: float  # standard deviation of nDCG, drawn towards the pooled one
    searches_to_judge: int


class JudgingPlan(NamedTuple):
    """The strata, and the standard error of the mean nDCG after judging as planned, or in other ways as many.

    No more are planned than there are.
    """

    strata: tuple[StratumPlan, ...]
    error: float
    proportional_error: float
    simple_random_error: float


def judging_plan(events: pl.DataFrame, judged: pl.DataFrame, searches: int) -> JudgingPlan:
    """How to spread `searches` over the strata. Raises BadInput where they are too few, or no search is judged."""
    strata = _strata(events)
    ndcg = next(rows for outcome, rows in outcomes(events, judged) if outcome is Outcome.NDCG)
    if ndcg.height < _LEAST:
        raise BadInput(f"expected {_LEAST} searches or more with judged impressions, found {ndcg.height}; judge some")
    known = strata.join(ndcg.select("request_id", "y"), on="request_id", how="left")
    table = (
        known.group_by("popularity", "lang")
        .agg(size=pl.len(), judged=pl.col("y").count(), mean=pl.col("y").mean(), variance=pl.col("y").var())
        .sort(pl.col("popularity").replace_strict({name: i for i, name in enumerate(FREQUENCIES)}), "lang")
    )
    if searches < _LEAST * table.height:
        raise BadInput(
            f"expected at least {_LEAST * table.height} searches to judge, {_LEAST} for each of {table.height} strata, "
            f"found {searches}"
        )
    sizes, variances = table["size"].to_numpy().astype(np.float64), _variances(table, float(ndcg["y"].var() or 0.0))  # type: ignore[arg-type]
    spreads = np.sqrt(variances)
    wanted = spread_over(sizes * spreads, sizes.astype(np.int64), searches)
    means = table["mean"].fill_null(ndcg["y"].mean()).to_numpy()
    weights = sizes / sizes.sum()
    between = float(np.sum(weights * (means - np.sum(weights * means)) ** 2))
    within = float(np.sum(weights * variances))
    return JudgingPlan(
        strata=tuple(_rows(table, spreads, wanted)),
        error=_error(weights, variances, wanted),
        proportional_error=sqrt(within / wanted.sum()),
        simple_random_error=sqrt((within + between) / wanted.sum()),
    )


def spread_over(claims: Floats, most: Ints, total: int) -> Ints:
    """`total` shared out by `claims` [h], each at least two and at most `most` [h]; the largest remainders round up."""
    least = np.minimum(_LEAST, most)
    given = least.copy()
    left = min(total, int(most.sum())) - int(given.sum())
    while left > 0:
        open_ = given < most
        shares = np.where(open_, np.maximum(claims, 1e-12), 0.0)
        exact = left * shares / shares.sum()
        whole = np.minimum(np.floor(exact).astype(np.int64), most - given)
        if not whole.any():
            place = int(np.argmax(np.where(open_, exact, -1.0)))
            whole[place] = 1
        given += whole
        left -= int(whole.sum())
    return given


def _strata(events: pl.DataFrame) -> pl.DataFrame:
    """Each search's popularity class and language."""
    found = events.group_by("request_id").agg(pl.col("query").first(), pl.col("lang").first().fill_null("unknown"))
    asked = found.group_by("query").agg(times=pl.len())
    classes = frequency_classes(dict(asked.group_by("times").agg(queries=pl.len()).iter_rows()))
    popularity = pl.col("times").replace_strict(classes, return_dtype=pl.String)
    return found.join(asked.select("query", popularity=popularity), on="query")


def _variances(table: pl.DataFrame, pooled: float) -> Floats:
    """Of each stratum, drawn towards the pooled one as if that had been seen in some searches more."""
    judged, own = table["judged"].to_numpy().astype(np.float64), table["variance"].fill_null(0.0).to_numpy()
    return np.asarray((judged * own + _PRIOR_SEARCHES * pooled) / (judged + _PRIOR_SEARCHES))


def _error(weights: Floats, variances: Floats, searches: Ints) -> float:
    return float(np.sqrt(np.sum(weights**2 * variances / searches)))


def _rows(table: pl.DataFrame, spreads: Floats, wanted: Ints) -> Iterator[StratumPlan]:
    columns = table.select("popularity", "lang", "size", "judged").iter_rows()
    for (popularity, lang, size, judged), spread, count in zip(columns, spreads, wanted, strict=True):
        yield StratumPlan(popularity, lang, size, judged, float(spread), int(count))
