"""One phase of a teacher's training, run by transformers' Trainer: batches of like length, progress, exact resume.

Writes checkpoints, one folder a phase, which the phases of `teacher_training.py` start again from after a kill. What is
fed in which order follows from the seed and the epoch alone.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from enrich import parts
from enrich.progress import progress
from relevance.teacher_checkpoint import TeacherSettings
from relevance.teacher_network import TeacherNetwork, collate, fast_dtype
from relevance.text import Rendered

_MADE_FROM = "made_from.json"
_BATCHES_SORTED_TOGETHER = 20  # more wastes less on padding and shuffles less
_MAX_GRADIENT_NORM = 1.0


class Examples(Dataset[dict[str, Any]]):
    """Rendered pairs with their target probabilities [5]."""

    def __init__(self, rendered: Sequence[Rendered], targets: npt.NDArray[np.float32]) -> None:
        self._rendered = rendered
        self._targets = targets

    def __len__(self) -> int:
        return len(self._rendered)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"rendered": self._rendered[place], "target": self._targets[place]}

    @property
    def lengths(self) -> list[int]:
        return [len(row.ids) for row in self._rendered]


class _LengthGrouped(Sampler[int]):
    """Random places in which every batch holds rows of like length; the order follows from (seed, epoch) alone."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self._seed, self._epoch))
        order = random.permutation(len(self._lengths))
        together = self._batch_size * _BATCHES_SORTED_TOGETHER
        batches: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(order), together):
            block = order[start : start + together]
            block = block[np.argsort(self._lengths[block], kind="stable")]
            batches += [block[i : i + self._batch_size] for i in range(0, len(block), self._batch_size)]
        whole = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]  # last, or it would shift the others
        random.shuffle(whole)
        return (int(place) for batch in [*whole, *rest] for place in batch)


class _Progress(TrainerCallback):
    """The project's bar in place of Trainer's own, which prints on standard output."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: tqdm[None] | None = None
        self._manager: Any = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._manager = progress(state.max_steps, f"train-teacher, {self._name}", unit="step")
        self._bar = self._manager.__enter__()
        self._bar.update(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        metrics: Mapping[str, float] = more.get("metrics") or {}
        if self._bar is not None:
            self._bar.set_postfix_str(f"dev loss {metrics.get('eval_loss', math.nan):.3f}")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._manager is not None:
            self._manager.__exit__(None, None, None)


class _Trainer(Trainer):
    """Trainer with batches of like length in an order that a resumed run repeats."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        examples: Any = train_dataset or self.train_dataset
        return _LengthGrouped(examples.lengths, self.args.train_batch_size, self.args.seed)


class Phase(NamedTuple):
    """What is taught, for how long."""

    name: str  # of its bar and its folder of checkpoints
    train: Examples
    dev: Examples | None  # chooses the epoch that is kept; None: the last one is
    epochs: int


class Ran(NamedTuple):
    """How a phase ended; without a dev split the loss is NaN and there are no logits."""

    epochs: float
    dev_loss: float
    dev_logits: npt.NDArray[np.float32]  # [n, 5], of the epoch that was kept


def run_phase(
    network: TeacherNetwork,
    phase: Phase,
    settings: TeacherSettings,
    padding_id: int,
    checkpoints: Path,
    made_from: str,
    callbacks: Sequence[TrainerCallback] = (),
) -> Ran:
    """Train `network` in place. A run of the same phase with the same `made_from` goes on from its last epoch."""
    set_seed(settings.seed)
    folder = checkpoints / phase.name
    trainer = _trainer(network, phase, settings, padding_id, folder)
    for callback in callbacks:
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=_resume_point(folder, made_from))
    logits = trainer.predict(phase.dev).predictions if phase.dev is not None else np.zeros((0, 5))
    epochs, loss = float(trainer.state.epoch or 0), float(trainer.state.best_metric or math.nan)
    return Ran(epochs, loss, np.asarray(logits, dtype=np.float32))


def _trainer(
    network: TeacherNetwork, phase: Phase, settings: TeacherSettings, padding_id: int, folder: Path
) -> _Trainer:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=phase.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=2 * settings.batch_size,
        warmup_steps=settings.warmup,
        lr_scheduler_type="linear",
        max_grad_norm=_MAX_GRADIENT_NORM,
        eval_strategy="epoch" if phase.dev else "no",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=phase.dev is not None,
        restore_callback_states_from_checkpoint=phase.dev is not None,  # how long early stopping has waited
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        bf16=fast_dtype(device) is torch.bfloat16,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        logging_strategy="no",
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        label_names=["labels"],
        seed=settings.seed,
        data_seed=settings.seed,
    )
    trainer = _Trainer(
        model=network,
        args=arguments,
        data_collator=lambda examples: _collate(examples, padding_id),
        train_dataset=phase.train,
        eval_dataset=phase.dev,
        optimizers=(_optimizer(network, settings), None),  # None: Trainer makes the schedule itself
        callbacks=[*([EarlyStoppingCallback(settings.patience)] if phase.dev else []), _Progress(phase.name)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _optimizer(network: TeacherNetwork, settings: TeacherSettings) -> torch.optim.AdamW:
    """AdamW; the head at its own rate, no decay on biases and normalisation weights."""
    groups = []
    parts_and_rates = ((network.backbone, settings.learning_rate), (network.head, settings.head_learning_rate))
    for part, rate in parts_and_rates:
        weights = [weight for weight in part.parameters() if weight.requires_grad]
        matrices = [weight for weight in weights if weight.ndim > 1]
        vectors = [weight for weight in weights if weight.ndim <= 1]
        groups.append({"params": matrices, "lr": rate, "weight_decay": settings.weight_decay})
        groups.append({"params": vectors, "lr": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, fused=True)


def _collate(examples: Sequence[dict[str, Any]], padding_id: int) -> dict[str, torch.Tensor]:
    batch = collate([example["rendered"] for example in examples], padding_id)
    targets = torch.from_numpy(np.stack([example["target"] for example in examples]))
    return {**batch._asdict(), "labels": targets}


def _resume_point(checkpoints: Path, made_from: str) -> str | None:
    """The last checkpoint that was written whole by a run on the same rows and settings; others are removed."""
    manifest = checkpoints / _MADE_FROM
    expected = json.dumps(made_from)
    if not manifest.is_file() or manifest.read_text() != expected:
        shutil.rmtree(checkpoints, ignore_errors=True)
        checkpoints.mkdir(parents=True)
        parts.write_text(manifest, expected)
        return None
    whole = [folder for folder in checkpoints.glob("checkpoint-*") if _whole(folder)]
    for folder in set(checkpoints.glob("checkpoint-*")) - set(whole):
        shutil.rmtree(folder)
    newest = max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)
    return str(newest) if newest else None


def _whole(checkpoint: Path) -> bool:
    """Trainer writes its state last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    return True
