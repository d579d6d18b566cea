"""A BLIP checkpoint of transformers: its pictures, its vision tower (vision.py), its words (text.py).

A model whose layers are those of the published ones goes through the forward passes here; another activation, or a
generation config that asks for more than greedy search, through transformers' own. Beams are always transformers' own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from enrich import checkpoints
from enrich.captioning import text, vision
from enrich.captioning.describing import Description, Saying, unit
from enrich.captioning.pixels import Pixels
from enrich.errors import BadInput

MAX_TOKENS = 20  # of a caption; transformers' own default for a BLIP
_COMPILE_AFTER = 8  # batches on a GPU: a shorter job is done before the compiler
_Say = Callable[[Tensor], Tensor]  # tokens [n, m] of states [n, tokens, d]


class Blip:
    """Describes pictures: greedily (or with beams) the words of transformers' `generate`, and the mean of the vision
    tower's last states as the embedding, from one pass.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, saying: Saying) -> None:
        """Raises BadInput where the checkpoint does not load whole, or has no place for such a prompt."""
        processor, model = _load(folder)
        self._device, self._batches, self._largest, self._compiling = device, 0, 0, Lock()
        self._tokenizer = processor.tokenizer
        self._pixels = Pixels(processor.image_processor, exact=dtype is torch.float32)
        self._most = saying.max_tokens or MAX_TOKENS
        self._prompt = _prompt(self._tokenizer, saying.prompt, model.config.text_config.bos_token_id)
        places = model.config.text_config.max_position_embeddings
        if len(self._prompt) + self._most > places:
            raise BadInput(
                f"expected a prompt and caption of at most {places} tokens, found {len(self._prompt)} and "
                f"{self._most}; shorten --prompt"
            )
        config = model.config.vision_config
        self.dimension: int | None = int(config.hidden_size)
        self.input_size = self._pixels.size
        self.picture_bytes = 30_000 * (config.image_size // config.patch_size) ** 2  # twice what ViT-base was seen to
        self.side_by_side = True
        self.vision: Any = _vision(model.vision_model, device, dtype)
        del model.vision_model  # else its weights would be held twice beside the decoder's
        self.text, self._say = self._decoder(model.text_decoder, dtype, saying)

    def prepare(self, image: Image.Image) -> Tensor:
        """The bytes of a picture made small."""
        return self._pixels.prepare(image)

    def describe(self, prepared: Sequence[Tensor]) -> Description:
        """A caption and an embedding of each picture of one batch."""
        count = len(prepared)
        with torch.inference_mode():
            states = self.vision(self._pixels.values(self._filled(prepared), self._device))
            vectors = unit(states[:count].float().mean(dim=1))
            captions = self._tokenizer.batch_decode(self._say(states)[:count], skip_special_tokens=True)
        return Description([caption.strip() for caption in captions], vectors)

    def _decoder(self, decoder: Any, dtype: torch.dtype, saying: Saying) -> tuple[Any, _Say]:
        """The decoder, and what says a caption with it."""
        if saying.beams == 1 and text.fits(decoder):
            ours = text.TextDecoder(decoder.to(self._device), dtype)
            return ours, lambda states: ours(states, self._prompt, self._most)
        theirs: Any = decoder.to(self._device, dtype)

        def say(states: Tensor) -> Tensor:
            prompts = torch.tensor([self._prompt] * len(states), device=self._device)
            tokens: Tensor = theirs.generate(
                input_ids=prompts,
                encoder_hidden_states=states.to(dtype),
                encoder_attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=self._device),
                eos_token_id=theirs.config.sep_token_id,
                pad_token_id=theirs.config.pad_token_id,
                do_sample=False,
                num_beams=saying.beams,
                max_new_tokens=self._most,
            )
            return tokens

        return theirs, say

    def _filled(self, prepared: Sequence[Tensor]) -> Sequence[Tensor]:
        """The batch; on a GPU, once the job proves long, after having torch compile both networks for the largest one.

        Smaller ones are then filled up, for each other size would be compiled anew.
        """
        if self._device.type != "cuda":
            return prepared
        with self._compiling:
            self._batches, self._largest = self._batches + 1, max(self._largest, len(prepared))
            if self._batches == _COMPILE_AFTER:
                self.compile()
        missing = self._largest - len(prepared) if self._batches >= _COMPILE_AFTER else 0
        return [*prepared, *[prepared[-1]] * missing]

    def compile(self, **chosen: Any) -> None:
        """Have torch fuse what both networks do between their products; `chosen` are options of torch.compile."""
        self.vision.compile(dynamic=False, **chosen)
        if isinstance(self.text, text.TextDecoder):
            self.text.step = torch.compile(self.text.step, dynamic=False, **chosen)


def _vision(tower: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """What gives the last states of pixels."""
    if vision.fits(tower):
        return vision.VisionTower(tower.to(device), dtype)
    return _Plain(tower.to(device, dtype), dtype)


class _Plain(torch.nn.Module):
    """transformers' own vision model, called as `VisionTower` is."""

    def __init__(self, tower: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self._tower, self._dtype = tower, dtype

    def forward(self, pixels: Tensor) -> Tensor:
        states: Tensor = self._tower(pixel_values=pixels.to(self._dtype)).last_hidden_state
        return states


def _prompt(tokenizer: Any, prompt: str | None, start: int) -> list[int]:
    """What a caption begins with, as transformers' `generate` of a BLIP makes it: the start, the prompt, no end."""
    if prompt is None:
        return [start]
    ids: list[int] = tokenizer(prompt).input_ids
    return [start, *ids[1:-1]]


def _load(folder: Path) -> tuple[Any, Any]:
    """The processor and the model, in float32; one that lacks weights is refused, not filled with random ones."""
    from transformers import BlipForConditionalGeneration, BlipProcessor

    blip: Any = BlipForConditionalGeneration
    with checkpoints.loading(folder, "a BLIP captioner with safetensors weights"):
        processor: Any = BlipProcessor.from_pretrained(folder, trust_remote_code=False)
        model, info = blip.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, trust_remote_code=False
        )
        checkpoints.refuse_missing(info)
        checkpoints.refuse_wordless(processor.tokenizer)
        return processor, model.eval()
