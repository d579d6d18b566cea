"""Votes as shares of levels, checked by hand."""

from __future__ import annotations

import numpy as np

from relevance.teaching.votes import vote_shares

GOLD = np.eye(5, dtype=np.float32)


def test_votes_are_counted_and_shared() -> None:
    shares = vote_shares([[1, 1, 5], [4]], GOLD[:2])
    np.testing.assert_allclose(shares, [[2 / 3, 0, 0, 0, 1 / 3], [0, 0, 0, 1, 0]], rtol=1e-6)


def test_a_vote_between_two_levels_counts_for_both() -> None:
    np.testing.assert_allclose(vote_shares([[3.25]], GOLD[:1]), [[0, 0, 0.75, 0.25, 0]], rtol=1e-6)


def test_a_pair_without_votes_keeps_its_gold_level() -> None:
    np.testing.assert_array_equal(vote_shares([None, [], [5]], GOLD[[1, 2, 0]]), GOLD[[1, 2, 4]])
