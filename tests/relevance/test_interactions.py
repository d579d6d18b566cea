"""Interactions: what each query word's best match says of a pin, by hand on tokens of two dimensions."""

from __future__ import annotations

import pytest
import torch

from relevance.teaching.interactions import TokenInteractions
from relevance.text import Segment

RED, VASE, GREEN = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([-1.0, 0.0])
SPECIAL, QUERY, MARKER, TITLE, CAPTION = (*range(4), Segment.FIELD + 1)


def interactions(words: list[torch.Tensor], segments: list[int]) -> torch.Tensor:
    """[members: all, title, caption; source: words, equal, states; mean, least, by importance], unscaled."""
    torch.manual_seed(0)
    module = TokenInteractions(width=2, fields=2)
    torch.nn.init.zeros_(module.importance.weight)  # every query token as important as any other
    tokens = torch.stack(words)[None]
    found = module(tokens, tokens, torch.tensor([segments]))
    assert found.shape == (1, module.size)
    return found.detach().reshape(3, 3, 3) / 4


def test_a_word_that_the_pin_lacks_lowers_the_least_and_the_mean() -> None:
    segments = [SPECIAL, QUERY, QUERY, SPECIAL, MARKER, TITLE, TITLE]
    red_vase = interactions([GREEN, RED, VASE, GREEN, GREEN, RED, VASE], segments)
    green_vase = interactions([GREEN, RED, VASE, GREEN, GREEN, GREEN, VASE], segments)
    torch.testing.assert_close(red_vase[0], torch.ones(3, 3))
    mean, least, important = green_vase[0][0]  # "red" is at a right angle to its nearest word, "vase" is there
    assert (mean, least, important) == (0.5, 0.0, 0.5)
    assert green_vase[0][1][0] == pytest.approx(0.5, abs=1e-6)  # a right angle is far from nearly equal


def test_a_match_counts_for_the_field_it_is_in_and_markers_for_none() -> None:
    found = interactions([VASE, GREEN, VASE, RED, VASE], [QUERY, SPECIAL, MARKER, TITLE, CAPTION])
    every, title, caption = found[:, 0, 0]
    assert (every, title, caption) == (1.0, 0.0, 1.0)


def test_an_absent_field_or_query_gives_zeros() -> None:
    no_caption = interactions([VASE, VASE], [QUERY, TITLE])
    assert no_caption[2].abs().max() == 0 and no_caption[1][0][0] == 1
    assert interactions([VASE, RED], [SPECIAL, TITLE]).abs().max() == 0


def test_a_pair_means_the_same_beside_a_longer_one() -> None:
    torch.manual_seed(0)
    module = TokenInteractions(width=4, fields=2)
    tokens = torch.randn(1, 5, 4)
    segments = torch.tensor([[SPECIAL, QUERY, SPECIAL, TITLE, CAPTION]])
    alone = module(tokens, tokens, segments)
    longer = torch.cat([tokens, torch.randn(1, 3, 4)], dim=1).repeat(2, 1, 1)
    padded = torch.cat([segments, torch.full((1, 3), SPECIAL)], dim=1)
    other = torch.tensor([[SPECIAL, QUERY, QUERY, QUERY, SPECIAL, TITLE, TITLE, CAPTION]])
    both = module(longer, longer, torch.cat([padded, other]))
    torch.testing.assert_close(both[0], alone[0])
