"""Gold levels: the votes' mean half up, one row a pair, a new one where the votes changed."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from fractions import Fraction

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import parts
from enrich.judgments import gold_level, run_judgments
from enrich.tables import DELETIONS, JUDGMENT, JUDGMENTS, PINS
from enrich.workspace import Workspace

JUNE = datetime(2024, 6, 1, tzinfo=UTC)
JULY = datetime(2024, 7, 1, tzinfo=UTC)


def put(workspace: Workspace, *votes: tuple) -> None:
    """Votes as (query, pin, level, annotator, judged_at); the catalogue has the pins 1 and 2."""
    names = ("query", "pin_id", "level", "annotator_id", "judged_at")
    rows = pl.DataFrame(votes, schema=names, orient="row").with_columns(pl.col("level").cast(pl.Float64))
    parts.replace(workspace.folder(JUDGMENTS), JUDGMENTS, rows.to_arrow())
    parts.replace(workspace.folder(PINS), PINS, pa.table({"pin_id": ["1", "2"], "created_at": pa.array([JUNE] * 2)}))


def gold(workspace: Workspace) -> pl.DataFrame:
    return parts.latest(workspace.folder(JUDGMENT), JUDGMENT).sort("query", "pin_id")


def level(votes: list[float]) -> int:
    return pl.DataFrame({"v": [[float(vote) for vote in votes]]}).select(gold_level(pl.col("v"))).item()


@pytest.mark.parametrize(
    ("votes", "expected"),
    [([3], 3), ([2, 3], 3), ([1, 2, 2], 2), ([1, 1, 2], 1), ([1, 5, 5], 4), ([4, 5, 4, 5], 5), ([1, 1 + 8 / 3, 5], 3)],
)
def test_gold_is_the_mean_half_up(votes, expected):
    assert level(votes) == expected


@given(st.lists(st.integers(1, 5), min_size=1, max_size=9))
def test_gold_agrees_with_exact_arithmetic(votes):
    mean = Fraction(sum(votes), len(votes))
    assert level(votes) == math.floor(mean + Fraction(1, 2))


@given(st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_mapped_ratings_give_the_level_of_their_mean(ratings):
    expected = 1 + math.floor(Fraction(4 * sum(ratings), 9) + Fraction(1, 2))
    assert level([1 + 4 * rating / 3 for rating in ratings]) == expected


def test_one_row_a_pair_dated_by_its_latest_vote(workspace):
    put(
        workspace,
        ("Red  Shoe", "1", 5, "ann", JUNE),
        ("red shoe", "1", 2, "bob", JULY),
        ("red shoe", "1", 1, "ann", JULY),  # ann thought again: only this vote of hers counts
        ("red shoe", "2", 4, None, JUNE),
        ("red shoe", "2", 4, None, JUNE),
    )
    assert run_judgments(workspace).made == 2
    assert gold(workspace).select(
        "query", "pin_id", "level", "votes", "event_timestamp", "created_timestamp"
    ).rows() == [
        ("red shoe", "1", 2, [1.0, 2.0], JULY, JULY),
        ("red shoe", "2", 4, [4.0, 4.0], JUNE, JUNE),
    ]


def test_again_does_nothing_and_another_vote_makes_a_newer_row(workspace):
    put(workspace, ("shoe", "1", 5, "ann", JUNE))
    run_judgments(workspace)
    assert run_judgments(workspace).made == 0
    put(workspace, ("shoe", "1", 5, "ann", JUNE), ("shoe", "1", 1, "bob", JUNE))
    assert run_judgments(workspace).made == 1
    assert gold(workspace).select("level", "votes").rows() == [(3, [1.0, 5.0])]
    assert parts.count(workspace.folder(JUDGMENT)) == 2


def test_a_correction_counts_though_it_is_dated_before_what_it_corrects(workspace):
    put(workspace, ("shoe", "1", 5, "ann", JULY))
    run_judgments(workspace)
    put(workspace, ("shoe", "1", 2, "ann", JUNE))
    assert run_judgments(workspace).made == 1
    assert gold(workspace).select("level", "event_timestamp").rows() == [(2, JUNE)]
    assert run_judgments(workspace).made == 0
    put(workspace, ("shoe", "1", 5, "ann", JULY))  # and back again
    run_judgments(workspace)
    assert gold(workspace).select("level", "event_timestamp").rows() == [(5, JULY)]


def test_a_pair_of_an_unknown_pin_has_a_reason_until_the_pin_comes(workspace):
    put(workspace, ("shoe", "9", 5, "ann", JUNE), ("\u200b\x00", "1", 5, "ann", JUNE), ("\x07", "1", 5, "ann", JUNE))
    assert run_judgments(workspace).failed == {"unknown-pin": 1, "empty-query": 1}
    assert gold(workspace).filter(pl.col("reason") == "unknown-pin").select("level", "votes").rows() == [(None, None)]
    parts.append(workspace.folder(PINS), PINS, pa.table({"pin_id": ["9"], "created_at": pa.array([JUNE])}))
    assert run_judgments(workspace).made == 1
    assert gold(workspace).filter(pl.col("pin_id") == "9").select("level", "reason").rows() == [(5, None)]


def test_a_pair_that_has_no_vote_any_more_is_gold_no_more(workspace):
    vote = ("shoe", "1", 5, "ann", JUNE)
    put(workspace, vote, ("shoe", "2", 1, "ann", JUNE))
    run_judgments(workspace)
    put(workspace, vote)
    assert run_judgments(workspace).failed == {"gone": 1}
    assert gold(workspace).select("pin_id", "level", "votes", "reason").rows() == [
        ("1", 5, [5.0], None),
        ("2", None, None, "gone"),
    ]
    known = parts.scan(workspace.folder(JUDGMENT)).filter(pl.col("created_timestamp") <= JULY).collect()
    assert sorted(known["level"]) == [1, 5], "an earlier moment sees what was gold then"
    assert run_judgments(workspace).failed == {}, "taken back once"
    put(workspace, vote, ("shoe", "2", 1, "ann", JUNE))
    assert run_judgments(workspace).made == 1
    assert gold(workspace)["level"].to_list() == [5, 1], "and gold again where it comes again"


def test_a_deleted_pins_pairs_are_left_to_the_erasure(workspace):
    put(workspace, ("shoe", "1", 5, "ann", JUNE))
    run_judgments(workspace)
    gone = {"kind": ["pin"], "id": ["1"], "deleted_at": pa.array([JULY])}
    parts.replace(workspace.folder(DELETIONS), DELETIONS, pa.table(gone))
    assert run_judgments(workspace).failed == {}


def test_a_catalogue_that_nobody_judged_has_no_gold_levels(workspace):
    report = run_judgments(workspace)
    assert (report.made, report.fresh) == (0, 0) and gold(workspace).is_empty()
