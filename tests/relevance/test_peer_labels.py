"""A second opinion on soft labels: means by hand, and the share that fits gold levels best."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from relevance.peer_labels import best_share, mixed


def certain(*levels: int, but: float = 0.2) -> np.ndarray:
    """Rows that give their level 1 - `but`, and the others a fourth of it each."""
    rows = np.full((len(levels), 5), but / 4, np.float32)
    rows[np.arange(len(levels)), np.array(levels) - 1] = 1 - but
    return rows


def test_labels_are_the_mean_by_the_share_and_keep_their_rows() -> None:
    frame = pl.DataFrame(
        {"pin_id": ["a", "b"], "probabilities": [[1.0, 0, 0, 0, 0], [0, 0, 0, 0, 1.0]]},
        schema={"pin_id": pl.String, "probabilities": pl.List(pl.Float32)},
    )
    found = mixed(frame, np.full((2, 5), 0.2, np.float32), 0.25)
    assert found.schema == frame.schema and found["pin_id"].to_list() == ["a", "b"]
    assert found["probabilities"].to_list()[0] == pytest.approx([0.8, 0.05, 0.05, 0.05, 0.05])
    assert mixed(frame, np.full((2, 5), 0.2, np.float32), 0.0).equals(frame)
    assert mixed(frame.clear(), np.zeros((0, 5), np.float32), 0.5).is_empty()


def test_the_better_of_the_two_counts_alone_and_two_that_err_elsewhere_count_alike() -> None:
    gold = np.array([1, 2, 3, 4] * 5)
    right, wrong = certain(*gold), certain(*(gold % 4 + 1))
    assert best_share(gold, right, wrong) == 0.0
    assert best_share(gold, wrong, right) == 1.0
    half = np.arange(20) % 2 == 0
    assert best_share(gold, np.where(half[:, None], right, wrong), np.where(half[:, None], wrong, right)) == 0.5
    assert best_share(gold[:0], right[:0], wrong[:0]) == 0.0
