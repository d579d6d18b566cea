"""The teacher's last layers and losses: always five probabilities, and the loss that the formula says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from relevance.teaching.choices import Loss
from relevance.teaching.losses import OrderedLevels, divergence_of_halves, last_layer, loss_of
from relevance.teaching.training import smoothed

VOTES = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0], [0.5, 0.25, 0.0, 0.0, 0.25]])


def layer_with(thresholds: list[float]) -> OrderedLevels:
    """One input, which is the score itself."""
    layer = OrderedLevels(1)
    with torch.no_grad():
        layer.score.weight.fill_(1.0)
        layer.thresholds.copy_(torch.tensor(thresholds))
    return layer


@given(
    score=st.floats(-30, 30),
    thresholds=st.lists(st.floats(-10, 10), min_size=4, max_size=4),
)
def test_an_ordinal_layer_gives_probabilities_whatever_its_thresholds(score: float, thresholds: list[float]) -> None:
    logits = layer_with(thresholds)(torch.tensor([[score]]))
    probabilities = logits.softmax(-1)
    assert torch.isfinite(logits).all()
    assert (probabilities >= 0).all() and probabilities.sum().item() == pytest.approx(1, abs=1e-5)


def test_an_ordinal_layer_says_what_its_thresholds_say() -> None:
    layer = layer_with([2.0, -1.0, 0.0, 1.0])  # -1, 0, 1, 2 in order
    below = torch.sigmoid(torch.tensor([-1.0, 0.0, 1.0, 2.0]) - 0.5)
    expected = torch.diff(torch.cat([torch.zeros(1), below, torch.ones(1)]))
    torch.testing.assert_close(layer(torch.tensor([[0.5]])).exp()[0], expected)


def test_a_new_ordinal_layer_favours_no_level() -> None:
    torch.testing.assert_close(OrderedLevels(3)(torch.zeros(1, 3)).exp(), torch.full((1, 5), 0.2))


def test_a_higher_score_is_a_higher_level() -> None:
    scores = torch.linspace(-6, 6, 25)[:, None]
    expected = layer_with([-2.0, -1.0, 1.0, 2.0])(scores).exp() @ torch.arange(1.0, 6.0)
    assert (expected.diff() > 0).all()


@pytest.mark.parametrize("targets", [torch.eye(5), VOTES[[0, 1, 1, 0, 1]]])
def test_coral_is_four_binary_cross_entropies(targets: Tensor) -> None:
    scores, thresholds = torch.tensor([-2.0, -0.5, 0.0, 1.0, 3.0]), torch.tensor([-1.5, -0.5, 0.5, 2.0])
    above = scores[:, None] - thresholds  # logits of "level > k"
    reached = torch.stack([targets[:, k:].sum(1) for k in range(1, 5)], dim=1)
    expected = nn.functional.binary_cross_entropy_with_logits(above, reached, reduction="none").sum(1).mean()
    logits = layer_with(thresholds.tolist())(scores[:, None])
    torch.testing.assert_close(loss_of(Loss.CORAL, logits, targets), expected)


@pytest.mark.parametrize("loss", [Loss.CROSS_ENTROPY, Loss.CUMULATIVE_LINK])
def test_the_others_are_cross_entropy_of_the_probabilities(loss: Loss) -> None:
    torch.manual_seed(0)
    logits = last_layer(loss, 3)(torch.randn(2, 3))
    expected = -(VOTES * logits.softmax(-1).log()).sum(1).mean()
    torch.testing.assert_close(loss_of(loss, logits, VOTES), expected)


@pytest.mark.parametrize("loss", Loss)
def test_every_loss_finds_the_votes_of_one_pair(loss: Loss) -> None:
    """Probabilities that a layer on one score can give are found by each."""
    torch.manual_seed(0)
    layer, inputs, votes = last_layer(loss, 1), torch.ones(1, 1), torch.tensor([[0.1, 0.2, 0.4, 0.2, 0.1]])
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss_of(loss, layer(inputs), votes).backward()
        optimizer.step()
    torch.testing.assert_close(layer(inputs).softmax(-1), votes, atol=0.01, rtol=0)


def test_r_drop_compares_the_same_pair_twice() -> None:
    first, second = torch.tensor([[0.5, 0.5, 0, 0, 0]]) + 1e-9, torch.tensor([[0.25, 0.75, 0, 0, 0]]) + 1e-9
    # KL(p|q) = ½ ln 2 + ½ ln ⅔ = .1438, KL(q|p) = ¼ ln ½ + ¾ ln 3/2 = .1308
    found = divergence_of_halves(torch.cat([first, second]).log())
    assert found.item() == pytest.approx((0.1438 + 0.1308) / 2, abs=1e-4)
    assert divergence_of_halves(torch.cat([first, first]).log()).item() == pytest.approx(0, abs=1e-6)


def test_smoothing_spreads_its_share_evenly() -> None:
    gold = np.eye(5, dtype=np.float32)[[4]]
    np.testing.assert_allclose(smoothed(gold, 0.1), [[0.02, 0.02, 0.02, 0.02, 0.92]], atol=1e-6)
    assert smoothed(gold, 0.0) is gold
