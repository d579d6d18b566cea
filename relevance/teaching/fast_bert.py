"""A BERT-class encoder's forward pass on a CPU with bf16 units: faster than plain bf16, and nearer to float32.

Made of a loaded transformers BertModel (MiniLM is one); takes its place in the teacher's network where nothing is
trained. Matrices are multiplied in bf16, their weights laid out once as oneDNN wants them and GELU applied as they are
written; what is added up over the layers, normalised or put through softmax stays float32, which halves bf16's error.
Where the head reads CLS alone, the last layer computes CLS alone (docs/decisions.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import BertModel
from transformers.modeling_outputs import BaseModelOutput

_ROWS = 1_024  # tokens that weights are laid out for; any number may be multiplied
_operators: Any = torch.ops.mkldnn  # oneDNN's, as torch's own compiler calls them; torch is pinned to a minor version


def fits(network: object) -> bool:
    """Whether `network` is an encoder whose layers are those that `FastBert` computes, and torch has the operators."""
    if not isinstance(network, BertModel) or not hasattr(_operators, "_reorder_linear_weight"):
        return False
    config = network.config
    return config.hidden_act == "gelu" and not config.is_decoder


class _Linear:
    """x ↦ activation(x W' + b) in bf16."""

    def __init__(self, weight: Tensor, bias: Tensor, activation: str = "none") -> None:
        self._weight = _operators._reorder_linear_weight(weight.detach().bfloat16().contiguous(), _ROWS)
        self._bias = bias.detach().bfloat16()
        self._activation, self._algorithm = activation, "none" if activation == "gelu" else ""

    def __call__(self, rows: Tensor) -> Tensor:
        made: Tensor = _operators._linear_pointwise(
            rows.bfloat16(), self._weight, self._bias, self._activation, [], self._algorithm
        )
        return made


class _Layer(NamedTuple):
    query_key_value: _Linear  # the query's part scaled by 1/√(size of a head)
    attended: _Linear
    attended_norm: nn.LayerNorm
    widened: _Linear
    narrowed: _Linear
    output_norm: nn.LayerNorm


class FastBert(nn.Module):
    """Gives what the BertModel that it was made of gives, to bf16's precision; without gradients."""

    def __init__(self, network: BertModel, first_token_alone: bool = False) -> None:
        super().__init__()
        self.embeddings: Any = network.embeddings
        self._heads = int(network.config.num_attention_heads)
        self._first_token_alone = first_token_alone
        self._layers = [_layer(one, self._heads) for one in network.encoder.layer]

    def get_input_embeddings(self) -> nn.Module:
        words: nn.Module = self.embeddings.word_embeddings
        return words

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> BaseModelOutput:
        """Last states float32 [n, tokens, d] of ids and mask [n, tokens]; of CLS, [n, 1, d], if only that is read.

        Rows are padded on the right.
        """
        rows, tokens = input_ids.shape
        states = self.embeddings(input_ids=input_ids).reshape(rows * tokens, -1)
        padded = [(row, length) for row, length in enumerate(attention_mask.sum(1).tolist()) if length < tokens]
        for place, layer in enumerate(self._layers):
            found = self._attention(layer.query_key_value(states), rows, tokens, padded)
            if self._first_token_alone and place == len(self._layers) - 1:
                states, found = (part.view(rows, tokens, -1)[:, 0].contiguous() for part in (states, found))
            states = layer.attended_norm(states + layer.attended(found))
            states = layer.output_norm(states + layer.narrowed(layer.widened(states)))
        return BaseModelOutput(last_hidden_state=states.view(rows, -1, states.shape[-1]))

    def _attention(self, projected: Tensor, rows: int, tokens: int, padded: Sequence[tuple[int, int]]) -> Tensor:
        """Each token's mean of the values, [rows · tokens, d], of projections [rows · tokens, 3 d].

        `padded` are (row, its length), of the rows that are shorter: few where batches are of like length.
        """
        parts = projected.view(rows, tokens, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = (part.reshape(rows * self._heads, tokens, -1) for part in parts)
        scores = torch.bmm(query, key.transpose(1, 2)).float()
        by_row = scores.view(rows, self._heads, tokens, tokens)
        for row, length in padded:
            by_row[row, :, :, length:] = float("-inf")
        mixed = torch.bmm(scores.softmax(dim=-1).bfloat16(), value)
        return mixed.view(rows, self._heads, tokens, -1).transpose(1, 2).reshape(rows * tokens, -1)


def _layer(layer: Any, heads: int) -> _Layer:
    attention, output = layer.attention.self, layer.attention.output
    scale = (attention.query.weight.shape[0] // heads) ** -0.5
    weights = [attention.query.weight * scale, attention.key.weight, attention.value.weight]
    biases = [attention.query.bias * scale, attention.key.bias, attention.value.bias]
    return _Layer(
        query_key_value=_Linear(torch.cat(weights), torch.cat(biases)),
        attended=_Linear(output.dense.weight, output.dense.bias),
        attended_norm=output.LayerNorm,
        widened=_Linear(layer.intermediate.dense.weight, layer.intermediate.dense.bias, "gelu"),
        narrowed=_Linear(layer.output.dense.weight, layer.output.dense.bias),
        output_norm=layer.output.LayerNorm,
    )
