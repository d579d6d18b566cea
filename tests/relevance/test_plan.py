"""Plans: one split for many queries, folds for few, and no query ever on two sides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from enrich.errors import BadInput
from relevance.plan import PlanSettings, described, plan
from relevance.splits import SplitKind


def judged(queries: int) -> pl.DataFrame:
    return pl.DataFrame({"query": [f"q{i}" for i in range(queries)] * 2, "lang": ["en", "de"] * queries})


def test_many_queries_take_one_split_and_its_models_serve() -> None:
    (only,) = plan(judged(400), Path("models"), PlanSettings())
    assert only.tested and only.folder == Path("models") and len(only.split.test) == 100


def test_of_very_many_queries_no_more_are_tested_than_tell_enough() -> None:
    """Up to 2,000 queries the sides are as if there were no bound; beyond, all that is more is trained on."""
    for queries, dev, test in ((2_000, 150, 500), (4_000, 200, 500), (12_000, 200, 500)):
        (only,) = plan(judged(queries), Path("models"), PlanSettings())
        assert (len(only.split.dev), len(only.split.test)) == (dev, test)
        assert len(only.split.train) == queries - dev - test
    unbounded = PlanSettings(most_dev=10**6, most_test=10**6)
    assert plan(judged(2_000), Path("models"), PlanSettings()) == plan(judged(2_000), Path("models"), unbounded)
    *_, serving = plan(judged(4_000), Path("models"), PlanSettings(folds=2, most_dev=100))
    assert len(serving.split.dev) == 100 and len(serving.split.train) == 3_900


def test_few_queries_take_folds_that_test_each_query_once() -> None:
    *tested, serving = plan(judged(40), Path("models"), PlanSettings())
    assert sorted(q for fold in tested for q in fold.split.test) == sorted(f"q{i}" for i in range(40))
    assert not serving.tested and serving.folder == Path("models")
    assert len(serving.split.train | serving.split.dev) == 40


def test_sides_are_disjoint() -> None:
    for fold in plan(judged(30), Path("models"), PlanSettings(folds=3)):
        sides = (fold.split.train, fold.split.dev, fold.split.test)
        assert sum(map(len, sides)) == len(frozenset().union(*sides)) == 30


def dated(queries: int) -> pl.DataFrame:
    times = [datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=i) for i in range(queries)]
    langs = ["en", "de", None, "en"] * (queries // 4)
    return pl.DataFrame({"query": [f"q{i}" for i in range(queries)], "lang": langs, "event_timestamp": times})


def test_a_split_by_time_or_language_never_takes_the_place_of_what_serves() -> None:
    by_time, by_language = PlanSettings(split=SplitKind.TIME), PlanSettings(split=SplitKind.LANGUAGE, train_lang="de")
    (fold,) = plan(dated(40), Path("models"), by_time)
    assert fold.tested and fold.folder == Path("models/splits/time") and fold.name != "serving"
    assert len(fold.split.test) == 10 and "30 queries judged before 2025-01-31 00:00, tested on 10" in described(
        by_time, fold.split
    )
    (fold,) = plan(dated(40), Path("models"), by_language)
    assert fold.folder == Path("models/splits/language-de")
    said = described(by_language, fold.split)
    assert "on 10 queries in de, tested on 20 in others; 10 without a language" in said


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lambda: PlanSettings(split=SplitKind.TIME, folds=5), "--folds"),
        (lambda: PlanSettings(split=SplitKind.LANGUAGE, train_lang="../en"), "--train-lang"),
        (lambda: PlanSettings(split=SplitKind.LANGUAGE, train_lang=""), "--train-lang"),
        (lambda: PlanSettings(most_test=0), "most_test of 1 query or more"),
    ],
)
def test_settings_that_clash_or_leave_the_folder_are_refused(made, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        made()
