"""What models are worth on the same judged pairs, with intervals, paired differences and segments.

Reads one frame of predictions a model (columns query, pin_id, level, lang, probabilities, score, fold) and gives an
`Evaluation`, which `report.py` renders; run by `relevance evaluate`. The gold pairs are the union of all the models'
judged pairs. A pair that a model does not answer counts against its ranking and, since nothing can be said of its
level, is left out of that model's other measures and shown by its `answered`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance import intervals, metrics
from relevance.figures import (
    CUTOFF,
    Comparison,
    Evaluation,
    EvaluationSettings,
    FieldCoverage,
    Figure,
    Measure,
    ModelFigures,
    ReliabilityBin,
    SegmentFigures,
)
from relevance.intervals import Statistic
from relevance.metrics import GAINS_NAME, Floats, Ints

UNKNOWN = "unknown"  # the segment of rows without a value
_AUROC_LEVEL = {Measure.AUROC_3: 3, Measure.AUROC_4: 4, Measure.AUROC_5: 5}


class Predictions(NamedTuple):
    """What one model says of pairs.

    `rows`: query, pin_id, level (Int, null where not judged) and at least one of `score` (higher is better) and
    `probabilities` (list of five, levels 1..5); any segment columns; `fold` where it was tested over folds.
    """

    model: str
    rows: pl.DataFrame


class Versus(NamedTuple):
    """A comparison to make: is `model` better than `rival`?"""

    model: str
    rival: str


def evaluate(
    predictions: Sequence[Predictions],
    comparisons: Sequence[Versus] = (),
    coverage: Sequence[FieldCoverage] = (),
    caveats: Sequence[str] = (),
    settings: EvaluationSettings | None = None,
) -> Evaluation:
    """Every figure of every model on the judged pairs, each with its interval by query.

    Raises BadInput when nothing is judged, two models disagree on a gold level, a pair stands twice, a score or
    probability is not finite, or a comparison names no model.
    """
    settings = settings or EvaluationSettings()
    checked = [_checked(one, settings) for one in predictions]
    gold = _gold(checked, settings)
    models = [_Model.of(one, gold, settings) for one in checked]
    draws = intervals.draw_queries(len(gold.queries), settings.bootstrap)
    return Evaluation(
        pairs=gold.rows.height,
        queries=len(gold.queries),
        folds=_folds(checked),
        level_counts=tuple(int(n) for n in np.bincount(gold.rows["level"].to_numpy(), minlength=6)[1:]),
        gains=GAINS_NAME,
        models=tuple(_figures(model, draws, settings) for model in models),
        comparisons=tuple(_compare(models, comparisons, draws, settings)),
        segments=tuple(_segments(checked, gold, settings)),
        coverage=tuple(coverage),
        caveats=tuple(caveats),
        settings=settings,
    )


class _Gold(NamedTuple):
    """The judged pairs (query, pin_id, level, segment columns), and the queries in the order of their index."""

    rows: pl.DataFrame
    queries: list[str]


class _Model(NamedTuple):
    name: str
    answered: int
    statistics: dict[Measure, Statistic]
    levels: Ints
    probabilities: Floats | None

    @classmethod
    def of(cls, one: Predictions, gold: _Gold, settings: EvaluationSettings) -> _Model:
        index = pl.DataFrame({"query": gold.queries, "index": range(len(gold.queries))})
        rows = one.rows.filter(pl.col("level").is_not_null()).join(index, on="query", maintain_order="left")
        query = rows["index"].to_numpy().astype(np.int64)
        levels = rows["level"].to_numpy().astype(np.int64)
        probabilities = _probabilities(one)
        statistics = {Measure.NDCG: _ranking(one, gold)}
        if probabilities is not None:
            probabilities = probabilities[one.rows["level"].is_not_null().to_numpy()]
            statistics |= _of_levels(query, levels, probabilities, len(gold.queries), settings)
        else:
            score = rows["score"].to_numpy().astype(np.float64)
            statistics |= {m: intervals.auroc(query, levels >= k, score) for m, k in _AUROC_LEVEL.items()}
        return cls(one.model, rows.height, statistics, levels, probabilities)


def _of_levels(
    query: Ints, levels: Ints, probabilities: Floats, queries: int, settings: EvaluationSettings
) -> dict[Measure, Statistic]:
    top = metrics.most_probable(probabilities)
    distance = np.abs(top - levels)
    return {
        Measure.ACCURACY: intervals.mean(query, (distance == 0).astype(np.float64), queries),
        Measure.WITHIN_ONE: intervals.mean(query, (distance <= 1).astype(np.float64), queries),
        Measure.KAPPA: intervals.kappa(query, levels, top, queries),
        Measure.ECE: intervals.calibration(query, levels, probabilities, queries, settings.bins),
        **{
            measure: intervals.auroc(query, levels >= level, metrics.probability_at_least(probabilities, level))
            for measure, level in _AUROC_LEVEL.items()
        },
    }


def _ranking(one: Predictions, gold: _Gold) -> Statistic:
    qrels = nested(gold.rows, "level")
    judged = one.rows.join(gold.rows.select("query").unique(), on="query", how="semi")
    by_query = metrics.ndcg_by_query(qrels, nested(judged, "score"), CUTOFF)
    values = np.array([by_query[query] for query in gold.queries], np.float64)
    return intervals.mean(np.arange(len(values)), values, len(values))


def _figures(model: _Model, draws: Floats, settings: EvaluationSettings) -> ModelFigures:
    confidence = settings.bootstrap.confidence
    figures = tuple(
        Figure(measure, intervals.estimate(model.statistics[measure], draws, confidence))
        for measure in Measure
        if measure in model.statistics
    )
    if model.probabilities is None or model.answered == 0:
        return ModelFigures(model.name, model.answered, figures)
    confusion = np.zeros((len(LEVELS), len(LEVELS)), np.int64)
    np.add.at(confusion, (model.levels - 1, metrics.most_probable(model.probabilities) - 1), 1)
    rows = tuple(tuple(int(cell) for cell in row) for row in confusion)
    return ModelFigures(
        model.name, model.answered, figures, rows, _reliability(model.levels, model.probabilities, settings.bins)
    )


def _reliability(levels: Ints, probabilities: Floats, bins: int) -> tuple[ReliabilityBin, ...]:
    confidence = probabilities.max(axis=1)
    right = (metrics.most_probable(probabilities) == levels).astype(np.float64)
    bin_of = metrics.confidence_bin(confidence, bins)
    return tuple(
        ReliabilityBin(
            k / bins, (k + 1) / bins, int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean())
        )
        for k in range(bins)
        if (inside := bin_of == k).any()
    )


def _compare(
    models: Sequence[_Model], comparisons: Sequence[Versus], draws: Floats, settings: EvaluationSettings
) -> list[Comparison]:
    by_name = {model.name: model for model in models}
    missing = {name for versus in comparisons for name in versus} - set(by_name)
    if missing:
        raise BadInput(f"expected comparisons among {', '.join(by_name)}, found {', '.join(sorted(missing))}")
    return [
        Comparison(
            versus.model, versus.rival, measure, intervals.difference(a, b, draws, settings.bootstrap.confidence)
        )
        for versus in comparisons
        for measure in Measure
        if (a := by_name[versus.model].statistics.get(measure)) is not None
        and (b := by_name[versus.rival].statistics.get(measure)) is not None
    ]


def _segments(checked: Sequence[Predictions], gold: _Gold, settings: EvaluationSettings) -> list[SegmentFigures]:
    found = []
    for column in settings.segments:
        if column not in gold.rows.columns:
            continue
        sizes = gold.rows.group_by(column).len().filter(pl.col("len") >= settings.segment_pairs)
        for value in sizes.sort("len", column, descending=[True, False])[column]:
            found.append(_segment(checked, gold, column, value, settings))
    return found


def _segment(
    checked: Sequence[Predictions], gold: _Gold, column: str, value: str, settings: EvaluationSettings
) -> SegmentFigures:
    rows = gold.rows.filter(pl.col(column) == value)
    inside = _Gold(rows, sorted(rows["query"].unique().to_list()))
    draws = intervals.draw_queries(len(inside.queries), settings.bootstrap)
    kept = [
        Predictions(one.model, one.rows.join(rows.select("query", "pin_id"), on=["query", "pin_id"], how="semi"))
        for one in checked
    ]
    models = tuple(_figures(_Model.of(one, inside, settings), draws, settings) for one in kept)
    return SegmentFigures(column, value, rows.height, len(inside.queries), models)


def _checked(one: Predictions, settings: EvaluationSettings) -> Predictions:
    """With `level` as Int64, a `score` in every row, and segment columns as text."""
    rows = one.rows
    missing = {"query", "pin_id", "level"} - set(rows.columns)
    if missing or not {"score", "probabilities"} & set(rows.columns):
        raise BadInput(
            f"{one.model}: expected predictions with query, pin_id, level and score or probabilities, found columns "
            f"{', '.join(rows.columns)}"
        )
    if rows.select("query", "pin_id").is_duplicated().any():
        raise BadInput(
            f"{one.model}: expected each pair once, found pairs that stand twice; keep one prediction a pair"
        )
    odd = rows["level"].drop_nulls().filter(~rows["level"].drop_nulls().is_in(list(LEVELS)))
    if odd.len():
        raise BadInput(f"{one.model}: expected gold levels 1..{LEVELS[-1]}, found {odd[0]}")
    segments = [pl.col(column).cast(pl.String).fill_null(UNKNOWN) for column in settings.segments if column in rows]
    rows = rows.with_columns(pl.col("level").cast(pl.Int64), *segments)
    return ranked(Predictions(one.model, rows))


def _score(one: Predictions) -> pl.Series:
    """What the model ranks by: its score, else its expected level."""
    if "score" in one.rows.columns and one.rows["score"].null_count() == 0:
        score = one.rows["score"].cast(pl.Float64)
    else:
        probabilities = _probabilities(one)
        if probabilities is None:
            raise BadInput(f"{one.model}: expected a score in every row, found {one.rows['score'].null_count()} nulls")
        score = pl.Series("score", metrics.expected_level(probabilities))
    if not score.is_finite().all():
        raise BadInput(f"{one.model}: expected finite scores, found {score.filter(~score.is_finite())[0]}")
    return score


def _probabilities(one: Predictions) -> Floats | None:
    """[n, 5], or None for a model that only scores."""
    if "probabilities" not in one.rows.columns or one.rows["probabilities"].null_count() == one.rows.height:
        return None
    lists = one.rows["probabilities"].cast(pl.List(pl.Float64))  # a frame made from NumPy rows holds arrays
    if lists.null_count() or (lists.list.len() != len(LEVELS)).any():
        raise BadInput(f"{one.model}: expected five probabilities in every row, found rows with fewer, more or none")
    flat = lists.explode().to_numpy()
    return metrics.checked_probabilities(flat.reshape(-1, len(LEVELS)))


def _gold(checked: Sequence[Predictions], settings: EvaluationSettings) -> _Gold:
    judged = [one.rows.filter(pl.col("level").is_not_null()) for one in checked]
    if not any(rows.height for rows in judged):
        raise BadInput("expected predictions of judged pairs, found none; import judgments or widen the test queries")
    kept = ["query", "pin_id", "level", *settings.segments]
    rows = pl.concat([one.select([c for c in kept if c in one.columns]) for one in judged], how="diagonal")
    if (rows.unique(["query", "pin_id", "level"]).select("query", "pin_id").is_duplicated()).any():
        raise BadInput("expected one gold level a pair, found pairs on which the models' frames disagree")
    rows = rows.unique(["query", "pin_id"], keep="first", maintain_order=True).with_columns(
        pl.col(column).fill_null(UNKNOWN) for column in settings.segments if column in rows.columns
    )
    return _Gold(rows, sorted(rows["query"].unique().to_list()))


def ranked(one: Predictions) -> Predictions:
    """With `score` in every row: the model's own, else the expected level. Raises BadInput when it cannot be had."""
    return Predictions(one.model, one.rows.with_columns(score=_score(one)))


def nested(rows: pl.DataFrame, value: str) -> dict[str, dict[str, int]]:
    """`value` by query and pin, as ranking measures take it."""
    grouped = rows.group_by("query", maintain_order=True).agg("pin_id", value)
    return {
        query: dict(zip(pins, values, strict=True))
        for query, pins, values in zip(grouped["query"], grouped["pin_id"], grouped[value], strict=True)
    }


def _folds(checked: Sequence[Predictions]) -> int:
    """Folds over which the models were tested; 1 for a single split."""
    counts = [one.rows["fold"].n_unique() for one in checked if "fold" in one.rows.columns]
    return max(counts, default=1)
