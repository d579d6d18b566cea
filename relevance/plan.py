"""Which models are trained on which queries, and where they are kept: one split, or folds when queries are few.

By query, the default:

With many judged queries one split serves: the models at W/models answer for its test queries. With few (Chorus has 135)
a single test side would be a handful of queries, so every query is tested by a fold whose models never saw it, and the
models at W/models, which serve, learn from all queries but a dev part. Of very many (from 2,000 on) no more than 500
are tested and 200 are dev: what these tell is exact enough then, and every further query is worth more in training.

By time or language (splits.py): one split, whose models are for measuring alone and live in W/models/splits/time or
W/models/splits/language-en, so that they never take the place of those that serve.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from enrich.errors import BadInput
from relevance.splits import (
    Split,
    SplitKind,
    folds,
    primary_language,
    split_by_language,
    split_by_time,
    split_queries,
)

SINGLE_SPLIT_TEST_QUERIES = 50  # fewer test queries than this in a single split, and folds are taken
DEFAULT_FOLDS = 5
MOST_TEST_QUERIES = 500  # an accuracy's 95 % interval is then less than three points either way
MOST_DEV_QUERIES = 200  # enough to choose an epoch by and to fit six numbers of a calibration
SERVING = "serving"


@dataclass(frozen=True, slots=True)
class PlanSettings:
    folds: int | None = None  # 1: a single split; None: by the number of judged queries
    seed: int = 0
    dev: float = 0.1  # share of the queries that are not tested, kept to stop training and to calibrate
    test: float = 0.25  # share tested in a single split, by query or time
    most_dev: int = MOST_DEV_QUERIES  # by query, whatever the share
    most_test: int = MOST_TEST_QUERIES  # of a single split by query, whatever the share
    split: SplitKind = SplitKind.QUERY
    train_lang: str = "en"  # of a split by language

    @property
    def name(self) -> str:
        """Of the split: query, time, or language- and the language trained on."""
        return f"{self.split}-{primary_language(self.train_lang)}" if self.split is SplitKind.LANGUAGE else self.split

    def __post_init__(self) -> None:
        if self.split is not SplitKind.QUERY and self.folds not in (None, 1):
            raise BadInput(
                f"expected no --folds with --split {self.split}, which has one test side, found {self.folds}"
            )
        if not re.fullmatch(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*", self.train_lang):
            raise BadInput(f"expected --train-lang as a language tag, such as en or pt, found {self.train_lang!r}")
        if self.folds is not None and self.folds < 1:
            raise BadInput(f"expected --folds of 1 or more, found {self.folds}")
        if min(self.most_dev, self.most_test) < 1:
            raise BadInput(
                f"expected most_dev and most_test of 1 query or more, found {self.most_dev} and {self.most_test}"
            )
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
    """The folds of the judged pairs (query, lang, by time also event_timestamp), the tested ones first.

    By query the last one's models serve. Raises BadInput where a side would be empty.
    """
    if settings.split is not SplitKind.QUERY:
        return [Fold(settings.name, models / "splits" / settings.name, _one_split(judged, settings))]
    count = settings.folds or _folds_for(judged["query"].n_unique(), settings)
    if count == 1:
        return [Fold(SERVING, models, _single(judged, settings))]
    tested = [
        Fold(str(i), models / "folds" / str(i), split)
        for i, split in enumerate(folds(judged, count, settings.seed, settings.dev, settings.most_dev))
    ]
    return [*tested, Fold(SERVING, models, _without_test(judged, settings))]


def described(settings: PlanSettings, split: Split) -> str:
    """A split by time or language, in a sentence for the terminal and the report."""
    taught, tested = f"{len(split.train | split.dev):,} queries", f"{len(split.test):,}"
    if settings.split is SplitKind.TIME:
        return f"split by time: trained on {taught} judged before {split.log.before:%F %H:%M}, tested on {tested} later"
    left_out = f"; {len(split.left_out):,} without a language are on no side" if split.left_out else ""
    return f"split by language: trained on {taught} in {split.log.lang}, tested on {tested} in others{left_out}"


def _single(judged: pl.DataFrame, settings: PlanSettings) -> Split:
    shares, bounds = (settings.dev, settings.test), (settings.most_dev, settings.most_test)
    return split_queries(judged, settings.seed, *shares, *bounds)


def _one_split(judged: pl.DataFrame, settings: PlanSettings) -> Split:
    if settings.split is SplitKind.TIME:
        return split_by_time(judged, settings.seed, settings.dev, settings.test)
    return split_by_language(judged, settings.train_lang, settings.seed, settings.dev)


def _folds_for(queries: int, settings: PlanSettings) -> int:
    if settings.test * queries >= SINGLE_SPLIT_TEST_QUERIES:
        return 1
    return min(DEFAULT_FOLDS, max(queries, 2))


def _without_test(judged: pl.DataFrame, settings: PlanSettings) -> Split:
    split = split_queries(judged, settings.seed, settings.dev, settings.dev, settings.most_dev)
    return Split(train=split.train | split.test, dev=split.dev, test=frozenset())
