"""What a phase of a teacher's training feeds, and in which order: both follow from (seed, epoch) alone.

Pure but for `Examples`, which holds the sequences of the epoch that it was last told of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from relevance.teaching.field_dropout import drop_fields
from relevance.teaching.network import collate
from relevance.teaching.query_slips import slip_queries
from relevance.text import PairText, Renderer, TextSettings

_BATCHES_SORTED_TOGETHER = 20  # more wastes less on padding and shuffles less


class Varied(NamedTuple):
    """How each epoch's pairs differ from those that were given."""

    field_dropout: float  # chance that a text field is left out
    query_slips: float  # chance that a query has slips
    seed: int

    def __call__(self, pairs: Sequence[PairText], text: TextSettings, epoch: int) -> Sequence[PairText]:
        if self.field_dropout:
            pairs = drop_fields(pairs, text, self.field_dropout, self.seed, epoch)
        if self.query_slips:
            pairs = slip_queries(pairs, self.query_slips, self.seed, epoch)
        return pairs


class Examples(Dataset[dict[str, Any]]):
    """Pairs with their target probabilities float32 [n, 5], rendered whole or, as `varied` says, anew each epoch."""

    def __init__(
        self,
        pairs: Sequence[PairText],
        targets: npt.NDArray[np.float32],
        renderer: Renderer,
        varied: Varied | None = None,
    ) -> None:
        self._pairs = pairs
        self._targets = targets
        self._renderer = renderer
        self._varied = varied
        self._epoch: int | None = None
        self._rendered = renderer.render(pairs)

    def set_epoch(self, epoch: int) -> None:
        """Vary the pairs as this epoch does."""
        if self._varied is not None and epoch != self._epoch:
            self._rendered = self._renderer.render(self._varied(self._pairs, self._renderer.settings, epoch))
            self._epoch = epoch

    def __len__(self) -> int:
        return len(self._rendered)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"rendered": self._rendered[place], "target": self._targets[place]}

    @property
    def lengths(self) -> list[int]:
        return [len(row.ids) for row in self._rendered]


class LengthGrouped(Sampler[int]):
    """Random places in which every batch holds rows of like length; the order follows from (seed, epoch) alone.

    `batch_size` is of the whole step: processes that share it take equal slices of it in turn.
    """

    def __init__(self, examples: Examples, batch_size: int, seed: int) -> None:
        self._examples = examples
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._examples)

    def __iter__(self) -> Iterator[int]:
        self._examples.set_epoch(self._epoch)
        random = np.random.default_rng((self._seed, self._epoch))
        batches = batches_of_like_length(self._examples.lengths, self._batch_size, random)
        whole = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]  # last, or it would shift the others
        random.shuffle(whole)
        return (int(place) for batch in [*whole, *rest] for place in batch)


def batches_of_like_length(
    lengths: Sequence[int], batch_size: int, random: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Random places, once each, in batches of like length; short ones first within every so many batches."""
    together = batch_size * _BATCHES_SORTED_TOGETHER
    order, sizes = random.permutation(len(lengths)), np.asarray(lengths)
    blocks = [order[start : start + together] for start in range(0, len(order), together)]
    ordered = [block[np.argsort(sizes[block], kind="stable")] for block in blocks]
    return [block[i : i + batch_size] for block in ordered for i in range(0, len(block), batch_size)]


def collate_examples(examples: Sequence[dict[str, Any]], padding_id: int) -> dict[str, torch.Tensor]:
    """One batch as the network's forward takes it; `labels` are the targets."""
    batch = collate([example["rendered"] for example in examples], padding_id)
    targets = torch.from_numpy(np.stack([example["target"] for example in examples]))
    return {**batch._asdict(), "labels": targets}
