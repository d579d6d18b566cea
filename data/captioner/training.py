"""Trains the small captioner on rendered scenes, and goes on where a killed training was.

The scenes come from seeds that the sample does not use, and a tenth of the descriptions is never trained on: the test
is on those. Beside the caption's loss, five linear heads (`network.Heads`) are trained and thrown away: on the mean
image token, which makes the embedding mean something, and the first three on every patch that the scene's things cover,
which makes the vision tower learn sooner. `python -m data.train_captioner` runs it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from data.captioner.checkpoint import export
from data.captioner.metrics import CaptionMetrics, measure
from data.captioner.network import Heads, build_model, build_processor, caption_all, normalised
from data.captioner.pool import Pool, augment, build_pool, covered, draw, render_all
from data.captioner.settings import TrainingSettings
from data.pictures import scenes
from enrich.progress import progress


def order(settings: TrainingSettings, start: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The rows of each step from `start` on: a shuffle an epoch, the same whether or not a run was interrupted."""
    per_epoch = settings.training_scenes // settings.batch_size
    for step in range(start, settings.steps):
        shuffled = np.random.default_rng([settings.seed, step // per_epoch]).permutation(settings.training_scenes)
        at = step % per_epoch * settings.batch_size
        yield step, shuffled[at : at + settings.batch_size]


def rate(settings: TrainingSettings, step: int) -> float:
    """The learning rate at a step, as a share of the highest."""
    if step < settings.warm_up:
        return (step + 1) / settings.warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - settings.warm_up) / (settings.steps - settings.warm_up)))


class Training:
    """The model, its heads and its optimizers; one step, and the state that a killed run goes on from."""

    def __init__(self, settings: TrainingSettings, processor: Any) -> None:
        self.settings = settings
        self.processor = processor
        self.model = build_model(settings, processor.tokenizer)
        self.heads = Heads(settings.hidden_size)
        layers = [*self.model.vision_model.encoder.parameters(), *self.model.text_decoder.bert.encoder.parameters()]
        matrices = [weight for weight in layers if weight.ndim == 2]
        chosen = {id(weight) for weight in matrices}
        others = [w for w in (*self.model.parameters(), *self.heads.parameters()) if id(w) not in chosen]
        self.optimizers: tuple[torch.optim.Optimizer, ...] = (
            # Orthogonalised momentum for the layers' matrices learns in fewer steps; scaled to AdamW's step length.
            torch.optim.Muon(
                matrices,
                lr=settings.learning_rate,
                weight_decay=settings.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(others, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)),
        )

    @property
    def _parts(self) -> tuple[Any, ...]:
        return (self.model, self.heads, *self.optimizers)

    def step(self, step: int, pool: Pool, rows: NDArray[np.int64]) -> float:
        """One update; returns the caption's loss, nats a token."""
        rng = np.random.default_rng([self.settings.seed, step])
        augmented = augment(pool.pixels[rows], self.settings.shift, rng)
        pixels = normalised(augmented, self.processor)
        cover = torch.from_numpy(covered(augmented, self.settings.patch_size))
        ids = pool.captions[torch.from_numpy(rows)]
        padding = ids == self.processor.tokenizer.pad_token_id
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):
            output = self.model(
                pixel_values=pixels,
                input_ids=ids,
                attention_mask=(~padding).long(),
                labels=ids.masked_fill(padding, -100),
            )
            slots = self.heads(output.last_hidden_state, pool.labels[torch.from_numpy(rows)], cover)
        (output.loss + self.settings.head_weight * slots).backward()
        nn.utils.clip_grad_norm_([*self.model.parameters(), *self.heads.parameters()], 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * rate(self.settings, step)
            optimizer.step()
            optimizer.zero_grad()
        return float(output.loss.detach())

    def save(self, path: Path, step: int) -> None:
        aside = path.with_suffix(".aside")
        torch.save({"step": step, "parts": [part.state_dict() for part in self._parts]}, aside)
        aside.replace(path)

    def resume(self, path: Path) -> int:
        """Load what `save` wrote; returns the step to go on with, 0 where nothing was written."""
        if not path.is_file():
            return 0
        state = torch.load(path, weights_only=True)
        for part, loaded in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(loaded)
        return int(state["step"])


def train(settings: TrainingSettings, out: Path, work: Path) -> CaptionMetrics:
    """Train, or go on with what `work` holds; leave the checkpoint in `out`. Returns its metrics on held-out scenes."""
    torch.set_num_threads(settings.threads)
    work.mkdir(parents=True, exist_ok=True)
    processor = build_processor(settings)
    pool = build_pool(
        settings.training_scenes, settings.seed, settings.image_size, processor.tokenizer, settings.threads
    )
    test = draw(settings.test_scenes, scenes.TEST_SEEDS, held_out=True, seed=settings.seed)
    test_pixels = render_all(test, settings.image_size, settings.threads, "test scenes")
    truth = [scene for scene, _ in test]
    training = Training(settings, processor)
    start = training.resume(work / "state.pt")
    with progress(settings.steps, "training", unit="step") as bar:
        bar.update(start)
        for step, rows in order(settings, start):
            loss = training.step(step, pool, rows)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(1)
            if (step + 1) % settings.evaluate_every == 0 and step + 1 < settings.steps:
                training.save(work / "state.pt", step + 1)
                metrics = measure(caption_all(training.model, processor, test_pixels), truth)
                export(settings, training.model, processor, metrics, step + 1, out)
                print(f"step {step + 1}: {metrics}", flush=True)
    metrics = measure(caption_all(training.model, processor, test_pixels), truth)
    export(settings, training.model, processor, metrics, settings.steps, out)
    return metrics
