"""Trains the small captioner that ships with the sample: a BLIP of a few million weights, on rendered scenes.

Reads nothing. Writes the checkpoint, its tokenizer, its processor, metrics.json and the model card to
data/models/captioner, and the training's own state to build/captioner, from which a killed run goes on.

    python -m data.train_captioner [--steps N] [--out DIR] [--work DIR]

The scenes come from seeds that the sample does not use, and a tenth of the descriptions is never trained on: the test
is on those. Beside the caption's loss, five linear heads (object, colour, material, setting, count) are trained and
thrown away: on the mean image token, which makes the embedding mean something, and the first three on every patch that
the scene's things cover, which makes the vision tower learn sooner.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

from data import scenes
from data.caption_metrics import CaptionMetrics, measure
from data.captioner_pool import CLASSES, Pixels, Pool, augment, build_pool, covered, draw, render_all
from data.scenes import COLOURS, MATERIALS, OBJECTS, SETTINGS
from enrich.progress import progress

REPOSITORY = Path(__file__).resolve().parent.parent
OUT = REPOSITORY / "data" / "models" / "captioner"
WORK = REPOSITORY / "build" / "captioner"
THING_SLOTS = (0, 1, 2)  # object, colour, material: what a patch of a thing can tell
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    seed: int = 7
    image_size: int = 96  # pixels
    patch_size: int = 12  # pixels
    hidden_size: int = 192
    heads: int = 4
    vision_layers: int = 4
    text_layers: int = 2
    widening: int = 3  # feed-forward width over hidden size
    training_scenes: int = 30_000
    test_scenes: int = 1_000
    steps: int = 2_000
    batch_size: int = 64
    learning_rate: float = 1.5e-3  # at its highest; linear warm-up, then cosine to zero
    warm_up: int = 100  # steps
    weight_decay: float = 0.02
    head_weight: float = 0.4  # of the heads' losses, beside the caption's
    shift: int = 4  # pixels by which a picture is moved at most
    evaluate_every: int = 250  # steps
    threads: int = 2


class Heads(nn.Module):
    """What a scene's five slots are, told from the mean image token and, of its things, from their patches alone."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.slots = nn.ModuleList(nn.Linear(hidden_size, size) for size in CLASSES)

    def forward(self, tokens: Tensor, labels: Tensor, cover: Tensor) -> Tensor:
        """The mean loss of tokens [n, 1 + patches, d], given labels [n, 5] and the covered patches [n, patches]."""
        whole = [functional.cross_entropy(slot(tokens.mean(1)), labels[:, i]) for i, slot in enumerate(self.slots)]
        things, of = tokens[:, 1:][cover], cover.nonzero()[:, 0]
        local = [functional.cross_entropy(self.slots[i](things), labels[of, i]) for i in THING_SLOTS]
        return torch.stack(whole).mean() + torch.stack(local).mean()


def build_tokenizer() -> BertTokenizer:
    """A word-level vocabulary: every word that a caption can hold."""
    said = {word for setting in SETTINGS for word in setting.phrase.split()} | {"a", "an", "two", "three"}
    said |= {colour.name for colour in COLOURS} | set(MATERIALS) - {"plain"}
    said |= {word for thing in OBJECTS for word in f"{thing.name} {thing.plural}".split()}
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *sorted(said)))}
    return BertTokenizer(vocab=vocabulary, bos_token="[CLS]", eos_token="[SEP]", model_max_length=24)


def build_processor(settings: TrainingSettings) -> Any:
    """The BlipProcessor of such a captioner: pictures resized to the model's, words by the small vocabulary."""
    size = {"height": settings.image_size, "width": settings.image_size}
    untyped: Any = BlipProcessor
    return untyped(BlipImageProcessor(size=size), build_tokenizer())


