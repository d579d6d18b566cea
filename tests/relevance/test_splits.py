"""Splits by query: disjoint, complete, the same whatever the rows' order, alike in language and size."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.errors import BadInput
from relevance.splits import folds, split_queries


def pairs(queries: int, languages: tuple[str, ...] = ("en", "de")) -> pl.DataFrame:
    rows = [
        (f"q{i}", f"p{j}", languages[i % len(languages)])
        for i in range(queries)
        for j in range(1 + i % 7)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=["query", "pin_id", "lang"], orient="row")


def test_no_query_is_on_two_sides_and_none_is_lost() -> None:
    frame = pairs(100)
    split = split_queries(frame)
    assert not (split.train & split.dev | split.train & split.test | split.dev & split.test)
    assert split.train | split.dev | split.test == set(frame["query"])
    assert (len(split.test), len(split.dev)) == (20, 8)
    assert split.held_out == split.dev | split.test


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 6), seed=st.integers(0, 5))
def test_the_folds_test_sides_hold_every_query_once(n: int, seed: int) -> None:
    frame = pairs(61)
    found = folds(frame, n, seed)
    tested = [query for split in found for query in split.test]
    assert sorted(tested) == sorted(set(frame["query"]))
    assert all(split.dev and not (split.test & split.held_out - split.test) for split in found)
    assert all(split.train | split.dev | split.test == set(frame["query"]) for split in found)


def test_the_split_follows_the_seed_and_not_the_order_of_rows() -> None:
    frame = pairs(80)
    assert split_queries(frame, 3) == split_queries(frame.sample(fraction=1, shuffle=True, seed=1), 3)
    assert split_queries(frame, 3) != split_queries(frame, 4)


def test_languages_and_sizes_are_shared_out_evenly() -> None:
    frame = pairs(200, ("en", "en", "en", "de"))
    sizes = frame.group_by("query").len()
    for split in folds(frame, 5):
        german = frame.filter(pl.col("query").is_in(sorted(split.test)), lang="de")["query"].n_unique()
        assert german in (9, 10, 11)
        mean = sizes.filter(pl.col("query").is_in(sorted(split.test)))["len"].mean()
        assert mean == pytest.approx(sizes["len"].mean(), abs=0.5)


def test_pairs_without_languages_split_too() -> None:
    assert len(split_queries(pairs(10).drop("lang")).test) == 2


def test_too_few_queries_are_refused() -> None:
    with pytest.raises(BadInput, match="at least 3 queries, found 2"):
        split_queries(pairs(2))
    with pytest.raises(BadInput, match="at least 5 queries, found 4"):
        folds(pairs(4), 5)
