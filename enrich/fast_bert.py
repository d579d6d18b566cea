"""A BERT-class encoder's forward pass on a CPU with bf16 units: faster than plain bf16, and nearer to float32.

Made of a loaded transformers BertModel (MiniLM is one); takes its place where nothing is trained: in the teacher's
network, and where pins' texts are embedded. Matrices are multiplied in bf16, their weights laid out once as oneDNN
wants them and GELU applied as they are written; what is added up over the layers, normalised or put through softmax
stays float32, which halves bf16's error. Where CLS alone is read, the last layer computes CLS alone
(docs/decisions.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertModel
from transformers.modeling_outputs import BaseModelOutput

from enrich.matrices import Matrix, has_operators


def fits(network: object) -> bool:
    """Whether `network` is an encoder whose layers are those that `FastBert` computes, and torch has the operators."""
    if not isinstance(network, BertModel) or not has_operators():
        return False
    config = network.config
    return config.hidden_act == "gelu" and not config.is_decoder


class _Layer(NamedTuple):
    query: Matrix
    key_value: Matrix
    attended: Matrix
    attended_norm: nn.LayerNorm
    widened: Matrix
    narrowed: Matrix
    output_norm: nn.LayerNorm


class FastBert(nn.Module):
    """Gives what the BertModel that it was made of gives, to bf16's precision; without gradients."""

    def __init__(self, network: BertModel, first_token_alone: bool = False) -> None:
        super().__init__()
        self.embeddings: Any = network.embeddings
        self._heads = int(network.config.num_attention_heads)
        self._first_token_alone = first_token_alone
        self._layers = [_layer(one) for one in network.encoder.layer]

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
            read = states.bfloat16()  # by every token
            if self._first_token_alone and place == len(self._layers) - 1:
                states, asking = (part.view(rows, tokens, -1)[:, 0].contiguous() for part in (states, read))
            else:
                asking = read
            found = self._attention(layer.query(asking), layer.key_value(read), rows, padded)
            states = layer.attended_norm(states + layer.attended(found))
            states = layer.output_norm(states + layer.narrowed(layer.widened(states)))
        return BaseModelOutput(last_hidden_state=states.view(rows, -1, states.shape[-1]))

    def _attention(self, query: Tensor, key_value: Tensor, rows: int, padded: Sequence[tuple[int, int]]) -> Tensor:
        """Each asking token's mean of the values, [rows · asking, d], of `query` [rows · asking, d] and `key_value`
        [rows · tokens, 2 d].

        `padded` are (row, its length), of the rows that are shorter: few where batches are of like length.
        """
        width = query.shape[-1]
        asked = query.view(rows, -1, self._heads, width // self._heads).transpose(1, 2)
        keys, values = key_value.view(rows, -1, 2, self._heads, width // self._heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(asked, keys, values, attn_mask=_hidden(keys, padded))
        return mixed.transpose(1, 2).reshape(query.shape)


def _hidden(keys: Tensor, padded: Sequence[tuple[int, int]]) -> Tensor | None:
    """What takes padding out of the softmax, [rows, 1, 1, tokens]; None where there is none."""
    if not padded:
        return None
    rows, _, tokens, _ = keys.shape
    hidden = keys.new_zeros(rows, 1, 1, tokens)
    for row, length in padded:
        hidden[row, ..., length:] = float("-inf")
    return hidden


def _layer(layer: Any) -> _Layer:
    attention, output = layer.attention.self, layer.attention.output
    key_value = [attention.key, attention.value]
    return _Layer(
        query=_matrix(attention.query.weight, attention.query.bias),
        key_value=_matrix(torch.cat([one.weight for one in key_value]), torch.cat([one.bias for one in key_value])),
        attended=_matrix(output.dense.weight, output.dense.bias),
        attended_norm=output.LayerNorm,
        widened=_matrix(layer.intermediate.dense.weight, layer.intermediate.dense.bias, gelu=True),
        narrowed=_matrix(layer.output.dense.weight, layer.output.dense.bias),
        output_norm=layer.output.LayerNorm,
    )


def _matrix(weight: Tensor, bias: Tensor, gelu: bool = False) -> Matrix:
    return Matrix(weight, bias, torch.bfloat16, gelu)
