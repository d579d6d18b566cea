"""Plans: one split for many queries, folds for few, and no query ever on two sides."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from relevance.plan import PlanSettings, plan


def judged(queries: int) -> pl.DataFrame:
    return pl.DataFrame({"query": [f"q{i}" for i in range(queries)] * 2, "lang": ["en", "de"] * queries})


def test_many_queries_take_one_split_and_its_models_serve() -> None:
    (only,) = plan(judged(400), Path("models"), PlanSettings())
    assert only.tested and only.folder == Path("models") and len(only.split.test) == 100


def test_few_queries_take_folds_that_test_each_query_once() -> None:
    *tested, serving = plan(judged(40), Path("models"), PlanSettings())
    assert sorted(q for fold in tested for q in fold.split.test) == sorted(f"q{i}" for i in range(40))
    assert not serving.tested and serving.folder == Path("models")
    assert len(serving.split.train | serving.split.dev) == 40


def test_sides_are_disjoint() -> None:
    for fold in plan(judged(30), Path("models"), PlanSettings(folds=3)):
        sides = (fold.split.train, fold.split.dev, fold.split.test)
        assert sum(map(len, sides)) == len(frozenset().union(*sides)) == 30
