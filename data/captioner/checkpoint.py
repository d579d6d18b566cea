"""The small captioner as a folder: weights, tokenizer, processor, metrics.json and the model card."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.captioner.metrics import CaptionMetrics
from data.captioner.network import build_model
from data.captioner.settings import TrainingSettings
from data.pictures.scenes import OBJECTS


def export(
    settings: TrainingSettings, trained: Any, processor: Any, metrics: CaptionMetrics, step: int, out: Path
) -> None:
    """Write the checkpoint (weights stored as float16, computed in float32), its processor, metrics and card."""
    out.mkdir(parents=True, exist_ok=True)
    model = build_model(settings, processor.tokenizer)
    model.load_state_dict(trained.state_dict())
    model.half().save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    for part in (config, config["text_config"], config["vision_config"]):
        part["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    processor.save_pretrained(out)
    record = {"step": step, "settings": asdict(settings), "test": metrics._asdict()}
    (out / "metrics.json").write_text(json.dumps(record, indent=1) + "\n")
    weights = sum(weight.numel() for weight in model.parameters())
    (out / "README.md").write_text(model_card(metrics, settings, weights))


def model_card(metrics: CaptionMetrics, settings: TrainingSettings, weights: int) -> str:
    """README.md of the folder, as the Hugging Face hub reads it."""
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
