"""How a teacher's training is watched: a bar while it runs, and curves that stay.

The curves (loss, dev loss, learning rate, every few steps) are TensorBoard's, in the model's folder under runs/PHASE,
where they stay when the model is done: `tensorboard --logdir W/models`. Without tensorboard installed there are none.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from enrich.progress import progress

CURVES = "runs"
STEPS_A_POINT = 10
DEV_LOSS = "eval_calibrated_loss"  # as Trainer names what is measured on dev


class Progress(TrainerCallback):
    """The project's bar in place of Trainer's own, which prints on standard output."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: tqdm[None] | None = None
        self._manager: Any = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self._manager = progress(state.max_steps, f"train-teacher, {self._name}", unit="step")
            self._bar = self._manager.__enter__()
            self._bar.update(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        metrics: Mapping[str, float] = more.get("metrics") or {}
        if self._bar is not None:
            self._bar.set_postfix_str(f"dev loss {metrics.get(DEV_LOSS, math.nan):.3f}")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._manager is not None:
            self._manager.__exit__(None, None, None)


def has_curves() -> bool:
    """Whether tensorboard is installed."""
    return importlib.util.find_spec("tensorboard") is not None


def curves(folder: Path, resumed_at: int) -> list[TrainerCallback]:
    """What writes a phase's curves into `folder`; points of steps after `resumed_at`, which are taken again, go."""
    if not has_curves():
        return []
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    return [TensorBoardCallback(SummaryWriter(str(folder), purge_step=resumed_at + 1))]  # type: ignore[no-untyped-call]