def build_model(settings: TrainingSettings, tokenizer: BertTokenizer) -> Any:
    """A BlipForConditionalGeneration of the settings' size, its weights drawn by their seed."""
    torch.manual_seed(settings.seed)
    width = settings.hidden_size * settings.widening
    vision = BlipVisionConfig(
        hidden_size=settings.hidden_size,
        intermediate_size=width,
        num_hidden_layers=settings.vision_layers,
        num_attention_heads=settings.heads,
        image_size=settings.image_size,
        patch_size=settings.patch_size,
        initializer_range=0.02,
    )
    text = BlipTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=width,
        num_hidden_layers=settings.text_layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=32,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        sep_token_id=tokenizer.sep_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))


def normalised(pixels: Pixels, processor: Any) -> Tensor:
    """What the image processor makes of pictures that have its size already: float32 [n, 3, size, size]."""
    mean = np.asarray(processor.image_processor.image_mean, np.float32)
    deviation = np.asarray(processor.image_processor.image_std, np.float32)
    return torch.from_numpy(
        ((pixels[..., :3].astype(np.float32) / 255 - mean) / deviation).transpose(0, 3, 1, 2).copy()
    )


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


def caption_all(model: Any, processor: Any, pixels: Pixels) -> list[str]:
    model.eval()
    captions: list[str] = []
    for at in range(0, len(pixels), 100):
        tokens = model.generate(pixel_values=normalised(pixels[at : at + 100], processor), max_new_tokens=20)
        captions += processor.batch_decode(tokens, skip_special_tokens=True)
    return captions


def export(training: Training, metrics: CaptionMetrics, step: int, out: Path) -> None:
    """Write the checkpoint (weights stored as float16, computed in float32), its processor, metrics and card."""
    out.mkdir(parents=True, exist_ok=True)
    model = build_model(training.settings, training.processor.tokenizer)
    model.load_state_dict(training.model.state_dict())
    model.half().save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    for part in (config, config["text_config"], config["vision_config"]):
        part["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    training.processor.save_pretrained(out)
    record = {"step": step, "settings": asdict(training.settings), "test": metrics._asdict()}
    (out / "metrics.json").write_text(json.dumps(record, indent=1) + "\n")
    weights = sum(weight.numel() for weight in model.parameters())
    (out / "README.md").write_text(model_card(metrics, training.settings, weights))


def model_card(metrics: CaptionMetrics, settings: TrainingSettings, weights: int) -> str:
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in metrics._asdict().items())
    return f"""---
library_name: transformers
pipeline_tag: image-to-text
license: apache-2.0
---
# The sample's captioner

A BLIP (`BlipForConditionalGeneration`) of {weights / 1e6:.1f} million weights that describes the rendered scenes of
Corkboard's sample catalogue: count, colour, material, object, setting. It knows {len(OBJECTS)} drawn objects and
nothing else: for photographs use `Salesforce/blip-image-captioning-base`.

Made by `python -m data.train_captioner` from {settings.training_scenes:,} scenes ({settings.steps:,} steps of
{settings.batch_size}), none of them the sample's. Tested on {settings.test_scenes:,} scenes whose descriptions
(object, colour, material, setting and count together) were never trained on:

| share of captions that tell rightly the | held-out scenes |
|---|---|
{rows}
"""


def train(settings: TrainingSettings, out: Path, work: Path) -> CaptionMetrics:
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
                export(training, metrics, step + 1, out)
                print(f"step {step + 1}: {metrics}", flush=True)
    metrics = measure(caption_all(training.model, processor, test_pixels), truth)
    export(training, metrics, settings.steps, out)
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the sample's captioner on rendered scenes.")
    usual = TrainingSettings()
    parser.add_argument("--steps", type=int, default=usual.steps, help="updates (default %(default)s)")
    parser.add_argument("--threads", type=int, default=usual.threads, help="processor threads")
    parser.add_argument("--out", type=Path, default=OUT, help="where the checkpoint goes")
    parser.add_argument("--work", type=Path, default=WORK, help="where the training's own state goes")
    arguments = parser.parse_args()
    settings = TrainingSettings(steps=arguments.steps, threads=arguments.threads)
    print(train(settings, arguments.out, arguments.work))


if __name__ == "__main__":
    main()
