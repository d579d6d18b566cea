"""What models are worth on the same judged pairs, with intervals, paired differences and segments.

Reads each model's `Predictions` (judging/gold.py) and gives an `Evaluation` (judging/figures.py), which `report.py`
renders; run by `relevance evaluate`. A pair that a model does not answer counts against its ranking and, since nothing
can be said of its level, is left out of that model's other measures and shown by its `answered`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance import intervals, metrics
from relevance.intervals import Statistic
from relevance.judging.figures import (
    CUTOFF,
    Comparison,
    Evaluation,
    EvaluationSettings,
    FieldCoverage,
    Figure,
    LevelErrors,
    Measure,
    ModelFigures,
    SegmentFigures,
)
from relevance.judging.gold import Gold, Predictions, by_query_and_pin, checked, gold_pairs, probabilities_of
from relevance.metrics import GAINS_NAME, Floats, Ints
from relevance.reliability import Curve, cumulative_claims, exact_claims, top_claim

_AUROC_LEVEL = {Measure.AUROC_3: 3, Measure.AUROC_4: 4, Measure.AUROC_5: 5}


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
    found = [checked(one, settings.segments) for one in predictions]
    gold = gold_pairs(found, settings.segments)
    models = [_Model.of(one, gold, settings) for one in found]
    draws = intervals.draw_queries(len(gold.queries), settings.bootstrap)
    return Evaluation(
        pairs=gold.rows.height,
        queries=len(gold.queries),
        folds=_folds(found),
        level_counts=tuple(int(n) for n in np.bincount(gold.rows["level"].to_numpy(), minlength=6)[1:]),
        gains=GAINS_NAME,
        models=tuple(_figures(model, draws, settings) for model in models),
        comparisons=tuple(_compare(models, comparisons, draws, settings)),
        segments=tuple(_segments(found, gold, settings)),
        coverage=tuple(coverage),
        caveats=tuple(caveats),
        settings=settings,
    )


class _Model(NamedTuple):
    name: str
    answered: int
    statistics: dict[Measure, Statistic]
    query: Ints  # of each row, by its index
    levels: Ints
    probabilities: Floats | None

    @classmethod
    def of(cls, one: Predictions, gold: Gold, settings: EvaluationSettings) -> _Model:
        index = pl.DataFrame({"query": gold.queries, "index": range(len(gold.queries))})
        rows = one.judged.join(index, on="query", maintain_order="left")
        query = rows["index"].to_numpy().astype(np.int64)
        levels = rows["level"].to_numpy().astype(np.int64)
        probabilities = probabilities_of(one.model, rows)
        statistics = {Measure.NDCG: _ranking(one, gold)}
        if probabilities is not None:
            statistics |= _of_levels(query, levels, probabilities, len(gold.queries), settings)
        else:
            score = rows["score"].to_numpy().astype(np.float64)
            statistics |= {m: intervals.auroc(query, levels >= k, score) for m, k in _AUROC_LEVEL.items()}
        return cls(one.model, rows.height, statistics, query, levels, probabilities)


def _of_levels(
    query: Ints, levels: Ints, probabilities: Floats, queries: int, settings: EvaluationSettings
) -> dict[Measure, Statistic]:
    top = metrics.most_probable(probabilities)
    distance = np.abs(top - levels)
    return {
        Measure.ACCURACY: intervals.mean(query, (distance == 0).astype(np.float64), queries),
        Measure.WITHIN_ONE: intervals.mean(query, (distance <= 1).astype(np.float64), queries),
        Measure.KAPPA: intervals.kappa(query, levels, top, queries),
        Measure.ECE: intervals.calibration(query, top_claim(levels, probabilities), queries, settings.bins),
        **{
            measure: intervals.auroc(query, levels >= level, metrics.probability_at_least(probabilities, level))
            for measure, level in _AUROC_LEVEL.items()
        },
    }


def _ranking(one: Predictions, gold: Gold) -> Statistic:
    qrels = by_query_and_pin(gold.rows, "level")
    run = one.rows.join(gold.rows, on="query", how="semi")
    by_query = metrics.ndcg_by_query(qrels, by_query_and_pin(run, "score"), CUTOFF)
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
    reliability = Curve.of(top_claim(model.levels, model.probabilities), settings.bins).bins
    errors = tuple(_level_errors(model, model.probabilities, draws, settings))
    return ModelFigures(model.name, model.answered, figures, rows, reliability, errors)


def _level_errors(
    model: _Model, probabilities: Floats, draws: Floats, settings: EvaluationSettings
) -> Iterator[LevelErrors]:
    exactly, at_least = (
        [
            intervals.estimate(
                intervals.calibration(model.query, claim, draws.shape[1], settings.bins),
                draws,
                settings.bootstrap.confidence,
            )
            for claim in claims(model.levels, probabilities)
        ]
        for claims in (exact_claims, cumulative_claims)
    )
    for level, exact, cumulative in zip(LEVELS, exactly, [None, *at_least], strict=True):
        yield LevelErrors(level, exact, cumulative)


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


def _segments(found: Sequence[Predictions], gold: Gold, settings: EvaluationSettings) -> list[SegmentFigures]:
    segments = []
    for column in settings.segments:
        if column not in gold.rows.columns:
            continue
        sizes = gold.rows.group_by(column).len().filter(pl.col("len") >= settings.segment_pairs)
        for value in sizes.sort("len", column, descending=[True, False])[column]:
            segments.append(_segment(found, gold, column, value, settings))
    return segments


def _segment(
    found: Sequence[Predictions], gold: Gold, column: str, value: str, settings: EvaluationSettings
) -> SegmentFigures:
    """As if the judged pairs of other segments did not exist; unjudged pins keep their places in the rankings."""
    inside = Gold.of(gold.rows.filter(pl.col(column) == value))
    outside = gold.rows.filter(pl.col(column) != value)
    draws = intervals.draw_queries(len(inside.queries), settings.bootstrap)
    kept = [
        Predictions(
            one.model,
            one.rows.join(inside.rows, on="query", how="semi").join(outside, on=["query", "pin_id"], how="anti"),
        )
        for one in found
    ]
    models = tuple(_figures(_Model.of(one, inside, settings), draws, settings) for one in kept)
    return SegmentFigures(column, value, inside.rows.height, len(inside.queries), models)


def _folds(found: Sequence[Predictions]) -> int:
    """Folds over which the models were tested; 1 for a single split."""
    counts = [one.rows["fold"].n_unique() for one in found if "fold" in one.rows.columns]
    return max(counts, default=1)
