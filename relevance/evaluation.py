"""What models are worth on the same judged pairs, with intervals, paired differences and segments.

Reads each model's `Predictions` (judging/gold.py) and gives an `Evaluation` (judging/figures.py), which `report.py`
renders; run by `relevance evaluate`. A pair that a model does not answer counts against its ranking and, since nothing
can be said of its level, is left out of that model's other measures and shown by its `answered`. Two models are
compared in those measures on the pairs that both answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance import intervals, metrics, rankings
from relevance.intervals import Statistic
from relevance.judging.fidelity import distributions, fidelities
from relevance.judging.figures import (
    CUTOFF,
    JUDGED_CUTOFF,
    PRECISION_CUTOFF,
    SDCG_CUTOFF,
    Comparison,
    Evaluation,
    EvaluationSettings,
    FieldCoverage,
    Figure,
    LevelErrors,
    Measure,
    ModelFigures,
    SegmentFigures,
    Versus,
)
from relevance.judging.gold import (
    Gold,
    Predictions,
    Segment,
    by_query_and_pin,
    checked,
    gold_pairs,
    probabilities_of,
    segments_of,
)
from relevance.judging.level_statistics import AUROC_LEVELS, level_statistics
from relevance.metrics import GAINS_NAME, Floats, Ints
from relevance.reliability import Curve, cumulative_claims, exact_claims, top_claim

__all__ = ["Versus", "evaluate"]

_RANKED = (Measure.NDCG, Measure.SDCG, Measure.PRECISION, Measure.TAU_BY_QUERY, Measure.JUDGED)


def evaluate(
    predictions: Sequence[Predictions],
    comparisons: Sequence[Versus] = (),
    coverage: Sequence[FieldCoverage] = (),
    caveats: Sequence[str] = (),
    settings: EvaluationSettings | None = None,
    faithful: Sequence[Versus] = (),
) -> Evaluation:
    """Every figure of every model on the judged pairs, each with its interval by query.

    `faithful` are models whose levels are held against another's, or against those of PEOPLE.

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
        fidelity=tuple(fidelities(found, gold, faithful, settings)),
        distributions=tuple(distributions(found, gold, faithful, settings)),
        coverage=tuple(coverage),
        caveats=tuple(caveats),
        settings=settings,
    )


class _Model(NamedTuple):
    name: str
    answered: int
    statistics: dict[Measure, Statistic]
    rows: pl.DataFrame  # the pairs answered, and `index`, whose query each is of
    probabilities: Floats | None

    @classmethod
    def of(cls, one: Predictions, gold: Gold, settings: EvaluationSettings) -> _Model:
        index = pl.DataFrame({"query": gold.queries, "index": range(len(gold.queries))})
        rows = one.judged.join(index, on="query", maintain_order="left")
        probabilities = probabilities_of(one.model, rows)
        statistics = _rankings(one, gold) | _of_pairs(rows, probabilities, len(gold.queries), settings)
        return cls(one.model, rows.height, statistics, rows, probabilities)

    @property
    def query(self) -> Ints:
        """Of each row, by its index."""
        return self.rows["index"].to_numpy().astype(np.int64)

    @property
    def levels(self) -> Ints:
        return self.rows["level"].to_numpy().astype(np.int64)

    def on(self, pairs: pl.DataFrame, queries: int, settings: EvaluationSettings) -> dict[Measure, Statistic]:
        """Its statistics, those of pairs on these alone."""
        rows = self.rows.join(pairs, on=["query", "pin_id"], how="semi", maintain_order="left")
        if rows.height == self.rows.height:
            return self.statistics
        ranked = {measure: self.statistics[measure] for measure in _RANKED}
        return ranked | _of_pairs(rows, probabilities_of(self.name, rows), queries, settings)


def _of_pairs(
    rows: pl.DataFrame, probabilities: Floats | None, queries: int, settings: EvaluationSettings
) -> dict[Measure, Statistic]:
    """What is measured pair by pair."""
    query, levels = (rows[name].to_numpy().astype(np.int64) for name in ("index", "level"))
    if probabilities is None:
        score = rows["score"].to_numpy().astype(np.float64)
        return {m: intervals.auroc(query, levels >= k, score) for m, k in AUROC_LEVELS.items()}
    return level_statistics(query, levels, probabilities, queries) | {
        Measure.TAU: intervals.tau(query, levels, metrics.most_probable(probabilities), queries),
        Measure.ECE: intervals.calibration(query, top_claim(levels, probabilities), queries, settings.bins),
    }


