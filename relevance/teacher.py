"""The teacher: a cross-encoder that gives a (query, pin) the probabilities of the five levels.

Reads a checkpoint folder (teaching/checkpoint.py; `teaching/training.py` writes it) and texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from enrich.tables import LEVELS
from relevance.teaching.checkpoint import TeacherRecord, build_network, load_head, producer_of, read_record
from relevance.teaching.core_threads import on_every_core
from relevance.teaching.fast_bert import FastBert, fits
from relevance.teaching.network import Backbone, HeadInput, Pooling, TeacherNetwork, collate, fast_dtype, load_backbone
from relevance.text import PairText, PinText, Rendered, Renderer, pair_texts

_PAIRS_AT_ONCE = 16_384  # rendered together and sorted by length
_TOKENS_A_BATCH_CPU, _TOKENS_A_BATCH_GPU = 1_024, 131_072  # padded tokens of one forward pass


class Teacher:
    """A trained teacher, ready to predict."""

    def __init__(self, network: TeacherNetwork, backbone: Backbone, record: TeacherRecord) -> None:
        self.network = network.eval()
        self._padding_id = backbone.padding_id
        self._renderer = Renderer(backbone.tokenizer, record.settings.text)
        self._device = next(network.parameters()).device
        self.record = record

    @classmethod
    def load(cls, path: str | Path, dtype: torch.dtype | None = None, device: str | None = None) -> Teacher:
        """The teacher saved at `path`. `dtype` is the backbone's (None: `fast_dtype`), `device` torch's name.

        Raises BadInput where the folder is absent, incomplete or truncated.
        """
        folder = Path(path)
        record = read_record(folder)
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
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            found[start : start + _PAIRS_AT_ONCE] = self._answers(pairs[start : start + _PAIRS_AT_ONCE])
        return found

    def _answers(self, pairs: Sequence[PairText]) -> npt.NDArray[np.float32]:
        """In batches of like length: on a CPU one a core, else one after another."""
        rows = self._renderer.render(pairs)
        on_cpu = self._device.type == "cpu"
        tokens = _TOKENS_A_BATCH_CPU if on_cpu else _TOKENS_A_BATCH_GPU
        buckets = list(length_buckets([len(row.ids) for row in rows], tokens))
        batches = [[rows[i] for i in places] for places in buckets]
        answers = on_every_core(self._forward, batches) if on_cpu else [self._forward(batch) for batch in batches]
        found = np.zeros((len(pairs), len(LEVELS)), dtype=np.float32)
        found[np.concatenate(buckets)] = np.concatenate(answers)
        return found

    @torch.inference_mode()
    def _forward(self, rows: Sequence[Rendered]) -> npt.NDArray[np.float32]:
        batch = collate(rows, self._padding_id).to(self._device)
        logits = self.network(*batch)["logits"]
        return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)


def _in_bf16(network: Any, record: TeacherRecord) -> nn.Module:
    """The backbone as a CPU computes it best in bf16."""
    if fits(network):
        alone = record.settings.head_inputs is HeadInput.TOKEN and record.pooling is Pooling.CLS
        return FastBert(network, first_token_alone=alone)
    plain: nn.Module = network.bfloat16()
    return plain


def length_buckets(lengths: Sequence[int], tokens: int) -> Iterator[npt.NDArray[np.int64]]:
    """Batches of places, longest first, each of at most `tokens` padded tokens (or of one row)."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
