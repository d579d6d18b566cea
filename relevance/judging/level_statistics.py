"""What levels and probabilities say of a model, ready to be drawn again by query: accuracies, κ, AUROC by level."""

from __future__ import annotations

import numpy as np

from relevance import intervals, metrics
from relevance.intervals import Statistic
from relevance.judging.figures import Measure
from relevance.metrics import Floats, Ints

AUROC_LEVELS = {Measure.AUROC_3: 3, Measure.AUROC_4: 4, Measure.AUROC_5: 5}  # at least this level is positive


def level_statistics(query: Ints, levels: Ints, probabilities: Floats, queries: int) -> dict[Measure, Statistic]:
    """Of n pairs: `query` [n] says which of so many `queries`, `levels` [n] gold, `probabilities` [n, 5]."""
    top = metrics.most_probable(probabilities)
    distance = np.abs(top - levels)
    return {
        Measure.ACCURACY: intervals.mean(query, (distance == 0).astype(np.float64), queries),
        Measure.WITHIN_ONE: intervals.mean(query, (distance <= 1).astype(np.float64), queries),
        Measure.KAPPA: intervals.kappa(query, levels, top, queries),
        **{
            measure: intervals.auroc(query, levels >= level, metrics.probability_at_least(probabilities, level))
            for measure, level in AUROC_LEVELS.items()
        },
    }
