"""Targets and the loss, by hand."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch

from enrich.errors import BadInput
from relevance.losses import shaped, soft_cross_entropy, targets_of

HUMAN = {"label_source": "human", "level": 4, "votes": [4, 4, 5, 1], "probabilities": None}
TEACHER = {"label_source": "teacher", "level": None, "votes": None, "probabilities": [0.1, 0.2, 0.3, 0.2, 0.2]}


def _targets(rows, gold_share=0.5, human_weight=3.0):
    return targets_of(pl.DataFrame(rows, strict=False), gold_share, human_weight)


def test_a_human_row_mixes_gold_and_votes_and_a_teacher_row_is_its_softmax():
    found = _targets([HUMAN, TEACHER])
    assert found.probabilities[0].tolist() == pytest.approx([0.125, 0, 0, 0.5 + 0.25, 0.125])
    assert found.probabilities[1].tolist() == pytest.approx(TEACHER["probabilities"])
    assert found.weights.tolist() == [3.0, 1.0]


def test_without_votes_the_gold_level_is_all_there_is():
    found = _targets([HUMAN | {"votes": None}, HUMAN], gold_share=0.0)
    assert found.probabilities[0].tolist() == [0, 0, 0, 1, 0]
    assert found.probabilities[1].tolist() == pytest.approx([0.25, 0, 0, 0.5, 0.25])


def test_the_loss_by_hand():
    """Even logits cost ln 5 whatever the target; a row of weight 3 counts three times."""
    logits = torch.tensor([[0.0] * 5, [0.0, 0.0, 0.0, 0.0, math.log(4)]])
    targets = torch.tensor([[0.2] * 5, [0.0, 0.0, 0.0, 0.0, 1.0]])
    even = soft_cross_entropy(logits, targets, torch.tensor([1.0, 1.0]))
    assert even.item() == pytest.approx((math.log(5) + math.log(2)) / 2)
    assert soft_cross_entropy(logits, targets, torch.tensor([3.0, 1.0])).item() == pytest.approx(
        (3 * math.log(5) + math.log(2)) / 4
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (HUMAN | {"level": None}, "level of 1..5"),
        (HUMAN | {"level": 6}, "level of 1..5"),
        (TEACHER | {"probabilities": None}, "five probabilities"),
        (TEACHER | {"probabilities": [0.5, 0.5]}, "five probabilities"),
        (TEACHER | {"probabilities": [0.9, 0.9, 0.0, 0.0, 0.0]}, "sum to 1"),
    ],
)
def test_a_row_without_its_label_is_refused(row, words):
    with pytest.raises(BadInput, match=words):
        _targets([row, TEACHER if row["label_source"] == "human" else HUMAN])


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(0.5, [0.01 / 0.34, 0.04 / 0.34, 0.25 / 0.34, 0.04 / 0.34, 0.0]), (1e-3, [0, 0, 1, 0, 0])],
)
def test_soft_labels_at_any_temperature_are_a_distribution(temperature, expected):
    labels = np.array([[0.1, 0.2, 0.5, 0.2, 0.0]], np.float32)
    assert shaped(labels, temperature, 0.0)[0].tolist() == pytest.approx(expected, abs=1e-6)
