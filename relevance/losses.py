"""What the student learns from a pair: its targets, and the loss against them.

label            target [5]                                              weight
teacher's        the teacher's softmax (arXiv 2410.17152), `shaped`      1
human's          gold_share · gold level, the rest the annotators' votes human_weight

Two knobs shape a teacher's target, both off by default: a temperature (Hinton, Vinyals & Dean 2015, arXiv 1503.02531)
and a share of its most probable level alone. A third is of the loss: softmax-margin (Gimpel & Smith 2010) with the cost
of an ordinal scale, levels of distance. While it learns, each level's logit is raised by margin · its expected distance
from the target's level, so that the further off a level is the lower it has to be pressed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.nn import functional

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance.teaching.votes import vote_shares
from relevance.training_frame import HUMAN

Floats = NDArray[np.float32]

_DISTANCES = torch.tensor([[float(abs(j - k)) for j in LEVELS] for k in LEVELS])


class Targets(NamedTuple):
    probabilities: Floats  # [n, 5], rows sum to 1
    weights: Floats  # [n]


def soft_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, margin: float = 0.0
) -> torch.Tensor:
    """Weighted mean over rows of -Σ target · log softmax(logits + margin · distance); [n, 5], [n, 5], [n] → scalar.

    distance_j = Σ_k target_k |j - k|, levels.
    """
    if margin:
        logits = logits + margin * (targets @ _DISTANCES)
    losses = -(targets * functional.log_softmax(logits, dim=1)).sum(dim=1)
    return (losses * weights).sum() / weights.sum()


def shaped(labels: Floats, temperature: float, hard_share: float) -> Floats:
    """Soft labels [n, 5] at a temperature, `hard_share` of each its most probable level (the lower of two equal)."""
    if temperature != 1:
        likely = labels.astype(np.float64) / labels.max(axis=1, keepdims=True)  # 1 at most: no power of all is 0
        powers = np.power(likely, 1 / temperature)
        labels = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    if hard_share:
        hard = np.eye(labels.shape[1], dtype=np.float32)[labels.argmax(axis=1)]
        labels = ((1 - hard_share) * labels + hard_share * hard).astype(np.float32)
    return labels


def targets_of(rows: pl.DataFrame, gold_share: float, human_weight: float) -> Targets:
    """Targets of rows with `label_source` "human" (level, votes or null) or "teacher" (probabilities).

    Raises BadInput when a row has no label of its source, or probabilities that are no distribution.
    """
    probabilities = np.zeros((rows.height, len(LEVELS)), np.float32)
    human = (rows["label_source"] == HUMAN).to_numpy()
    if human.any():
        probabilities[human] = _human(rows.filter(pl.Series(human)), gold_share)
    if not human.all():
        probabilities[~human] = _teacher(rows.filter(pl.Series(~human)))
    return Targets(probabilities, np.where(human, human_weight, 1).astype(np.float32))


def _human(rows: pl.DataFrame, gold_share: float) -> Floats:
    if rows["level"].null_count() or not rows["level"].is_in(list(LEVELS)).all():
        raise BadInput("expected a level of 1..5 in every human row, found others; read them with labelled_pairs")
    gold: Floats = np.eye(len(LEVELS), dtype=np.float32)[rows["level"].to_numpy().astype(np.int64) - 1]
    if "votes" not in rows.columns:
        return gold
    shares = vote_shares(rows["votes"].to_list(), gold)
    mixed: Floats = (gold_share * gold + (1 - gold_share) * shares).astype(np.float32)
    return mixed


def _teacher(rows: pl.DataFrame) -> Floats:
    given = rows["probabilities"] if "probabilities" in rows.columns else pl.Series([None] * rows.height)
    lists = given.cast(pl.List(pl.Float32))
    if lists.null_count() or (lists.list.len() != len(LEVELS)).any():
        raise BadInput("expected five probabilities in every teacher row, found others; run `relevance label` again")
    flat = lists.explode().to_numpy().reshape(-1, len(LEVELS))
    if not np.isfinite(flat).all() or (flat < 0).any() or (np.abs(flat.sum(axis=1) - 1) > 0.01).any():
        raise BadInput("expected teacher probabilities that sum to 1, found others; run `relevance label` again")
    shares: Floats = flat / flat.sum(axis=1, keepdims=True)
    return shares
