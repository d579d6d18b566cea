"""One phase of a teacher's training, run by transformers' Trainer: batches of like length, progress, exact resume.

Writes checkpoints, one folder a phase, which the phases of `training.py` start again from after a kill. What is
fed in which order follows from the seed and the epoch alone.
"""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from enrich import parts
from enrich.matrices import fast_dtype
from relevance.teaching import processes
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.examples import Examples, LengthGrouped, collate_examples
from relevance.teaching.layers import optimizer_of
from relevance.teaching.network import TeacherNetwork
from relevance.teaching.watch import CURVES, DEV_LOSS, STEPS_A_POINT, Progress, curves, has_curves

_MADE_FROM = "made_from.json"
_CHECKPOINTS = "checkpoints"
_WEIGHTS = "model.safetensors"
_MAX_GRADIENT_NORM = 1.0

Logits = npt.NDArray[np.float32]  # [n, 5]


class _Trainer(Trainer):
    """Trainer with batches of like length in an order that a resumed run repeats."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        examples: Any = train_dataset or self.train_dataset
        return LengthGrouped(examples, self.args.train_batch_size * self.args.world_size, self.args.seed)

    def _run_epoch(self, *given: Any, **how: Any) -> None:
        """None after a kill where early stopping had waited long enough: Trainer forgets that it was to stop."""
        stops = [one for one in self.callback_handler.callbacks if isinstance(one, EarlyStoppingCallback)]
        if any(one.early_stopping_patience_counter >= one.early_stopping_patience for one in stops):
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*given, **how)  # type: ignore[no-untyped-call]

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Nothing is amiss where a checkpoint lacks the frozen backbone beside an adapter (`TeacherNetwork`)."""


class Dev(NamedTuple):
    """What a phase is weighed by after each epoch."""

    examples: Examples
    loss: Callable[[Logits], float]  # of its logits
    chooses: bool  # the epoch of the least loss is kept; else the last one is


class Phase(NamedTuple):
    """What is taught, for how long."""

    name: str  # of its bar and its folder of checkpoints
    train: Examples
    epochs: int
    dev: Dev | None = None  # None: the last epoch is kept


class Ran(NamedTuple):
    """How a phase ended; without a dev split the loss is NaN and there are no logits."""

    epochs: float
    dev_loss: float
    dev_logits: Logits  # of the epoch that was kept


def run_phase(
    network: TeacherNetwork,
    phase: Phase,
    settings: TeacherSettings,
    padding_id: int,
    out: Path,
    made_from: str,
    callbacks: Sequence[TrainerCallback] = (),
) -> Ran:
    """Train `network` in place. A run of the same phase with the same `made_from` goes on from its last epoch.

    Its checkpoints and its curves are kept in folders of `out`. Of several processes each calls this.
    """
    set_seed(settings.seed)
    folder, drawn = out / _CHECKPOINTS / phase.name, out / CURVES / phase.name
    resumed = processes.agreed(None if processes.follows() else _resume_point(folder, drawn, made_from))
    trainer = _trainer(network, phase, settings, padding_id, folder)
    for callback in [*callbacks, *([] if processes.follows() else curves(drawn, _steps_of(resumed)))]:
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=resumed)
    epochs = float(trainer.state.epoch or 0)
    if phase.dev is None:
        return Ran(epochs, math.nan, np.zeros((0, 5), dtype=np.float32))
    logits = np.asarray(trainer.predict(phase.dev.examples).predictions, dtype=np.float32)
    return Ran(epochs, phase.dev.loss(logits), logits)


def _trainer(
    network: TeacherNetwork, phase: Phase, settings: TeacherSettings, padding_id: int, folder: Path
) -> _Trainer:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dev, chooses = phase.dev, phase.dev is not None and phase.dev.chooses
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=phase.epochs,
        per_device_train_batch_size=settings.batch_size // processes.count(),
        per_device_eval_batch_size=2 * settings.batch_size,
        warmup_steps=settings.warmup,
        lr_scheduler_type="linear",
        max_grad_norm=_MAX_GRADIENT_NORM,
        eval_strategy="epoch" if dev else "no",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=chooses,
        restore_callback_states_from_checkpoint=chooses,  # how long early stopping has waited
        metric_for_best_model=DEV_LOSS if chooses else None,
        greater_is_better=False if chooses else None,
        bf16=fast_dtype(device) is torch.bfloat16,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        logging_strategy="steps" if has_curves() else "no",
        logging_steps=STEPS_A_POINT,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        label_names=["labels"],
        seed=settings.seed,
        data_seed=settings.seed,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # Trainer would take all it sees, and as many pairs a step for each; torchrun spreads them
    trainer = _Trainer(
        model=network,
        args=arguments,
        data_collator=lambda examples: collate_examples(examples, padding_id),
        train_dataset=phase.train,
        eval_dataset=dev.examples if dev else None,
        compute_metrics=(lambda said: {DEV_LOSS: dev.loss(np.asarray(said.predictions, np.float32))}) if dev else None,
        optimizers=(optimizer_of(network, settings), None),  # None: Trainer makes the schedule itself
        callbacks=[*([EarlyStoppingCallback(settings.patience)] if chooses else []), Progress(phase.name)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def forget_checkpoints(out: Path) -> None:
    """Once the model is saved they are of no use."""
    shutil.rmtree(out / _CHECKPOINTS)


def _resume_point(checkpoints: Path, drawn: Path, made_from: str) -> str | None:
    """The last checkpoint that was written whole by a run on the same rows and settings; others are removed."""
    manifest = checkpoints / _MADE_FROM
    expected = json.dumps(made_from)
    if not manifest.is_file() or manifest.read_text() != expected:
        shutil.rmtree(checkpoints, ignore_errors=True)
        shutil.rmtree(drawn, ignore_errors=True)
        checkpoints.mkdir(parents=True)
        parts.write_text(manifest, expected)
        return None
    whole = [folder for folder in checkpoints.glob("checkpoint-*") if _whole(folder)]
    for folder in set(checkpoints.glob("checkpoint-*")) - set(whole):
        shutil.rmtree(folder)
    newest = max(whole, key=lambda folder: _steps_of(folder.name), default=None)
    return str(newest) if newest else None


def _steps_of(checkpoint: str | None) -> int:
    return int(checkpoint.rpartition("-")[2]) if checkpoint else 0


def _whole(checkpoint: Path) -> bool:
    """Trainer's first process writes its state last, and each of several its own random numbers; a kill while a
    checkpoint was deleted left any of its files, or one whose best epoch is gone.
    """
    ranks = processes.count()
    draws = ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]
    try:
        best = json.loads((checkpoint / "trainer_state.json").read_text()).get("best_model_checkpoint")
    except (OSError, ValueError):
        return False
    weighed = [checkpoint] if best is None else [checkpoint, Path(best)]
    return all((folder / _WEIGHTS).is_file() for folder in weighed) and all(
        zipfile.is_zipfile(checkpoint / file) for file in ("optimizer.pt", "scheduler.pt", *draws)
    )
