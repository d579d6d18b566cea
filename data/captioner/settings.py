"""How large the small captioner is, what it learns from, and how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """The model, its data and its training; what a field says of itself is its unit."""

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
