"""Many texts' tokens to unit vectors in bf16 on a CPU: batches of like length, one on every core.

`TextEncoder.encode_in_bulk` hands it what no answer is held to the bit by; a vector's last bits depend on the batch
that it was in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from enrich.core_threads import on_every_core
from enrich.fast_bert import FastBert
from enrich.length_buckets import length_buckets

_TOKENS = 1_024  # padded, of one forward pass
_PADDING = 0  # any token: nothing that is padding is read

Pool = Callable[[Tensor, Tensor], Tensor]  # states [n, tokens, d] and mask [n, tokens] to [n, d]


class BulkEncoder:
    """A network and how its states are pooled."""

    def __init__(self, network: FastBert, pool: Pool) -> None:
        self._network, self._pool = network, pool

    def encode(self, tokens: Sequence[Sequence[int]], dimension: int) -> NDArray[np.float32]:
        """Float32 [n, dimension], in the order given; of a text without tokens zeros."""
        vectors = np.zeros((len(tokens), dimension), dtype=np.float32)
        lengths = [len(row) for row in tokens]
        said = np.flatnonzero(lengths)
        buckets = [said[places] for places in length_buckets([lengths[i] for i in said], _TOKENS)]
        answers = on_every_core(lambda places: self._forward([tokens[i] for i in places]), buckets)
        for places, rows in zip(buckets, answers, strict=True):
            vectors[places] = rows
        return vectors

    @torch.inference_mode()
    def _forward(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        ids = torch.full((len(tokens), max(map(len, tokens))), _PADDING)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(tokens):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        states = self._network(ids, mask).last_hidden_state
        return np.asarray(functional.normalize(self._pool(states, mask), dim=1).numpy(), dtype=np.float32)
