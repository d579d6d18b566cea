"""The teacher: a cross-encoder that gives a (query, pin) the probabilities of the five levels.

Reads a checkpoint folder (teaching/checkpoint.py; `teaching/training.py` writes it) and texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from enrich.core_threads import on_every_core
from enrich.errors import BadInput
from enrich.fast_bert import FastBert, fits
from enrich.length_buckets import length_buckets
from enrich.matrices import fast_dtype
from enrich.tables import LEVELS
from relevance.ahead import made_ahead
from relevance.teaching.checkpoint import (
    TeacherRecord,
    build_network,
    check_weights,
    load_head,
    producer_of,
    read_record,
)
from relevance.teaching.network import (
    Backbone,
    Batch,
    HeadInput,
    Pooling,
    TeacherNetwork,
    collate,
    load_backbone,
)
from relevance.text import PairText, PinText, Rendered, Renderer, pair_texts


class _Sizes(NamedTuple):
    """What is worked on at once."""

    pairs: int  # rendered together and sorted by length
    tokens: int  # padded, of one forward pass


_ON_CPU, _ON_GPU = _Sizes(16_384, 1_024), _Sizes(4_096, 131_072)
_BATCHES_AHEAD = 8  # rendered and padded while a GPU computes: two rounds of pairs


class _Bucket(NamedTuple):
    """Sequences of like length, and their places among the pairs asked about."""

    places: npt.NDArray[np.int64]
    rows: list[Rendered]


class _Answered(NamedTuple):
    """Logits [n, 5] of the pairs at these places."""

    places: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]


class Teacher:
    """A trained teacher, ready to predict."""

    def __init__(self, network: TeacherNetwork, backbone: Backbone, record: TeacherRecord) -> None:
        self.network = network.eval()
        self._padding_id = backbone.padding_id
        self._renderer = Renderer(backbone.tokenizer, record.settings.text)
        self._device = next(network.parameters()).device
        self._tokens_on_gpu = _ON_GPU.tokens
        self.record = record

    @classmethod
    def load(cls, path: str | Path, dtype: torch.dtype | None = None, device: str | None = None) -> Teacher:
        """The teacher saved at `path`. `dtype` is the backbone's (None: `fast_dtype`), `device` torch's name.

        Raises BadInput where the folder is absent, incomplete or truncated.
        """
        folder = Path(path)
        record = read_record(folder)
        check_weights(folder)
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        chosen = dtype or fast_dtype(where)
        on_cpu = where.type == "cpu" and chosen is torch.bfloat16
        backbone = load_backbone(str(folder), torch.float32 if on_cpu else chosen)
        network = build_network(backbone, record.settings)
        load_head(network, folder)
        if on_cpu:
            network.backbone = _in_bf16(backbone.network.eval(), record)
        return cls(network.to(where), backbone, record)

    @property
    def producer(self) -> str:
        """The name under which its soft labels are stored."""
        return producer_of(self.record)

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Probabilities float32 [n, 5], columns levels 1..5, rows sum to 1; a str is a pin that has only a title."""
        return self.record.calibration.probabilities(self.logits(queries, pin_texts))

    def logits(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Logits before calibration, float32 [n, 5], in the order given. Raises BadInput on unequal lengths."""
        pairs = pair_texts(queries, pin_texts)
        found = np.zeros((len(pairs), len(LEVELS)), dtype=np.float32)
        for places, logits in self._on_cores(pairs) if self._device.type == "cpu" else self._in_turn(pairs):
            found[places] = logits
        return found

    def forget_texts(self) -> None:
        """Tokenise anew what was kept: a benchmark's turns are to be alike."""
        self._renderer.forget_texts()

    def _on_cores(self, pairs: Sequence[PairText]) -> Iterator[_Answered]:
        """A batch a core."""
        for buckets in self._rounds(pairs, _ON_CPU.pairs, lambda: _ON_CPU.tokens):
            answers = on_every_core(lambda one: self._forward(self._padded(one)), buckets)
            yield from (_Answered(one.places, logits) for one, logits in zip(buckets, answers, strict=True))

    def _in_turn(self, pairs: Sequence[PairText]) -> Iterator[_Answered]:
        """A batch after another; a thread makes the next ones, or a GPU would wait for its texts."""
        rounds = self._rounds(pairs, _ON_GPU.pairs, lambda: self._tokens_on_gpu)
        made = ((one.places, self._padded(one)) for buckets in rounds for one in buckets)
        for places, batch in made_ahead(made, _BATCHES_AHEAD):
            yield _Answered(places, self._forward(batch))

    def _rounds(self, pairs: Sequence[PairText], together: int, tokens: Callable[[], int]) -> Iterator[list[_Bucket]]:
        """Batches of like length, each round's of the pairs that are rendered together, in as many `tokens` as then."""
        for start in range(0, len(pairs), together):
            rows = self._renderer.render(pairs[start : start + together])
            buckets = length_buckets([len(row.ids) for row in rows], tokens())
            yield [_Bucket(start + places, [rows[i] for i in places]) for places in buckets]

    def _padded(self, bucket: _Bucket) -> Batch:
        return collate(bucket.rows, self._padding_id)

    @torch.inference_mode()
    def _forward(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Logits [n, 5]; in two halves, and so on, where a GPU has not the memory for it, and later ones are smaller.

        Raises BadInput where it has not the memory for one pair.
        """
        try:
            logits = self.network(*batch.to(self._device))["logits"]
            return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)
        except torch.OutOfMemoryError as error:
            if len(batch.input_ids) == 1:
                said = str(error).partition("\n")[0]
                raise BadInput(
                    f"expected memory on {self._device} for one pair of {batch.input_ids.numel()} tokens, found too "
                    f"little ({said}); end what else computes there, or set CUDA_VISIBLE_DEVICES= to use the CPU"
                ) from error
        torch.cuda.empty_cache()
        self._tokens_on_gpu = min(self._tokens_on_gpu, -(-batch.input_ids.numel() // 2))
        return np.concatenate([self._forward(half) for half in _halves(batch)])


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    half = len(batch.input_ids) // 2
    return Batch(*(part[:half] for part in batch)), Batch(*(part[half:] for part in batch))


def _in_bf16(network: Any, record: TeacherRecord) -> nn.Module:
    """The backbone as a CPU computes it best in bf16."""
    if fits(network):
        alone = record.settings.head_inputs is HeadInput.TOKEN and record.pooling is Pooling.CLS
        return FastBert(network, first_token_alone=alone)
    plain: nn.Module = network.bfloat16()
    return plain
