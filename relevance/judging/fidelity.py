"""How far models say the same levels as people and as each other, and who says which levels how often, by segment.

Reads models' predictions and the gold pairs; pure; part of `relevance evaluate`. A level is the most probable one. The
lean of a model, its mean level less the other's, is its bias in a segment: 0 of one that errs both ways alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance import intervals
from relevance.judging.figures import PEOPLE, Distribution, EvaluationSettings, Fidelity, Shares, Versus
from relevance.judging.gold import Gold, Predictions, Segment, probabilities_of, segments_of
from relevance.metrics import most_probable

_PAIR = ["query", "pin_id"]


def fidelities(
    found: Sequence[Predictions], gold: Gold, asked: Sequence[Versus], settings: EvaluationSettings
) -> Iterator[Fidelity]:
    """Of every pair asked for, over all judged pairs and then by segment. Raises BadInput for a name that is none."""
    said = _levels(found, gold, asked)
    for versus in asked:
        for one in _parts(gold, settings):
            together = one.gold.rows.select(_PAIR).join(said[versus.model], on=_PAIR).join(said[versus.rival], on=_PAIR)
            if together.height:
                yield _fidelity(versus, one, together, settings)


def distributions(
    found: Sequence[Predictions], gold: Gold, asked: Sequence[Versus], settings: EvaluationSettings
) -> Iterator[Distribution]:
    """Of people and of the models asked about, over all judged pairs and then by segment."""
    said = _levels(found, gold, asked)
    for one in _parts(gold, settings) if said else ():
        shares = []
        for who, levels in said.items():
            counts = one.gold.rows.select(_PAIR).join(levels, on=_PAIR)[who].value_counts()
            by_level = dict(counts.iter_rows())
            total = max(1, sum(by_level.values()))
            shares.append(Shares(who, tuple(by_level.get(level, 0) / total for level in LEVELS)))
        yield Distribution(one.column, one.value, one.gold.rows.height, tuple(shares))


def _parts(gold: Gold, settings: EvaluationSettings) -> list[Segment]:
    """All pairs, then the segments."""
    return [
        Segment("", "all", gold),
        *segments_of(gold, settings.segments, settings.segment_pairs, settings.segment_values),
    ]


def _levels(found: Sequence[Predictions], gold: Gold, asked: Sequence[Versus]) -> dict[str, pl.DataFrame]:
    """query, pin_id and a column of levels named for who says them; of people first."""
    by_name = {one.model: one for one in found}
    names = list(dict.fromkeys(name for versus in asked for name in versus if name != PEOPLE))
    if set(names) - set(by_name):
        raise BadInput(
            f"expected fidelity of {', '.join(by_name)}, found {', '.join(sorted(set(names) - set(by_name)))}"
        )
    said = {PEOPLE: gold.rows.select(*_PAIR, pl.col("level").alias(PEOPLE))} if asked else {}
    for name in names:
        rows = by_name[name].judged
        probabilities = probabilities_of(name, rows)
        if probabilities is None:
            raise BadInput(f"expected five probabilities of {name}, found scores alone; it says no levels")
        said[name] = rows.select(_PAIR).with_columns(pl.Series(name, most_probable(probabilities)))
    return said


def _fidelity(versus: Versus, segment: Segment, together: pl.DataFrame, settings: EvaluationSettings) -> Fidelity:
    model, rival = (together[name].to_numpy().astype(np.int64) for name in versus)
    query = (together["query"].rank("dense") - 1).to_numpy().astype(np.int64)
    queries = int(query.max()) + 1
    draws, confidence = intervals.draw_queries(queries, settings.bootstrap), settings.bootstrap.confidence
    apart = (model - rival).astype(np.float64)
    same, near, lean = (
        intervals.estimate(intervals.mean(query, values, queries), draws, confidence)
        for values in ((apart == 0).astype(np.float64), (np.abs(apart) <= 1).astype(np.float64), apart)
    )
    kappa = intervals.estimate(intervals.kappa(query, rival, model, queries), draws, confidence)
    return Fidelity(*versus, segment.column, segment.value, together.height, queries, same, near, kappa, lean)
