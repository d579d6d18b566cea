"""How far the people agree who judged the pairs, level by level, and each annotator with the others.

Reads the votes that count (enrich/judgments.py); `relevance agreement` prints the report. A model can hardly meet the
gold levels better than a person meets those of the others: that figure is among them. Intervals are 95 % bootstraps
over queries. Figures need pairs with two votes or more; where there are none they are nan, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.judgments import counted_votes, gold_level
from enrich.workspace import Workspace
from relevance.annotators import coincidences
from relevance.annotators.ballots import Ballots, ballots_of
from relevance.annotators.coincidences import Scale
from relevance.intervals import (
    BootstrapSettings,
    Estimate,
    Statistic,
    Sums,
    counted,
    divided,
    draw_queries,
    estimate,
    kappa_of_confusions,
    mean,
)
from relevance.metrics import Floats, Ints

Figure = Callable[[Statistic], Estimate]


@dataclass(frozen=True, slots=True)
class AgreementSettings:
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)
    common_pairs: int = 30  # that two annotators share at least, to be compared
    drift_days: float = 30.0  # the unit of time of an annotator's drift


class LevelAgreement(NamedTuple):
    """Of votes for `level`: how many, and what share of the pairs' other votes are for it too."""

    level: float
    votes: int
    agreement: Estimate


class AnnotatorFigures(NamedTuple):
    """One annotator beside the others on the pairs that they share."""

    annotator: str
    votes: int
    shared: int  # votes on pairs that others voted on, too
    bias: Estimate  # levels above (+) or below (-) the others' mean
    distance: Estimate  # mean absolute distance from the others' mean, levels
    drift: Estimate  # change of the bias in `drift_days`


class CoupleFigures(NamedTuple):
    """Two annotators on the pairs that both voted on."""

    one: str
    other: str
    pairs: int
    same: Estimate  # share of these pairs
    kappa: Estimate  # Cohen's
    quadratic_kappa: Estimate


@dataclass(frozen=True, slots=True)
class Agreement:
    votes: int
    pairs: int
    shared_pairs: int  # with two votes or more
    queries: int
    anonymous: int  # votes without an annotator's id
    alpha: Mapping[Scale, Estimate]  # Krippendorff's
    fleiss_kappa: Estimate
    same: Estimate  # share of couples of votes on one pair that are the same
    within_one: Estimate  # or at most a level apart
    accuracy: Estimate  # share of votes that are the gold level of the pair's other votes
    levels: tuple[LevelAgreement, ...]
    annotators: tuple[AnnotatorFigures, ...]  # most votes first
    couples: tuple[CoupleFigures, ...]
    settings: AgreementSettings


def agreement(workspace: Workspace, settings: AgreementSettings | None = None) -> Agreement:
    """Of a workspace's judgments. Raises BadInput where there are none."""
    votes = counted_votes(workspace).filter(pl.col("query") != "").collect()
    return agreement_of(votes, settings or AgreementSettings())


def agreement_of(rows: pl.DataFrame, settings: AgreementSettings) -> Agreement:
    """Of rows with query, pin_id, annotator_id (or null), level and judged_at. Raises BadInput for none."""
    ballots = ballots_of(rows)
    draws = draw_queries(ballots.votes.queries, settings.bootstrap)

    def figure(statistic: Statistic) -> Estimate:
        return estimate(statistic, draws, settings.bootstrap.confidence)

    matrices, levels = coincidences.coincidences(ballots.votes), ballots.votes.levels
    return Agreement(
        votes=rows.height,
        pairs=int(ballots.votes.pair.max()) + 1,
        shared_pairs=len(np.unique(ballots.votes.pair[ballots.shared])),
        queries=ballots.votes.queries,
        anonymous=rows["annotator_id"].null_count(),
        alpha={scale: figure(coincidences.krippendorff_alpha(matrices, levels, scale)) for scale in Scale},
        fleiss_kappa=figure(coincidences.fleiss_kappa(matrices)),
        same=figure(coincidences.agreeing(matrices, levels, 0)),
        within_one=figure(coincidences.agreeing(matrices, levels, 1)),
        accuracy=figure(_accuracy(ballots)),
        levels=tuple(_levels(ballots, matrices, figure)),
        annotators=tuple(_annotators(ballots, settings.drift_days, figure)),
        couples=tuple(_couples(ballots, settings.common_pairs, figure)),
        settings=settings,
    )


