"""Batches of like length: every row once, none above the budget but a row alone."""

from __future__ import annotations

from enrich.length_buckets import length_buckets


def test_buckets_hold_every_row_once_within_the_budget() -> None:
    lengths = [5, 100, 7, 100, 64, 1]
    found = [places.tolist() for places in length_buckets(lengths, 128)]
    assert sorted(place for places in found for place in places) == list(range(6))
    assert all(len(places) == 1 or max(lengths[i] for i in places) * len(places) <= 128 for places in found)
