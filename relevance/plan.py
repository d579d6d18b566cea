"""Which models are trained on which queries, and where they are kept: one split, or folds when queries are few.

With many judged queries one split serves: the models at W/models answer for its test queries. With few (Chorus has 135)
a single test side would be a handful of queries, so every query is tested by a fold whose models never saw it, and the
models at W/models, which serve, learn from all queries but a dev part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from enrich.errors import BadInput
from relevance.splits import Split, folds, split_queries

SINGLE_SPLIT_TEST_QUERIES = 50  # fewer test queries than this in a single split, and folds are taken
DEFAULT_FOLDS = 5
SERVING = "serving"


@dataclass(frozen=True, slots=True)
class PlanSettings:
    folds: int | None = None  # 1: a single split; None: by the number of judged queries
    seed: int = 0
    dev: float = 0.1  # share of the queries kept to stop training and to calibrate
    test: float = 0.25  # share tested in a single split

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 1:
            raise BadInput(f"expected --folds of 1 or more, found {self.folds}")
        if not (0 < self.dev < 1 and 0 < self.test < 1 and self.dev + self.test < 1):
            raise BadInput(f"expected dev and test shares that leave queries to train, found {self.dev}, {self.test}")


@dataclass(frozen=True, slots=True)
class Fold:
    """One division of the queries, and the folder of the models that learn from its train side."""

    name: str
    folder: Path
    split: Split

    @property
    def tested(self) -> bool:
        """Whether its models are asked about held-out queries."""
        return bool(self.split.test)


def plan(judged: pl.DataFrame, models: Path, settings: PlanSettings) -> list[Fold]:
    """The folds of the judged pairs (columns query, lang), the tested ones first; the last one's models serve."""
    count = settings.folds or _folds_for(judged["query"].n_unique(), settings)
    if count == 1:
        return [Fold(SERVING, models, split_queries(judged, settings.seed, settings.dev, settings.test))]
    tested = [
        Fold(str(i), models / "folds" / str(i), split)
        for i, split in enumerate(folds(judged, count, settings.seed, settings.dev))
    ]
    return [*tested, Fold(SERVING, models, _without_test(judged, settings))]


def _folds_for(queries: int, settings: PlanSettings) -> int:
    if settings.test * queries >= SINGLE_SPLIT_TEST_QUERIES:
        return 1
    return min(DEFAULT_FOLDS, max(queries, 2))


def _without_test(judged: pl.DataFrame, settings: PlanSettings) -> Split:
    split = split_queries(judged, settings.seed, settings.dev, settings.dev)
    return Split(train=split.train | split.test, dev=split.dev, test=frozenset())
