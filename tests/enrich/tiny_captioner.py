"""A BLIP of random weights that is made in a moment, and pictures for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data.captioner.network import build_model, build_processor
from data.captioner.settings import TrainingSettings

TINY = TrainingSettings(image_size=16, patch_size=8, hidden_size=24, heads=2, vision_layers=1, text_layers=1)


def save_tiny(folder: Path) -> Path:
    """A checkpoint whose weights are large enough that what it says depends on the picture."""
    processor = build_processor(TINY)
    model = build_model(TINY, processor.tokenizer)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.4)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def random_images(count: int = 7) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(16, 16), (40, 10), (3, 3), (1, 1), (10, 64), (16, 16), (31, 7)]
    drawn = (sizes[i % len(sizes)] for i in range(count))
    return [Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in drawn]


def copy(checkpoint: Path, to: Path) -> Path:
    to.mkdir()
    for file in checkpoint.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to