def _rankings(one: Predictions, gold: Gold) -> dict[Measure, Statistic]:
    """Means over the judged queries; those whose pins are of one level have no τ, for any model."""
    qrels = by_query_and_pin(gold.rows, "level")
    run = by_query_and_pin(one.rows.join(gold.rows, on="query", how="semi"), "score")
    by_query = {
        Measure.NDCG: rankings.ndcg_by_query(qrels, run, CUTOFF),
        Measure.SDCG: rankings.sdcg_by_query(qrels, run, SDCG_CUTOFF),
        Measure.PRECISION: rankings.precision_by_query(qrels, run, PRECISION_CUTOFF),
        Measure.TAU_BY_QUERY: rankings.kendall_by_query(qrels, run),
        Measure.JUDGED: rankings.judged_by_query(qrels, run, JUDGED_CUTOFF),
    }
    return {measure: _mean_of(values, gold.queries) for measure, values in by_query.items()}


def _mean_of(by_query: Mapping[str, float], queries: Sequence[str]) -> Statistic:
    values = np.array([by_query[query] for query in queries], np.float64)
    known = np.flatnonzero(~np.isnan(values))
    return intervals.mean(known, values[known], len(queries))


def _figures(model: _Model, draws: Floats, settings: EvaluationSettings, by_level: bool = True) -> ModelFigures:
    """`by_level`: with the calibration of each level, which takes time and says nothing of a segment's few pairs."""
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
    found = ModelFigures(model.name, model.answered, figures, rows, reliability)
    if not by_level:
        return found
    claims = exact_claims(model.levels, model.probabilities)
    return found._replace(
        level_errors=tuple(_level_errors(model, model.probabilities, draws, settings)),
        level_reliability=tuple(Curve.of(claim, settings.bins).bins for claim in claims),
    )


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
    """On the pairs that both answered, rankings on all queries; of Judged@10 more is not better, nor worse."""
    by_name, confidence = {model.name: model for model in models}, settings.bootstrap.confidence
    missing = {name for versus in comparisons for name in versus} - set(by_name)
    if missing:
        raise BadInput(f"expected comparisons among {', '.join(by_name)}, found {', '.join(sorted(missing))}")
    found = []
    for versus in comparisons:
        one, other = by_name[versus.model], by_name[versus.rival]
        a, b = (model.on(than.rows, draws.shape[1], settings) for model, than in ((one, other), (other, one)))
        found += [
            Comparison(*versus, measure, intervals.difference(a[measure], b[measure], draws, confidence))
            for measure in Measure
            if measure in a and measure in b and measure is not Measure.JUDGED
        ]
    return _corrected(found)


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """With Holm's p-value over all comparisons of the same measure."""
    corrected = list(found)
    for measure in Measure:
        places = [place for place, one in enumerate(found) if one.measure is measure]
        p_values = intervals.holm([found[place].difference.p_value for place in places])
        for place, p_value in zip(places, p_values, strict=True):
            corrected[place] = found[place]._replace(p_holm=p_value)
    return corrected


def _segments(found: Sequence[Predictions], gold: Gold, settings: EvaluationSettings) -> Iterator[SegmentFigures]:
    for one in segments_of(gold, settings.segments, settings.segment_pairs, settings.segment_values):
        yield _segment(found, gold, one, settings)


def _segment(
    found: Sequence[Predictions], gold: Gold, segment: Segment, settings: EvaluationSettings
) -> SegmentFigures:
    """As if the judged pairs of other segments did not exist; unjudged pins keep their places in the rankings."""
    inside, outside = segment.gold, gold.rows.filter(pl.col(segment.column) != segment.value)
    draws = intervals.draw_queries(len(inside.queries), settings.bootstrap)
    kept = [
        Predictions(
            one.model,
            one.rows.join(inside.rows, on="query", how="semi").join(outside, on=["query", "pin_id"], how="anti"),
        )
        for one in found
    ]
    models = tuple(_figures(_Model.of(one, inside, settings), draws, settings, by_level=False) for one in kept)
    return SegmentFigures(segment.column, segment.value, inside.rows.height, len(inside.queries), models)


def _folds(found: Sequence[Predictions]) -> int:
    """Folds over which the models were tested; 1 for a single split."""
    counts = [one.rows["fold"].n_unique() for one in found if "fold" in one.rows.columns]
    return max(counts, default=1)
