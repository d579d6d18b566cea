"""What an experiment is measured by: rows of a session or a search, each with y and n, whose sums make the measure.

Reads an `ExperimentLog` and the judged pairs (query, pin_id, level); pure.

- fulfilment: share of sessions with a long click or a save, the events that say a search was worth it (arXiv 2410.17152
  counts sessions with a high-significance action).
- nDCG@20: of a search's judged impressions in the order shown (unjudged ones skipped: Sakai 2007, "Alternatives to
  Bpref"), against the best order of all that is judged for the query; gains as in `relevance evaluate`.
- P(level ≥ 4)@8: of the judged among a search's first 8 impressions, the share that is relevant.
- hides: a guardrail, hides by impression.

nDCG and precision need the order shown: a search with an impression of no position has neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import polars as pl

from relevance.metrics import GAINS

CUTOFF, PRECISION_CUTOFF, RELEVANT = 20, 8, 4
_FULFILLING = ("long_click", "save")
_WHO = ("arm", "user")


class Outcome(StrEnum):
    FULFILMENT = "fulfilment"
    NDCG = f"nDCG@{CUTOFF}"
    PRECISION = f"P(level>={RELEVANT})@{PRECISION_CUTOFF}"
    HIDES = "hides an impression"

    @property
    def lower_is_better(self) -> bool:
        return self is Outcome.HIDES


RANKED = frozenset({Outcome.NDCG, Outcome.PRECISION})  # which need positions


def outcomes(events: pl.DataFrame, judged: pl.DataFrame) -> Iterator[tuple[Outcome, pl.DataFrame]]:
    """Each outcome's rows: arm, user, country, lang, at, y, n, of searches also request_id.

    Those of judged searches are empty without judgments.
    """
    yield Outcome.FULFILMENT, _fulfilment(events)
    levels = _shown_levels(events, judged)
    yield Outcome.NDCG, _ndcg(levels, judged)
    yield Outcome.PRECISION, _precision(levels)
    yield Outcome.HIDES, _hides(events)


def _fulfilment(events: pl.DataFrame) -> pl.DataFrame:
    good = pl.col("event").is_in(_FULFILLING).any().cast(pl.Float64)
    return events.group_by(*_WHO, "session_id").agg(*_where(), y=good, n=pl.lit(1.0)).drop("session_id")


def _hides(events: pl.DataFrame) -> pl.DataFrame:
    hides, shown = ((pl.col("event") == event).sum().cast(pl.Float64) for event in ("hide", "impression"))
    return events.group_by(*_WHO, "request_id").agg(*_where(), y=hides, n=shown).drop("request_id")


def _where() -> list[pl.Expr]:
    """When it began and where: of the earliest event."""
    first = pl.col("event_timestamp").arg_min()
    return [*(pl.col(name).get(first) for name in ("country", "lang")), pl.col("event_timestamp").min().alias("at")]


def _shown_levels(events: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    """Judged impressions, a pin once a search, with `place`, from 1, among all of its impressions."""
    impressions = events.filter(pl.col("event") == "impression")
    unplaced = impressions.filter(pl.col("position").is_null())
    ordered = impressions.join(unplaced, on="request_id", how="anti")  # else what has no position would stand first
    shown = ordered.sort("request_id", "position", "event_timestamp", "pin_id")
    placed = shown.unique(["request_id", "pin_id"], keep="first", maintain_order=True).with_columns(
        place=pl.int_range(1, pl.len() + 1).over("request_id")
    )
    return placed.join(judged.select("query", "pin_id", "level"), on=["query", "pin_id"])


def _ndcg(levels: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    """A search whose query has nothing to gain tells nothing of an arm: no order of it could be better."""
    gain = pl.col("level").replace_strict(GAINS, return_dtype=pl.Float64)
    best = (
        judged.sort("query", "level", descending=[False, True])
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("query"))
        .filter(pl.col("rank") <= CUTOFF)
        .group_by("query")
        .agg(ideal=(gain / (pl.col("rank") + 1).log(2)).sum())
        .filter(pl.col("ideal") > 0)
    )
    ranked = levels.sort("request_id", "place").with_columns(rank=pl.int_range(1, pl.len() + 1).over("request_id"))
    found = ranked.filter(pl.col("rank") <= CUTOFF).join(best, on="query")
    share = (gain / (pl.col("rank") + 1).log(2)).sum() / pl.col("ideal").first()
    return found.group_by(*_WHO, "request_id").agg(*_where(), y=share, n=pl.lit(1.0))


def _precision(levels: pl.DataFrame) -> pl.DataFrame:
    relevant = (pl.col("level") >= RELEVANT).mean()
    first = levels.filter(pl.col("place") <= PRECISION_CUTOFF)
    return first.group_by(*_WHO, "request_id").agg(*_where(), y=relevant, n=pl.lit(1.0))
