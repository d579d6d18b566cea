"""Pictures to words and unit vectors: a BLIP captioner, any checkpoint of that kind.

Reads a model folder or a hub id (`checkpoints.py`); writes nothing. `captions.py` runs it over a catalogue, and torch
and transformers are imported when a captioner is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enrich import checkpoints
from enrich.errors import BadInput

if TYPE_CHECKING:
    import torch

BATCH_SIZE = 32  # pictures a forward pass
MAX_TOKENS = 20  # of a caption; transformers' own default for a BLIP
_PRECISIONS = ("float32", "bfloat16", "float16")


class Description(NamedTuple):
    captions: list[str]
    embeddings: NDArray[np.float32]  # [n, d], rows of unit length


class Captioner:
    """A BLIP that describes pictures: greedy decoding, the same words as transformers' own `generate`.

    The embedding is the mean of the vision tower's last token states, of unit length.
    """

    def __init__(
        self, model: str, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None
    ) -> None:
        """`model`: a folder or hub id. `device`: torch's name; None for a GPU where there is one. `dtype`: float32
        (None), bfloat16 or float16.

        Raises BadInput when there is no such checkpoint, or it does not load whole.
        """
        import torch

        checkpoint = checkpoints.locate(model, "a captioner")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = _precision(dtype)
        self._processor, self._model = _load(checkpoint.folder, self.dtype, self.device)
        precision = "" if self.dtype == torch.float32 else f" {str(self.dtype).removeprefix('torch.')}"
        self.producer = f"{checkpoint.name}@{checkpoints.fingerprint(_deciding_files(checkpoint.folder))}{precision}"

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self._model.config.vision_config.hidden_size)

    def caption(self, images: Iterable[Image.Image]) -> list[str]:
        """One caption a picture, in the order given."""
        return self.caption_and_embed(images).captions

    def caption_and_embed(self, images: Iterable[Image.Image]) -> Description:
        """A caption and an embedding a picture, in the order given, from one pass through the vision tower.

        `images` may be a generator: of each picture only the model's small input is kept.
        """
        return self.describe(self.prepare(image) for image in images)

    def describe(self, prepared: Iterable[torch.Tensor]) -> Description:
        """As `caption_and_embed`, of pictures that `prepare` has made small."""
        described = [self._describe(pixels) for pixels in _batches(iter(prepared), BATCH_SIZE)]
        empty = np.zeros((0, self.dimension), np.float32)
        return Description(
            [caption for batch in described for caption in batch.captions],
            np.concatenate([empty, *(batch.embeddings for batch in described)]),
        )

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """The model's input of one picture, float32 [3, height, width]."""
        pixels: torch.Tensor = self._processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return pixels

    def _describe(self, pixels: list[torch.Tensor]) -> Description:
        import torch

        text = self._model.config.text_config
        with torch.inference_mode():
            inputs = torch.stack(pixels).to(self.device, self.dtype)
            states = self._model.vision_model(pixel_values=inputs).last_hidden_state
            tokens = self._model.text_decoder.generate(
                input_ids=torch.full((len(pixels), 1), text.bos_token_id, device=self.device),
                encoder_hidden_states=states,
                encoder_attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=self.device),
                eos_token_id=text.sep_token_id,
                pad_token_id=text.pad_token_id,
                do_sample=False,
                num_beams=1,
                max_new_tokens=MAX_TOKENS,
            )
            vectors = torch.nn.functional.normalize(states.float().mean(dim=1), dim=1).cpu().numpy()
        captions = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return Description([caption.strip() for caption in captions], vectors.astype(np.float32))


def _batches(pixels: Iterator[torch.Tensor], size: int) -> Iterator[list[torch.Tensor]]:
    while batch := list(islice(pixels, size)):
        yield batch


def _precision(dtype: str | torch.dtype | None) -> torch.dtype:
    import torch

    name = str(dtype or torch.float32).removeprefix("torch.")
    if name not in _PRECISIONS:
        raise BadInput(f"expected a dtype of {', '.join(_PRECISIONS)}, found {name}; name one of these")
    found: torch.dtype = getattr(torch, name)
    return found


def _load(folder: Path, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """The processor and the model; a checkpoint that lacks weights is refused rather than filled with random ones."""
    from transformers import AutoConfig, BlipForConditionalGeneration, BlipProcessor

    blip: Any = BlipForConditionalGeneration
    with checkpoints.loading(folder, "a BLIP captioner with safetensors weights"):
        kind = AutoConfig.from_pretrained(folder).model_type
        if kind != "blip":
            raise BadInput(f"expected a BLIP captioner in {folder}, found a {kind} model; name a BLIP checkpoint")
        processor: Any = BlipProcessor.from_pretrained(folder)
        model, info = blip.from_pretrained(folder, dtype=dtype, use_safetensors=True, output_loading_info=True)
        missing = sorted(info["missing_keys"])
        if missing:
            raise ValueError(f"{len(missing)} weights are missing, {missing[0]} the first")
        return processor, model.to(device).eval()


def _deciding_files(folder: Path) -> list[Path]:
    """What decides what the model says: weights, configuration, tokenizer, preprocessing."""
    notes = ("metrics.json", "trainer_state.json")
    files = [*folder.glob("*.json"), *folder.glob("vocab.txt"), *folder.glob("*.safetensors")]
    return sorted(file for file in files if file.name not in notes)
