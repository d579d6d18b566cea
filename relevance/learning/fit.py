"""The loop: batches in, the best weights out, a checkpoint after every look at the dev loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch

from enrich.matrices import fast_dtype
from enrich.progress import progress
from relevance.learning.batches import Batch
from relevance.learning.network import StudentNetwork
from relevance.learning.resuming import Checkpoint, State
from relevance.losses import soft_cross_entropy
from relevance.student import StudentSettings

DevLoss = Callable[[StudentNetwork], float]


class Feed(Protocol):
    """As `Batches`."""

    def __len__(self) -> int: ...

    @property
    def looks(self) -> int: ...

    def of(self, epoch: int, look: int) -> Iterator[Batch]: ...


class Best(NamedTuple):
    epoch: int  # in which these weights were reached, from 1
    loss: float
    weights: dict[str, torch.Tensor]


def fit(
    network: StudentNetwork, feed: Feed, dev_loss: DevLoss | None, settings: StudentSettings, checkpoint: Checkpoint
) -> Best:
    """Train until the dev loss has not fallen for `patience` looks; without one, for all epochs.

    Torch's random numbers are drawn from; they and all else go on where a killed run was. Vectors are multiplied in
    bfloat16 where the processor computes in it; weights, and all else, are float32.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    state, looks = checkpoint.restore(network, optimizer), feed.looks
    with progress(settings.epochs * len(feed), "train-student", unit="pair") as bar:
        bar.update(state.look * len(feed) // looks)
        while state.look < settings.epochs * looks and not _over(state, dev_loss, settings):
            epoch, look = divmod(state.look, looks)
            state.epoch_loss = (state.epoch_loss if look else 0.0) + _learn(network, optimizer, feed, state, settings)
            state.look += 1
            whole_epoch = look + 1 == looks
            if dev_loss is not None or whole_epoch:
                loss = dev_loss(network) if dev_loss is not None else state.epoch_loss / len(feed)
                if dev_loss is None or loss < state.best_loss:
                    state.best_look, state.best_loss = state.look, loss
                    state.best = {name: value.clone() for name, value in network.state_dict().items()}
                bar.set_postfix_str(
                    f"epoch {epoch + 1}, {'loss' if dev_loss is None else 'dev loss'} {loss:.3f}", refresh=False
                )
            checkpoint.save(state, network, optimizer)
            bar.update(state.look * len(feed) // looks - (state.look - 1) * len(feed) // looks)
    return Best(-(-state.best_look // looks), state.best_loss, state.best)


def _over(state: State, dev_loss: DevLoss | None, settings: StudentSettings) -> bool:
    return dev_loss is not None and state.look - state.best_look >= settings.patience


def _learn(
    network: StudentNetwork,
    optimizer: torch.optim.Optimizer,
    feed: Feed,
    state: State,
    settings: StudentSettings,
) -> float:
    """One look's batches; the sum of the rows' losses."""
    dtype = fast_dtype(torch.device("cpu"))
    network.train()
    total = torch.zeros((), dtype=torch.float64)
    for batch in feed.of(*divmod(state.look, feed.looks)):
        logits = network(batch.inputs, dtype)
        loss = soft_cross_entropy(logits, batch.targets, batch.weights, settings.ordinal_margin)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimizer.step()
        total += loss.detach() * len(batch.targets)
    network.eval()
    return float(total)
