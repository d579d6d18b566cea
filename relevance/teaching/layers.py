"""Where a backbone's weights stand in its depth, and the optimizer that teaches them by it.

Pure. The stack of layers is read off the weights' names, which agree in this among BERT and MiniLM, XLM-R and mDeBERTa
(encoder.layer.3.…), T5 (encoder.block.3.…) and Llama (layers.3.…).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from enrich.errors import BadInput
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.network import TeacherNetwork, width_of

_LAYER = re.compile(r"(?:^|\.)(?:layer|layers|block|h)\.(\d+)\.")
_ADAPTED = "lora_"  # how peft names the weights that it adds
WIDE = 1_024  # states of this width and wider are a large backbone's


def usual_rate(width: int) -> float:
    """The peak rate at which a whole backbone of this width is taught.

    MiniLM's, which BERT's authors name too (Devlin et al. 2018, arXiv 1810.04805, appendix A.3: 2e-5 to 5e-5); of a
    large one the least of RoBERTa-large's (Liu et al. 2019, arXiv 1907.11692, table 10: 1e-5 to 3e-5).
    """
    return 5e-5 if width < WIDE else 1e-5


def layer_of(name: str) -> int | None:
    """The layer, from 0 at the bottom, that a weight or a module of this name is in; None outside of the stack."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None


def steps_from_top(names: list[str]) -> list[int]:
    """How many layers stand above each weight: 0 in the top layer and for what follows it, most for embeddings.

    `names` are in the network's order: what comes before the layers is embeddings (T5 calls them "shared"), and so is
    what is called that (mDeBERTa's of relative positions). Raises BadInput where no name tells of a layer.
    """
    depths = [layer_of(name) for name in names]
    layers = 1 + max((depth for depth in depths if depth is not None), default=-1)
    if not layers:
        raise BadInput(
            f"expected --layer-decay with a backbone of numbered layers, found weights such as {names[0]}; leave it out"
        )
    first = next(place for place, depth in enumerate(depths) if depth is not None)
    return [
        layers - 1 - depth if depth is not None else layers if place < first or "embed" in name else 0
        for place, (name, depth) in enumerate(zip(names, depths, strict=True))
    ]


def optimizer_of(network: TeacherNetwork, settings: TeacherSettings) -> torch.optim.AdamW:
    """AdamW; the head and an adapter at rates of their own, no decay on biases and normalisation weights.

    A layer's rate is `layer_decay` times that of the layer above it (Howard & Ruder 2018, arXiv 1801.06146).
    """
    groups = [
        group
        for weights, rate in [
            *_by_depth(network.backbone, settings),
            (list(network.head.parameters()), settings.head_learning_rate),
        ]
        for group in with_and_without_decay(weights, rate, settings.weight_decay)
    ]
    return torch.optim.AdamW(groups, fused=True)


def _by_depth(backbone: nn.Module, settings: TeacherSettings) -> list[tuple[list[nn.Parameter], float]]:
    """The backbone's weights that learn, and their rates."""
    named = [(name, weight) for name, weight in backbone.named_parameters() if weight.requires_grad]
    names = [name for name, _ in named]
    adapted = any(_ADAPTED in name for name in names)
    rate = settings.adapter_learning_rate if adapted else settings.learning_rate
    if rate is None:
        rate = usual_rate(width_of(backbone.config))
    if settings.layer_decay == 1:
        return [([weight for _, weight in named], rate)]
    groups: dict[int, list[nn.Parameter]] = {}
    for steps, (_, weight) in zip(steps_from_top(names), named, strict=True):
        groups.setdefault(steps, []).append(weight)
    return [(weights, rate * settings.layer_decay**steps) for steps, weights in sorted(groups.items())]


def with_and_without_decay(weights: list[nn.Parameter], rate: float, decay: float) -> list[dict[str, Any]]:
    """Groups of an optimizer: matrices decay, biases and normalisation weights do not."""
    matrices = [weight for weight in weights if weight.ndim > 1]
    vectors = [weight for weight in weights if weight.ndim <= 1]
    groups = [
        {"params": matrices, "lr": rate, "weight_decay": decay},
        {"params": vectors, "lr": rate, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
