"""A BLIP of the published base size with random weights, photographs for it, and what both cost: for benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

TOKENS = 20  # of every caption: the end is never said
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_NEVER = -1e4  # the score of a special token


class Size(NamedTuple):
    """Of both towers: layers, dimensions, heads; the picture's side and patches; words."""

    layers: int
    dimensions: int
    heads: int
    side: int
    patch: int
    words: int

    @property
    def tokens(self) -> int:
        """Of a picture, CLS included."""
        return (self.side // self.patch) ** 2 + 1

    @property
    def vision_operations(self) -> float:
        """Of one picture through the vision tower; a product and a sum are two."""
        linear = 12 * self.dimensions**2 + 2 * self.tokens * self.dimensions  # four projections, the MLP; attention
        patches = (self.tokens - 1) * 3 * self.patch**2 * self.dimensions
        return 2.0 * (self.layers * self.tokens * linear + patches)

    @property
    def text_operations(self) -> float:
        """Of one caption as transformers computes it: the picture's keys and values once, then word by word."""
        picture = 2 * self.tokens * self.dimensions**2 + 2 * TOKENS * self.tokens * self.dimensions
        word = 14 * self.dimensions**2
        head = self.dimensions**2 + self.dimensions * self.words
        return 2.0 * (self.layers * (picture + TOKENS * word) + TOKENS * head)


BASE = Size(layers=12, dimensions=768, heads=12, side=384, patch=16, words=30_524)  # blip-image-captioning-base's
SMALL = Size(layers=2, dimensions=64, heads=4, side=64, patch=16, words=500)


def write_blip(folder: Path, size: Size, seed: int = 0) -> None:
    """A checkpoint that says other words of other pictures, TOKENS of them, whatever they are worth."""
    torch.manual_seed(seed)
    words = [*_SPECIAL, *(f"w{number}" for number in range(size.words - len(_SPECIAL)))]
    tokenizer = BertTokenizer(vocab={word: place for place, word in enumerate(words)}, bos_token="[CLS]")
    shape = {
        "hidden_size": size.dimensions,
        "intermediate_size": 4 * size.dimensions,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
    }
    text = BlipTextConfig(
        vocab_size=size.words, encoder_hidden_size=size.dimensions, bos_token_id=2, eos_token_id=3, sep_token_id=3,
        pad_token_id=0, **shape,
    )  # fmt: skip
    vision = BlipVisionConfig(image_size=size.side, patch_size=size.patch, **shape)
    model: Any = BlipForConditionalGeneration(BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict()))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1.0 if "position" in name else 2.0 / size.dimensions**0.5)
            if "text_decoder" in name and name.endswith("output.dense.weight"):  # else it says one word over and over
                weight.mul_(0.1 if "crossattention" in name else 0.2)
        model.text_decoder.cls.predictions.bias[: len(_SPECIAL)] = _NEVER
    model.save_pretrained(folder)
    processor: Any = BlipProcessor
    edge = {"height": size.side, "width": size.side}
    processor(BlipImageProcessor(size=edge), tokenizer).save_pretrained(folder)


def write_photographs(folder: Path, count: int, megapixels: tuple[float, float], seed: int = 0) -> list[Path]:
    """JPEGs of so many megapixels, spread evenly by their logarithm: shapes, shades and grain, as cameras leave."""
    random = np.random.default_rng(seed)
    low, high = np.log(megapixels)
    paths = []
    for number in range(count):
        area = 1e6 * np.exp(low + (high - low) * number / max(1, count - 1))
        width, height = int((area * 4 / 3) ** 0.5), int((area * 3 / 4) ** 0.5)
        picture = _shades(random, width, height)
        paths.append(folder / f"{number:03}.jpg")
        picture.save(paths[-1], quality=87)
    return paths


def _shades(random: np.random.Generator, width: int, height: int) -> Image.Image:
    made = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 90), (12, 50), (60, 25), (300, 12)):
        coarse = random.normal(0, strength, (cells * 3 // 4 + 1, cells, 3)).astype(np.float32)
        layers = [Image.fromarray(coarse[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
        made += np.stack([np.asarray(layer) for layer in layers], axis=-1)
    made += random.normal(0, 3, (height, width, 1)).astype(np.float32)  # grain
    return Image.fromarray(np.clip(made + 128, 0, 255).astype(np.uint8))


def token_f1(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """The mean over captions of the harmonic mean of precision and recall of their words."""
    scores = []
    for one, other in zip(ours, theirs, strict=True):
        said, wanted = one.split(), other.split()
        shared = sum(min(said.count(word), wanted.count(word)) for word in set(said))
        scores.append(2 * shared / (len(said) + len(wanted)) if said or wanted else 1.0)
    return float(np.mean(scores))
