"""Where training stands, in one file: a killed run goes on from it and ends with the weights of one that was not.

training.safetensors    weights, the best weights yet, the optimizer's moments, torch's random state; how far it is
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from relevance.learning.network import StudentNetwork

_WEIGHTS, _BEST, _OPTIMIZER, _RANDOM = "weights.", "best.", "optimizer.", "random"


@dataclass(slots=True)
class State:
    """How far training is."""

    look: int = 0  # looks done, over all epochs
    epoch_loss: float = 0.0  # sum over the rows of the epoch that have been learned from
    best_look: int = 0  # after which the best weights were reached, from 1; 0: none yet
    best_loss: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)


class Checkpoint:
    """A file that is replaced whole."""

    def __init__(self, path: Path, made_from: str) -> None:
        """`made_from` is a fingerprint of rows and settings: a file of others is not gone on from."""
        self._path = path
        self._made_from = made_from

    def save(self, state: State, network: StudentNetwork, optimizer: torch.optim.Optimizer) -> None:
        tensors = {_WEIGHTS + name: value for name, value in network.state_dict().items()}
        tensors |= {_BEST + name: value for name, value in state.best.items()}
        for parameter, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{_OPTIMIZER}{parameter}.{name}": value for name, value in moments.items()}
        tensors[_RANDOM] = torch.get_rng_state()
        told = {name: repr(value) for name, value in _numbers(state).items()}
        aside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        whole = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
        save_file(whole, aside, {**told, "made_from": self._made_from})
        aside.replace(self._path)

    def restore(self, network: StudentNetwork, optimizer: torch.optim.Optimizer) -> State:
        """Give network, optimizer and torch's random numbers what was saved; where training began if nothing was."""
        try:
            with safe_open(self._path, framework="pt") as file:
                told = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        except (OSError, SafetensorError):
            return State()
        if told.get("made_from") != self._made_from:
            return State()
        network.load_state_dict(_named(tensors, _WEIGHTS))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _named(tensors, _OPTIMIZER).items():
            parameter, _, of = name.partition(".")
            moments.setdefault(int(parameter), {})[of] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors[_RANDOM])
        return State(
            look=int(told["look"]),
            epoch_loss=float(told["epoch_loss"]),
            best_look=int(told["best_look"]),
            best_loss=float(told["best_loss"]),
            best=_named(tensors, _BEST),
        )


def _numbers(state: State) -> dict[str, float]:
    return {name: getattr(state, name) for name in ("look", "epoch_loss", "best_look", "best_loss")}


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
