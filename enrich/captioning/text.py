"""BLIP's text decoder, a word at a time: the likeliest next word until the end, as transformers' greedy `generate`.

A caption of 20 words asks every layer 20 times what of the picture matters. Its 577 states are not projected to keys
and values for that (16 of a picture's 133 GFLOP, and 42 MB that every word would read): a query is projected to where
the states are, the states are averaged as they lie, and their mean is projected once. That is the same sum in another
order: q · (K x) = (K' q) · x, and Σ p (V x) = V Σ p x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from enrich.matrices import Matrix

_CLOSE = 8  # words whose scores are taken again in float32, where they were multiplied in less
_LOOKS_EVERY = 4  # words, on a GPU, between two looks at whether all captions have ended

# What a generation config may ask for beyond greedy search, and what leaves it that.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "do_sample": (None, False),
    "num_beams": (None, 1),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "repetition_penalty": (None, 1.0),
    "encoder_repetition_penalty": (None, 1.0),
    "no_repeat_ngram_size": (None, 0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "guidance_scale": (None, 1.0),
    **dict.fromkeys(
        ("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id"),
        (None,),
    ),
    **dict.fromkeys(("sequence_bias", "exponential_decay_length_penalty", "penalty_alpha", "dola_layers"), (None,)),
}


class _Attention(NamedTuple):
    """A head's share of each projection, [heads, ...], where the picture's states are attended to."""

    query: Matrix
    to_states: Tensor  # [heads, d of a head, d of a state]; scaled by 1/√(d of a head)
    from_states: Tensor  # [heads, d of a state, d of a head]
    value_bias: Tensor
    attended: Matrix
    norm: nn.LayerNorm


class _Layer(NamedTuple):
    query_key_value: Matrix
    attended: Matrix
    attended_norm: nn.LayerNorm
    picture: _Attention
    widened: Matrix
    narrowed: Matrix
    output_norm: nn.LayerNorm


class _Said(NamedTuple):
    """What the layers keep of the words so far, and the picture: [n, heads, words, d of a head]; [n, tokens, d]."""

    keys: list[Tensor]
    values: list[Tensor]
    states: Tensor


def fits(decoder: Any) -> bool:
    """Whether `decoder`, a transformers BlipTextLMHeadModel, is plain greedy search over layers as computed here."""
    asked = decoder.generation_config
    plain = all(getattr(asked, name, None) in neutral for name, neutral in _NEUTRAL.items())
    config = decoder.config
    return bool(plain and config.hidden_act == "gelu" and config.is_decoder and not config.chunk_size_feed_forward)


class TextDecoder(nn.Module):
    """Says what the BlipTextLMHeadModel that it was made of (in float32) says, to `dtype`'s precision."""

    def __init__(self, decoder: Any, dtype: torch.dtype) -> None:
        super().__init__()
        config, bert, head = decoder.config, decoder.bert, decoder.cls.predictions
        self._dtype, self._heads = dtype, int(config.num_attention_heads)
        self._end, self._pad = int(config.sep_token_id), int(config.pad_token_id)
        self._words, self._positions = bert.embeddings.word_embeddings, bert.embeddings.position_embeddings
        self._embedding_norm = bert.embeddings.LayerNorm
        self._layers = [_layer(one, self._heads, dtype) for one in bert.encoder.layer]
        self._last = Matrix(head.transform.dense.weight, head.transform.dense.bias, dtype, gelu=True)
        self._last_norm = head.transform.LayerNorm
        self._scores = Matrix(head.decoder.weight, head.decoder.bias, dtype)
        self._exact, self._exact_bias = head.decoder.weight, head.decoder.bias
        self.step: Callable[[Tensor, Tensor, _Said], Tensor] = self._step

    @property
    def longest(self) -> int:
        """Tokens that there are positions for."""
        return int(self._positions.num_embeddings)

    def forward(self, states: Tensor, prompt: Sequence[int], most: int) -> Tensor:
        """Tokens [n, len(prompt) + at most `most`] of states [n, tokens, d]: the prompt and what follows it."""
        count, device = len(states), states.device
        said = self._nothing_said(states, len(prompt) + most)
        tokens = [torch.full((count,), word, device=device) for word in prompt]
        ended = torch.zeros(count, dtype=torch.bool, device=device)
        for at in range(len(prompt) + most - 1):
            hidden = self.step(tokens[at], torch.tensor([at], device=device), said)
            if at + 1 < len(prompt):
                continue
            tokens.append(torch.where(ended, self._pad, self._likeliest(hidden)))
            ended |= tokens[-1] == self._end
            if (device.type == "cpu" or at % _LOOKS_EVERY == 0) and bool(ended.all()):
                break
        return torch.stack(tokens, dim=1)

    def _nothing_said(self, states: Tensor, length: int) -> _Said:
        shape = (len(states), self._heads, length, self._words.embedding_dim // self._heads)
        keys, values = ([states.new_zeros(shape, dtype=torch.float32) for _ in self._layers] for _ in range(2))
        return _Said(keys, values, states.to(self._dtype))

    def _step(self, tokens: Tensor, at: Tensor, said: _Said) -> Tensor:
        """The last layer's states [n, d], float32, of the words `tokens` [n] at the place `at` [1]."""
        hidden: Tensor = self._embedding_norm(self._words(tokens) + self._positions(at))
        later = torch.arange(said.keys[0].shape[2], device=at.device) > at
        for layer, keys, values in zip(self._layers, said.keys, said.values, strict=True):
            mixed = self._words_so_far(layer.query_key_value(hidden).float(), keys, values, at, later)
            hidden = layer.attended_norm(hidden + layer.attended(mixed))
            hidden = layer.picture.norm(hidden + self._picture(layer.picture, hidden, said.states))
            hidden = layer.output_norm(hidden + layer.narrowed(layer.widened(hidden)))
        return hidden

    def _words_so_far(self, projected: Tensor, keys: Tensor, values: Tensor, at: Tensor, later: Tensor) -> Tensor:
        count = len(projected)
        query, key, value = projected.view(count, 3, self._heads, 1, -1).unbind(1)
        keys.index_copy_(2, at, key)
        values.index_copy_(2, at, value)
        scores = (query @ keys.transpose(2, 3)).masked_fill(later, float("-inf"))
        return (scores.softmax(dim=-1) @ values).reshape(count, -1)

    def _picture(self, attention: _Attention, hidden: Tensor, states: Tensor) -> Tensor:
        count = len(hidden)
        query = attention.query(hidden).view(count, self._heads, -1).transpose(0, 1)
        asked = torch.bmm(query, attention.to_states).transpose(0, 1).contiguous()  # [n, heads, d of a state]
        shares = torch.bmm(asked, states.transpose(1, 2)).softmax(dim=-1)
        seen = torch.bmm(shares, states).transpose(0, 1).contiguous()
        mixed = torch.bmm(seen, attention.from_states).transpose(0, 1).reshape(count, -1)
        return attention.attended(mixed + attention.value_bias)

    def _likeliest(self, hidden: Tensor) -> Tensor:
        """The next word of each caption, [n]."""
        last = self._last_norm(self._last(hidden).float())
        scores = self._scores(last)
        if self._dtype is torch.float32:
            return scores.argmax(dim=-1)
        close = scores.topk(min(_CLOSE, scores.shape[-1]), dim=-1).indices.sort(dim=-1).values
        exact = (self._exact[close] * last.unsqueeze(1)).sum(dim=-1) + self._exact_bias[close]
        return close.gather(1, exact.argmax(dim=-1, keepdim=True)).squeeze(1)


def _layer(layer: Any, heads: int, dtype: torch.dtype) -> _Layer:
    words, own = layer.attention.self, layer.attention.output
    scale = (words.query.weight.shape[0] // heads) ** -0.5
    weights = [words.query.weight * scale, words.key.weight, words.value.weight]
    biases = [words.query.bias * scale, words.key.bias, words.value.bias]
    return _Layer(
        query_key_value=Matrix(torch.cat(weights), torch.cat(biases), dtype),
        attended=Matrix(own.dense.weight, own.dense.bias, dtype),
        attended_norm=own.LayerNorm,
        picture=_attention(layer.crossattention, heads, dtype),
        widened=Matrix(layer.intermediate.dense.weight, layer.intermediate.dense.bias, dtype, gelu=True),
        narrowed=Matrix(layer.output.dense.weight, layer.output.dense.bias, dtype),
        output_norm=layer.output.LayerNorm,
    )


def _attention(attention: Any, heads: int, dtype: torch.dtype) -> _Attention:
    """A key's bias adds the same to all of a query's scores, which softmax takes off again: it is left out."""
    seeing, output = attention.self, attention.output
    key, value = (part.weight.detach().unflatten(0, (heads, -1)) for part in (seeing.key, seeing.value))
    return _Attention(
        query=Matrix(seeing.query.weight, seeing.query.bias, dtype),
        to_states=(key * key.shape[1] ** -0.5).to(dtype).contiguous(),
        from_states=value.transpose(1, 2).to(dtype).contiguous(),
        value_bias=seeing.value.bias.detach().to(dtype),
        attended=Matrix(output.dense.weight, output.dense.bias, dtype),
        norm=output.LayerNorm,
    )
