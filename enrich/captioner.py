"""Pictures to words and unit vectors: a BLIP of any checkpoint, or another image-text-to-text model of transformers.

Reads a model folder or a hub id (`checkpoints.py`); writes nothing. `captions.py` runs it over a catalogue; what it is
made of is in captioning/, and torch and transformers are imported when a captioner is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from enrich import checkpoints
from enrich.errors import BadInput
from enrich.memory import give_back_freed_memory, keep_freed_memory
from enrich.side_by_side import batches, side_by_side

if TYPE_CHECKING:
    import torch

    from enrich.captioning.describing import Describer, Description, Saying

    Prepared = torch.Tensor | Image.Image

_MOST = 256  # pictures a batch
_SHARE_OF_MEMORY = 0.25  # of what a GPU has free, that a batch may take
_BESIDE_ON_GPU = 2  # batches: one is copied to it and its words are read while it computes another
_BATCH_BYTES, _ON_CPU = 280 * 2**20, (4, 64)  # on a CPU: 16 pictures of a ViT-base; at least and at most so many


class Captioner:
    """Describes pictures: the words of transformers' own `generate`, and the vision tower's mean as the embedding.

    In float32 the words are those of `generate` token for token, of pictures that the checkpoint's own processor made
    small. bfloat16 rounds what is multiplied, and a word may change where two were nearly as likely.
    """

    def __init__(
        self,
        model: str,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        beams: int = 1,
        prompt: str | None = None,
        max_tokens: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        """`model`: a folder or hub id. `device`: torch's name; None for a GPU where there is one. `dtype`: float32,
        bfloat16 or float16; None for bfloat16 where the device has units for it, else float32. `beams`: 1 is greedy.
        `prompt`: what a caption goes on from, or what a model that chats is asked. `batch_size`: pictures a forward
        pass; None by the memory that there is.

        Raises BadInput when there is no such checkpoint, it does not load whole, or it does not caption.
        """
        from enrich.captioning.describing import Saying
        from enrich.captioning.precision import precision, torch_device

        keep_freed_memory()
        checkpoint = checkpoints.locate(model, "a captioner")
        self.device = torch_device(device)
        self.dtype = precision(dtype, self.device)
        saying = Saying(beams, prompt, max_tokens)
        self._model = _describer(checkpoint.folder, self.device, self.dtype, saying)
        give_back_freed_memory()
        self.batch_size = batch_size or _batch_size(self._model, self.device)
        self._exact = self.dtype.itemsize == 4
        self.producer = _producer(checkpoint, self.dtype, saying)

    @property
    def dimension(self) -> int | None:
        """Length of an embedding; None of a model whose vision tower does not show one."""
        return self._model.dimension

    @property
    def at_least(self) -> tuple[int, int] | None:
        """Width and height below which a picture need not be decoded; None: it must be decoded as it is."""
        return None if self._exact else self._model.input_size

    def caption(self, images: Iterable[Image.Image]) -> list[str]:
        """One caption a picture, in the order given."""
        return self.caption_and_embed(images).captions

    def caption_and_embed(self, images: Iterable[Image.Image]) -> Description:
        """A caption and an embedding a picture, in the order given, from one pass through the vision tower.

        `images` may be a generator: of each picture only the model's small input is kept.
        """
        return self.describe(self.prepare(image) for image in images)

    def prepare(self, image: Image.Image) -> Prepared:
        """The model's input of one picture, as `describe` takes it. Threads may call it at once."""
        return self._model.prepare(image)

    def describe(self, prepared: Iterable[Prepared]) -> Description:
        """As `caption_and_embed`, of pictures that `prepare` has made small."""
        from enrich.captioning.describing import Description

        described = list(self.described(batches(prepared, self.batch_size)))
        captions = [caption for batch in described for caption in batch.captions]
        if self.dimension is None:
            return Description(captions, None)
        vectors = [batch.embeddings for batch in described if batch.embeddings is not None]
        return Description(captions, np.concatenate([np.zeros((0, self.dimension), np.float32), *vectors]))

    def described(self, prepared: Iterable[list[Prepared]]) -> Iterator[Description]:
        """The description of each batch, in order; on a CPU a batch a core, for as many as torch has threads.

        Cores that share one product wait for each other; with a batch each they hardly do. Batches are taken from
        where descriptions are asked for, so that what makes them may run meanwhile.
        """
        import torch

        cores = torch.get_num_threads()
        beside = cores if self.device.type == "cpu" else _BESIDE_ON_GPU
        if beside == 1 or not self._model.side_by_side:
            yield from map(self._describe, prepared)
            return
        try:
            yield from side_by_side(self._describe, prepared, beside, partial(torch.set_num_threads, 1))
        finally:
            torch.set_num_threads(cores)  # a thread's own count is also what threads started later begin with

    def _describe(self, prepared: list[Prepared]) -> Description:
        """One batch; in two halves, and so on, where a GPU has not the memory for it."""
        import torch

        from enrich.captioning.describing import Description

        if not prepared:
            return Description([], None)
        try:
            return _numbers(self._model.describe(prepared))
        except torch.cuda.OutOfMemoryError as error:
            if len(prepared) == 1:
                said = str(error).partition("\n")[0]
                raise BadInput(
                    f"expected memory on {self.device} for one picture, found too little ({said}); name another "
                    "--device, or --dtype bfloat16"
                ) from error
        torch.cuda.empty_cache()
        half = len(prepared) // 2
        first, second = self._describe(prepared[:half]), self._describe(prepared[half:])
        if first.embeddings is None or second.embeddings is None:
            return Description(first.captions + second.captions, None)
        return Description(first.captions + second.captions, np.concatenate([first.embeddings, second.embeddings]))


