"""Splits: disjoint, complete, deterministic, alike in language and size; by time never learning what came later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.errors import BadInput
from relevance.splits import LogScope, Split, folds, in_time, split_by_language, split_by_time, split_queries


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


def day(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def judged(rows: list[tuple[str, str | None, int]]) -> pl.DataFrame:
    """Query, language and the day on which each pair was judged."""
    times = [day(number) for _, _, number in rows]
    columns = {"query": [row[0] for row in rows], "lang": [row[1] for row in rows], "event_timestamp": times}
    return pl.DataFrame(columns, schema_overrides={"lang": pl.String, "event_timestamp": pl.Datetime("us", "UTC")})


def test_by_time_a_query_judged_on_both_sides_is_tested_whole() -> None:
    frame = judged([("a", "en", 1), ("b", "en", 2), ("c", "en", 3), ("c", "en", 9), ("d", "en", 8), ("b", "de", 1)])
    split = split_by_time(frame, test=0.5)
    assert split.test == {"c", "d"} and split.log.before == day(8)
    assert split.train | split.dev == {"a", "b"} and split.train and split.dev


@given(
    rows=st.lists(st.tuples(st.sampled_from("abcdefghij"), st.just("en"), st.integers(0, 6)), min_size=1),
    share=st.sampled_from([0.1, 0.3, 0.6]),
)
def test_by_time_nothing_is_learned_of_what_came_later(rows: list[tuple[str, str, int]], share: float) -> None:
    frame = judged(rows)
    try:
        split = split_by_time(frame, test=share)
    except BadInput as error:
        assert "to split by time" in str(error)
        last = frame.group_by("query").agg(pl.col("event_timestamp").max())["event_timestamp"].sort()
        assert len(last) < 3 or last[1] == last[-1]
        return
    sides = (split.train, split.dev, split.test)
    assert all(sides) and sum(map(len, sides)) == len(frozenset().union(*sides)) == frame["query"].n_unique()
    taught = frame.filter(pl.col("query").is_in(sorted(split.train | split.dev)))
    tested = frame.filter(pl.col("query").is_in(sorted(split.test)))
    assert taught["event_timestamp"].max() < split.log.before
    assert tested.group_by("query").agg(pl.col("event_timestamp").max())["event_timestamp"].min() >= split.log.before


def test_by_time_the_moment_tests_about_the_share_asked_for() -> None:
    frame = judged([(f"q{i:03}", "en", i // 10) for i in range(100)])
    assert len(split_by_time(frame, test=0.25).test) == 20  # as near as 30, and later
    assert len(split_by_time(frame, test=0.28).test) == 30


def test_one_time_cannot_be_split() -> None:
    with pytest.raises(BadInput, match="all 5 last judged at 2025-01-02"):
        split_by_time(judged([(query, "en", 1) for query in "abcde"]))


def test_by_language_the_others_are_tested_and_the_unknown_left_out() -> None:
    rows = [("a", "en", 1), ("b", "en-GB", 1), ("c", "EN_us", 1), ("d", "de", 1), ("e", "fr", 1), ("f", None, 1)]
    split = split_by_language(judged(rows), "en")
    assert split.train | split.dev == {"a", "b", "c"} and len(split.dev) == 1
    assert (split.test, split.left_out, split.log.lang) == ({"d", "e"}, {"f"}, "en")
    assert split.held_out == split.dev | {"d", "e", "f"}


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["en", "en-GB", "de", "fr", None]), st.just(1))))
def test_by_language_each_query_has_one_side_by_most_of_its_pairs(rows: list[tuple[str, str | None, int]]) -> None:
    try:
        split = split_by_language(judged(rows))
    except BadInput as error:
        assert "--train-lang" in str(error)
        return
    sides = (split.train, split.dev, split.test, split.left_out)
    assert sum(map(len, sides)) == len(frozenset().union(*sides)) == len({query for query, _, _ in rows})
    for query in split.train | split.dev:
        langs = [(lang or "").partition("-")[0] for asked, lang, _ in rows if asked == query and lang]
        assert langs.count("en") >= max(langs.count("fr"), 1) and langs.count("en") > langs.count("de")


@pytest.mark.parametrize(
    ("langs", "found"),
    [
        (["en", "en"], "found 2 in en"),
        (["de", "fr", "de"], "found 2 in de, 1 in fr"),
        (["en", "de"], "found 1 in de, 1 in en"),
        ([None, None], "found 2 without a language"),
    ],
)
def test_a_language_split_with_an_empty_side_is_refused(langs: list[str | None], found: str) -> None:
    with pytest.raises(BadInput, match=found):
        split_by_language(judged([(f"q{i}", lang, 1) for i, lang in enumerate(langs)]))


def test_pairs_to_label_are_those_of_before_the_moment() -> None:
    split = Split(frozenset("a"), frozenset("b"), frozenset("c"), log=LogScope(before=day(5)))
    frame = judged([("a", None, 2), ("a", None, 7), ("x", None, 4), ("x", None, 5), ("y", None, 9)])
    kept = in_time(frame, split)
    just_before = day(5) - timedelta(microseconds=1)
    assert list(zip(kept["query"], kept["event_timestamp"], strict=True)) == [
        ("a", day(2)),
        ("a", just_before),
        ("x", day(4)),
    ]
    assert in_time(frame, Split(frozenset("a"), frozenset("b"), frozenset("c"))).equals(frame)