def _accuracy(ballots: Ballots) -> Sums:
    """Votes read as levels 1..5, as a gold level is read off the mean of the others."""
    kept = ballots.shared
    frame = pl.DataFrame({"one": ballots.level[kept], "others": ballots.others[kept]})
    same = frame.select(gold_level(pl.concat_list("one")) == gold_level(pl.concat_list("others"))).to_series()
    return mean(ballots.votes.query[kept], same.to_numpy().astype(np.float64), ballots.votes.queries)


def _levels(ballots: Ballots, matrices: Floats, figure: Figure) -> Iterator[LevelAgreement]:
    levels = ballots.votes.levels
    for place, level in enumerate(levels):
        agreement = figure(coincidences.agreeing_on(matrices, place, len(levels)))
        yield LevelAgreement(float(level), int(np.sum(ballots.votes.level == place)), agreement)


def _annotators(ballots: Ballots, drift_days: float, figure: Figure) -> Iterator[AnnotatorFigures]:
    for place, name in enumerate(ballots.names):
        own = ballots.annotator == place
        kept = own & ballots.shared
        query, queries = ballots.votes.query[kept], ballots.votes.queries
        above = ballots.level[kept] - ballots.others[kept]
        yield AnnotatorFigures(
            annotator=name,
            votes=int(own.sum()),
            shared=int(kept.sum()),
            bias=figure(mean(query, above, queries)),
            distance=figure(mean(query, np.abs(above), queries)),
            drift=figure(slope(query, ballots.day[kept] / drift_days, above, queries)),
        )


def slope(query: Ints, x: Floats, y: Floats, queries: int) -> Sums:
    """Of the least-squares line of y over x [n]; undefined where all x are equal."""
    middle = x.mean() if len(x) else 0.0  # of no consequence but for rounding
    near = x - middle
    columns: tuple[Floats, ...] = (np.ones(len(near)), near, near * near, y, near * y)
    by_query = np.column_stack([np.bincount(query, weights=column, minlength=queries) for column in columns])

    def finish(sums: Floats) -> Floats:
        n, sx, sxx, sy, sxy = sums.T
        spread = n * sxx - sx * sx
        return divided(n * sxy - sx * sy, np.where(spread > 1e-9 * np.maximum(n * sxx, 1e-9), spread, 0.0))

    return Sums(by_query.astype(np.float64), finish)


def _couples(ballots: Ballots, common_pairs: int, figure: Figure) -> Iterator[CoupleFigures]:
    votes = ballots.votes
    own = [np.flatnonzero(ballots.annotator == place) for place in range(len(ballots.names))]
    for one, other in combinations(range(len(own)), 2):
        pairs, left, right = np.intersect1d(
            votes.pair[own[one]], votes.pair[own[other]], assume_unique=True, return_indices=True
        )
        if len(pairs) < common_pairs:
            continue
        a, b = own[one][left], own[other][right]
        k = len(votes.levels)
        cell = votes.level[a] * k + votes.level[b]
        confusions = counted(votes.query[a], cell, np.ones(len(cell)), votes.queries, k * k)
        yield CoupleFigures(
            one=ballots.names[one],
            other=ballots.names[other],
            pairs=len(pairs),
            same=figure(coincidences.agreeing(confusions, votes.levels, 0)),
            kappa=figure(kappa_of_confusions(confusions, votes.levels, _unequal)),
            quadratic_kappa=figure(kappa_of_confusions(confusions, votes.levels, np.square)),
        )


def _unequal(differences: Floats) -> Floats:
    return np.asarray(differences != 0, dtype=np.float64)
