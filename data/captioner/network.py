"""What the small captioner is made of: its words, its processor, a BLIP of the settings' size, and training's heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
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

from data.captioner.pool import CLASSES, Pixels
from data.captioner.settings import TrainingSettings
from data.pictures.scenes import COLOURS, MATERIALS, OBJECTS, SETTINGS

THING_SLOTS = (0, 1, 2)  # object, colour, material: what a patch of a thing can tell
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


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


def caption_all(model: Any, processor: Any, pixels: Pixels) -> list[str]:
    """One caption a picture, greedily, by the processor's words."""
    model.eval()
    captions: list[str] = []
    for at in range(0, len(pixels), 100):
        tokens = model.generate(pixel_values=normalised(pixels[at : at + 100], processor), max_new_tokens=20)
        captions += processor.batch_decode(tokens, skip_special_tokens=True)
    return captions
