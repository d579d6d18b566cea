"""Learning rates by depth, read off the weights' names in every family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_lessons import TINY
from tiny_models import FAMILIES, tiny_bert, tiny_t5

from enrich.errors import BadInput
from relevance.teaching.checkpoint import build_network
from relevance.teaching.layers import layer_of, optimizer_of, steps_from_top
from relevance.teaching.network import load_backbone


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("encoder.layer.11.attention.self.query.weight", 11),  # BERT, XLM-R, mDeBERTa
        ("encoder.block.3.layer.0.SelfAttention.q.weight", 3),  # T5
        ("layers.31.mlp.gate_proj.weight", 31),  # Llama
        ("base_model.model.layers.2.self_attn.q_proj.lora_A.default.weight", 2),  # beside an adapter
        ("embeddings.word_embeddings.weight", None),
        ("norm.weight", None),
    ],
)
def test_a_weight_s_name_tells_its_layer(name: str, layer: int | None) -> None:
    assert layer_of(name) == layer


@pytest.mark.parametrize("make", FAMILIES)
def test_embeddings_are_deepest_and_the_top_layer_is_at_the_full_rate(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    backbone = load_backbone(str(make(tmp_path)))
    names = [name for name, _ in backbone.network.named_parameters()]
    steps = dict(zip(names, steps_from_top(names), strict=True))
    assert {steps[name] for name in names if layer_of(name) == 1} == {0}
    assert {steps[name] for name in names if layer_of(name) == 0} == {1}
    embeddings = [name for name in names if layer_of(name) is None and ("embed" in name or "shared" in name)]
    assert {steps[name] for name in embeddings} == {2}


def test_each_weight_is_taught_once_and_slower_the_deeper(tmp_path: Path) -> None:
    settings = replace(TINY, learning_rate=1.0, layer_decay=0.5, head_learning_rate=3.0)
    backbone = load_backbone(str(tiny_t5(tmp_path)))
    network = build_network(backbone, settings)
    groups = optimizer_of(network, settings).param_groups
    assert {group["lr"] for group in groups} == {1.0, 0.5, 0.25, 3.0}
    taught = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(taught) == sorted(id(weight) for weight in network.parameters())
    assert all(group["weight_decay"] == 0 or all(w.ndim > 1 for w in group["params"]) for group in groups)


def test_without_decay_the_backbone_has_one_rate(tmp_path: Path) -> None:
    network = build_network(load_backbone(str(tiny_bert(tmp_path))), TINY)
    rates = [group["lr"] for group in optimizer_of(network, TINY).param_groups]
    assert rates == [TINY.learning_rate] * 2 + [TINY.head_learning_rate] * 2


def test_weights_that_tell_of_no_layers_are_refused() -> None:
    with pytest.raises(BadInput, match="numbered layers"):
        steps_from_top(["stem.weight", "norm.weight"])
