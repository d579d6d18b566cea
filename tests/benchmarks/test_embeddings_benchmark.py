"""benchmarks/embeddings: all its steps with few texts, and its share of equal neighbours by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import embeddings


def test_it_runs_small_and_both_sides_say_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sentence_transformers", reason="the rival comes with the extra `bench`")
    assert embeddings.main(["--small", "--json"]) in (0, 1)  # 1: too slow on a busy machine, which is no fault
    found = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert found["ours"] > 0 and found["rival"] > 0
    marks = found["details"]["marks"]
    assert marks["greatest |1 - cos|"]["pass"]
    assert marks["the 10 nearest the same, share"]["figure"] > 0.95  # of a hundred texts one more or less counts


def test_equal_neighbours_are_counted_whatever_their_order() -> None:
    angles = np.linspace(0, 1, 12)  # each of twelve has eleven others: the tenth nearest is all but the farthest
    fan = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    moved = fan.copy()
    moved[[0, 11]] = moved[[11, 0]]  # farthest from one another as before, for the others on the other side
    assert embeddings.same_nearest(fan, fan[:, ::-1]) == 1
    assert embeddings.same_nearest(fan, moved) == pytest.approx((2 * 10 + 10 * 9) / 120)
