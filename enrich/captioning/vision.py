"""BLIP's vision tower, forward alone: a ViT's last states of every patch.

What is added up over the layers, normalised or put through softmax stays float32; matrices are multiplied in the
captioner's dtype (precision.py). On a CPU a few pictures go through all layers together, as many as keep the units busy
and the cache small, and attention is taken a head at a time, so that its scores stay in the cache
(docs/decisions.md has figures).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from enrich.matrices import Matrix

_TOKENS = 1_200  # that go through the layers of a CPU together


class _Layer(NamedTuple):
    attention_norm: nn.LayerNorm
    query_key_value: Matrix  # the query's part scaled by 1/√(size of a head)
    attended: Matrix
    mlp_norm: nn.LayerNorm
    widened: Matrix
    narrowed: Matrix


def fits(vision: Any) -> bool:
    """Whether `vision`, a transformers BlipVisionModel, computes what `VisionTower` does."""
    return bool(vision.config.hidden_act == "gelu")


class VisionTower(nn.Module):
    """Gives what the BlipVisionModel that it was made of (in float32) gives, to `dtype`'s precision."""

    def __init__(self, vision: Any, dtype: torch.dtype) -> None:
        super().__init__()
        config, embeddings = vision.config, vision.embeddings
        self.tokens, self.dimension = int(embeddings.num_positions), int(config.hidden_size)
        self._heads, self._patch = int(config.num_attention_heads), int(config.patch_size)
        convolution = embeddings.patch_embedding
        self._patches = Matrix(convolution.weight.flatten(1), convolution.bias, dtype)
        self._first = nn.Parameter((embeddings.class_embedding + embeddings.position_embedding[:, :1]).detach(), False)
        self._positions = nn.Parameter(embeddings.position_embedding[:, 1:].detach(), False)
        self._layers = [_layer(one, self._heads, dtype) for one in vision.encoder.layers]
        self._last_norm = vision.post_layernorm

    def forward(self, pixels: Tensor) -> Tensor:
        """The last states, float32 [n, tokens, d], of pixels [n, 3, height, width]."""
        at_once = max(1, _TOKENS // self.tokens) if pixels.device.type == "cpu" else len(pixels)
        made = [self._states(some) for some in torch.split(pixels, at_once)]
        return torch.cat(made) if len(made) > 1 else made[0]

    def _states(self, pixels: Tensor) -> Tensor:
        count = len(pixels)
        patches = self._patches(_cut(pixels, self._patch)).float() + self._positions
        states = torch.cat([self._first.expand(count, -1, -1), patches], dim=1).flatten(0, 1)
        for layer in self._layers:
            mixed = self._attention(layer.query_key_value(layer.attention_norm(states)), count)
            states = states + layer.attended(mixed)
            states = states + layer.narrowed(layer.widened(layer.mlp_norm(states)))
        normed: Tensor = self._last_norm(states)
        return normed.view(count, self.tokens, self.dimension)

    def _attention(self, projected: Tensor, count: int) -> Tensor:
        """Each token's mean of the values, [n · tokens, d], of projections [n · tokens, 3 d]."""
        parts = projected.view(count, self.tokens, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        if projected.device.type == "cpu":
            mixed = _by_head(*(part.reshape(count * self._heads, self.tokens, -1) for part in parts))
            mixed = mixed.view(count, self._heads, self.tokens, -1)
        else:
            query, key, value = parts
            mixed = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
        return mixed.transpose(1, 2).reshape(count * self.tokens, -1)


def _cut(pixels: Tensor, side: int) -> Tensor:
    """The patches of pictures, [n, patches, 3 · side²], in the order in which a convolution's weights lie."""
    count, channels, height, width = pixels.shape
    cut = pixels.view(count, channels, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * side * side)


def _by_head(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    mixed = torch.empty_like(query)
    for head, into in enumerate(mixed):
        torch.mm(torch.mm(query[head], key[head].T).softmax(dim=-1), value[head], out=into)
    return mixed


def _layer(layer: Any, heads: int, dtype: torch.dtype) -> _Layer:
    weight, bias = layer.self_attn.qkv.weight.detach().clone(), layer.self_attn.qkv.bias.detach().clone()
    queries = len(weight) // 3
    scale = (queries // heads) ** -0.5
    weight[:queries] *= scale
    bias[:queries] *= scale
    return _Layer(
        attention_norm=layer.layer_norm1,
        query_key_value=Matrix(weight, bias, dtype),
        attended=Matrix(layer.self_attn.projection.weight, layer.self_attn.projection.bias, dtype),
        mlp_norm=layer.layer_norm2,
        widened=Matrix(layer.mlp.fc1.weight, layer.mlp.fc1.bias, dtype, gelu=True),
        narrowed=Matrix(layer.mlp.fc2.weight, layer.mlp.fc2.bias, dtype),
    )
