"""Models' predictions beside the gold levels: the record of a model, its checks, the pairs that all are judged on.

Reads frames of predictions, as `predictions.py` or another ranker makes them; pure functions. The gold pairs of an
evaluation are the union of all the models' judged pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance import metrics
from relevance.metrics import Floats

UNKNOWN = "unknown"  # the segment of pairs without a value
_PAIR = ("query", "pin_id")


class Predictions(NamedTuple):
    """What one model says of pairs.

    `rows`: query, pin_id, level (Int, null where not judged) and at least one of `score` (higher is better) and
    `probabilities` (list of five, levels 1..5); any segment columns; `fold` where it was tested over folds.
    """

    model: str
    rows: pl.DataFrame

    @property
    def judged(self) -> pl.DataFrame:
        """The rows with a gold level."""
        return self.rows.filter(pl.col("level").is_not_null())


class Gold(NamedTuple):
    """The judged pairs (query, pin_id, level, segment columns), and the queries in the order of their index."""

    rows: pl.DataFrame
    queries: list[str]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Gold:
        return cls(rows, sorted(rows["query"].unique().to_list()))


def gold_pairs(checked: Sequence[Predictions], segments: Sequence[str]) -> Gold:
    """The union of the models' judged pairs, each with the first value of each segment column that a model knows.

    Raises BadInput when nothing is judged or two models disagree on a pair's level.
    """
    if not any(one.judged.height for one in checked):
        raise BadInput("expected predictions of judged pairs, found none; import judgments or widen the test queries")
    kept = [*_PAIR, "level", *segments]
    rows = pl.concat([one.judged.select([c for c in kept if c in one.rows.columns]) for one in checked], how="diagonal")
    pairs = rows.group_by(_PAIR, maintain_order=True)
    if (pairs.agg(pl.col("level").n_unique())["level"] > 1).any():
        raise BadInput(
            "expected one gold level a pair, found pairs on which the models' frames disagree; join them anew"
        )
    known = [pl.col(column).drop_nulls().first().fill_null(UNKNOWN) for column in segments if column in rows.columns]
    return Gold.of(pairs.agg(pl.col("level").first(), *known))


class Segment(NamedTuple):
    """The judged pairs of one value of a segment column."""

    column: str
    value: str
    gold: Gold


def segments_of(gold: Gold, columns: Sequence[str], least: int, most: int) -> list[Segment]:
    """Of each column the `most` largest segments of `least` pairs or more; none where all pairs are of one value."""
    found = []
    for column in columns:
        if column not in gold.rows.columns or gold.rows[column].n_unique() < 2:
            continue
        sizes = gold.rows.group_by(column).len().filter(pl.col("len") >= least)
        for value in sizes.sort("len", column, descending=[True, False])[column].head(most):
            found.append(Segment(column, value, Gold.of(gold.rows.filter(pl.col(column) == value))))
    return found


def checked(one: Predictions, segments: Sequence[str]) -> Predictions:
    """With `level` as Int64, a `score` in every row, and segment columns as text.

    Raises BadInput for absent columns, a pair that stands twice, a level outside 1..5, and scores or probabilities that
    are none.
    """
    rows = one.rows
    if not {*_PAIR, "level"} <= set(rows.columns) or not {"score", "probabilities"} & set(rows.columns):
        raise BadInput(
            f"{one.model}: expected predictions with query, pin_id, level and score or probabilities, found columns "
            f"{', '.join(rows.columns)}"
        )
    if rows.select(_PAIR).is_duplicated().any():
        raise BadInput(
            f"{one.model}: expected each pair once, found pairs that stand twice; keep one prediction a pair"
        )
    odd = one.judged.filter(~pl.col("level").is_in(list(LEVELS)))
    if odd.height:
        raise BadInput(f"{one.model}: expected gold levels 1..{LEVELS[-1]}, found {odd['level'][0]}; map them")
    as_text = [pl.col(column).cast(pl.String) for column in segments if column in rows.columns]
    return ranked(Predictions(one.model, rows.with_columns(pl.col("level").cast(pl.Int64), *as_text)))


def ranked(one: Predictions) -> Predictions:
    """With `score` in every row: the model's own, else the expected level. Raises BadInput when it cannot be had."""
    return Predictions(one.model, one.rows.with_columns(score=_score(one)))


def probabilities_of(model: str, rows: pl.DataFrame) -> Floats | None:
    """float64 [n, 5], or None for a model that only scores. Raises BadInput for rows that hold anything else."""
    if "probabilities" not in rows.columns or rows["probabilities"].null_count() == rows.height:
        return None
    lists = rows["probabilities"].cast(pl.List(pl.Float64))  # a frame made from NumPy rows holds arrays
    if lists.null_count() or (lists.list.len() != len(LEVELS)).any():
        raise BadInput(f"{model}: expected five probabilities in every row, found rows with fewer, more or none")
    return metrics.checked_probabilities(lists.explode().to_numpy().reshape(-1, len(LEVELS)))


def by_query_and_pin(rows: pl.DataFrame, value: str) -> dict[str, dict[str, int]]:
    """`value` of each pin of each query, as ranking measures take it."""
    grouped = rows.group_by("query", maintain_order=True).agg("pin_id", value)
    return {
        query: dict(zip(pins, values, strict=True))
        for query, pins, values in zip(grouped["query"], grouped["pin_id"], grouped[value], strict=True)
    }


def _score(one: Predictions) -> pl.Series:
    """What the model ranks by: its score, else its expected level."""
    if "score" in one.rows.columns and one.rows["score"].null_count() == 0:
        score = one.rows["score"].cast(pl.Float64)
    else:
        probabilities = probabilities_of(one.model, one.rows)
        if probabilities is None:
            raise BadInput(f"{one.model}: expected a score in every row, found {one.rows['score'].null_count()} nulls")
        score = pl.Series("score", metrics.expected_level(probabilities))
    if not score.is_finite().all():
        raise BadInput(f"{one.model}: expected finite scores, found {score.filter(~score.is_finite())[0]}")
    return score