def _numbers(description: Description) -> Description:
    """Raises BadInput where a description is of what is no number: then its words mean nothing, either."""
    vectors = description.embeddings
    if vectors is not None and not np.isfinite(vectors).all():
        raise BadInput(
            "expected a captioner that computes numbers, found NaN in what it sees of a picture: its weights are "
            "damaged, or too large for this --dtype; fetch it again, or name --dtype float32"
        )
    return description


def producer_of(model: str, dtype: torch.dtype, saying: Saying) -> str:
    """What a Captioner of these calls itself, without its weights being loaded. Raises BadInput as it does."""
    return _producer(checkpoints.locate(model, "a captioner"), dtype, saying)


def _producer(checkpoint: checkpoints.Checkpoint, dtype: torch.dtype, saying: Saying) -> str:
    narrow = "" if dtype.itemsize == 4 else f" {str(dtype).removeprefix('torch.')}"
    fingerprint = checkpoints.fingerprint(_deciding_files(checkpoint.folder))
    return f"{checkpoint.name}@{fingerprint}{narrow}{saying.name}"


def _describer(folder: Path, device: torch.device, dtype: torch.dtype, saying: Saying) -> Describer:
    """The model in `folder` behind the one border. Raises BadInput."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KINDS

    with checkpoints.loading(folder, "a captioner"):
        kind = AutoConfig.from_pretrained(folder, trust_remote_code=False).model_type
    if kind == "blip":
        from enrich.captioning.blip import Blip

        return Blip(folder, device, dtype, saying)
    if kind not in KINDS:
        raise BadInput(
            f"expected a captioner in {folder} (a BLIP, or another image-text-to-text model of transformers), found a "
            f"{kind} model; name another checkpoint"
        )
    from enrich.captioning.other_models import OtherModel

    return OtherModel(folder, device, dtype, saying)


def _batch_size(model: Describer, device: torch.device) -> int:
    """Pictures a batch: what a quarter of a GPU's free memory holds; on a CPU as many as its words gain by."""
    import torch

    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, min(_MOST, int(_SHARE_OF_MEMORY * free / model.picture_bytes)))
    least, most = _ON_CPU
    return max(least, min(most, _BATCH_BYTES // model.picture_bytes))


def _deciding_files(folder: Path) -> list[Path]:
    """What decides what the model says: weights, configuration, tokenizer, preprocessing."""
    notes = ("metrics.json", "trainer_state.json")
    files = [*folder.glob("*.json"), *folder.glob("vocab.txt"), *folder.glob("*.safetensors")]
    return sorted(file for file in files if file.name not in notes)
