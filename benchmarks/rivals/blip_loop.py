"""A plain loop over pictures as a BLIP's model card shows it: the rival of `enrich captions`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipProcessor

Caption = Callable[[Path], str]


def blip_loop(folder: Path, tokens: int, device: str = "cpu") -> Caption:
    """What captions the picture in a file: processor and `generate`, fp32, one picture at a time, so many tokens."""
    processor: Any = BlipProcessor.from_pretrained(folder)
    model: Any = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).to(device)

    def caption(path: Path) -> str:
        raw_image = Image.open(path).convert("RGB")
        inputs = processor(raw_image, return_tensors="pt").to(device)
        out = model.generate(**inputs, min_new_tokens=tokens, max_new_tokens=tokens)
        said: str = processor.decode(out[0], skip_special_tokens=True)
        return said.strip()

    return caption
