"""Any other image-text-to-text model of transformers (GIT, Florence-2, LLaVA, Qwen-VL ...) behind BLIP's border.

The model's own processor makes its inputs, its own `generate` the words. A processor with a chat template is asked the
prompt about the picture; without one, the prompt is what the model's card shows (Florence-2: `<CAPTION>`), or nothing.
The embedding is the mean of the vision tower's last states, read as they pass during `generate`: of a tower that gives
an equal number of states, or a map, for each picture, or says which are whose (Qwen-VL's grid). Of another there is
none. Both are tried on one grey picture at loading, so that a model which cannot caption is refused before the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from enrich import checkpoints
from enrich.captioning.describing import Description, Saying, unit
from enrich.errors import BadInput

MAX_TOKENS = 64  # of a caption
ASKED = "Describe this picture in one short sentence."  # of a model that chats, where no prompt is given
_LONGEST_SIDE = 1_536  # pixels that a picture is kept at until its batch comes; processors make most of them smaller
_TOWERS = ("vision_tower", "vision_model", "visual", "image_encoder", "vision_encoder")  # what models call theirs
_PICTURE_BYTES = 400 * 2**20  # of the device's memory, for a model of a few billion weights


class OtherModel:
    """Describes pictures as transformers' own processor and `generate` do, deterministically."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, saying: Saying) -> None:
        """Raises BadInput where the checkpoint does not load whole, or does not caption."""
        self._processor, self._model = _load(folder, device, dtype)
        self._device, self._dtype, self._saying = device, dtype, saying
        self._question = _question(self._processor, saying.prompt)
        self._tower = _tower(self._model)
        self.input_size: tuple[int, int] | None = None
        self.picture_bytes, self.side_by_side = _PICTURE_BYTES, False  # what passes the tower is one batch's
        self.dimension: int | None = self._tried(folder)

    def prepare(self, image: Image.Image) -> Image.Image:
        """The picture, at most so large."""
        image = image if image.mode == "RGB" else image.convert("RGB")
        if max(image.size) > _LONGEST_SIDE:
            image = image.copy()
            image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.BICUBIC)
        return image

    def describe(self, prepared: Sequence[Image.Image]) -> Description:
        """A caption of each picture of one batch, and an embedding where the vision tower shows one."""
        return self._describe(prepared, self._saying.max_tokens or MAX_TOKENS)

    def _describe(self, prepared: Sequence[Image.Image], most: int) -> Description:
        inputs = self._inputs(prepared)
        with torch.inference_mode(), _passing(self._tower) as seen:
            tokens = self._model.generate(
                **inputs, max_new_tokens=most, num_beams=self._saying.beams, do_sample=False, use_cache=True
            )
            states = self._per_picture(seen, inputs, len(prepared))
        said = self._processor.batch_decode(_new(tokens, inputs.get("input_ids")), skip_special_tokens=True)
        return Description([" ".join(text.split()) for text in said], None if states is None else unit(states))

    def _inputs(self, pictures: Sequence[Image.Image]) -> dict[str, Any]:
        asked = {} if self._question is None else {"text": [self._question] * len(pictures), "padding": True}
        made = self._processor(images=list(pictures), return_tensors="pt", **asked)
        floats = {name: value.to(self._dtype) for name, value in made.items() if torch.is_floating_point(value)}
        return {name: value.to(self._device) for name, value in {**made, **floats}.items()}

    def _per_picture(self, seen: Sequence[Any], inputs: dict[str, Any], count: int) -> Tensor | None:
        """[n, d]: each picture's mean of what the tower gave; None where that cannot be told."""
        if len(seen) != 1:
            return None
        found = getattr(seen[0], "last_hidden_state", None)
        states: Any = (
            seen[0][0] if found is None and isinstance(seen[0], tuple) else seen[0] if found is None else found
        )
        if not isinstance(states, Tensor):
            return None
        grid = inputs.get("image_grid_thw")
        if states.dim() == 2 and grid is not None:
            return _by_grid(states, grid.prod(dim=-1), count)
        if states.dim() not in (3, 4) or len(states) not in (count, count * self._saying.beams):
            return None
        first = states.float()[:: len(states) // count]  # a picture's beams all see the same
        return first.mean(dim=1) if first.dim() == 3 else first.mean(dim=(2, 3))

    def _tried(self, folder: Path) -> int | None:
        """The length of an embedding, from one picture that is described to see whether it can be."""
        try:
            with checkpoints.quiet():
                found = self._describe([Image.new("RGB", (64, 64), "grey")], 2)
        except Exception as error:  # processors and models raise anything on inputs that are not theirs
            said = str(error).strip().partition("\n")[0]
            raise BadInput(
                f"expected a model in {folder} that captions a picture with {self._question!r}, found "
                f"{type(error).__name__}: {said}; name the --prompt that its model card shows, or another --model"
            ) from error
        return None if found.embeddings is None else found.embeddings.shape[1]


def _question(processor: Any, prompt: str | None) -> str | None:
    """The text that goes with every picture."""
    if not getattr(processor, "chat_template", None):
        return prompt
    content = [{"type": "image"}, {"type": "text", "text": prompt or ASKED}]
    asked: str = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return asked


def _tower(model: Any) -> torch.nn.Module | None:
    """The outermost module that is called as vision towers are."""
    named = [(name, module) for name, module in model.named_modules() if name.rpartition(".")[2] in _TOWERS]
    return min(named, key=lambda one: one[0].count("."))[1] if named else None


@contextmanager
def _passing(tower: torch.nn.Module | None) -> Iterator[list[Any]]:
    """What `tower` gives meanwhile."""
    seen: list[Any] = []
    if tower is None:
        yield seen
        return
    hook = tower.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        hook.remove()


def _by_grid(states: Tensor, patches: Tensor, count: int) -> Tensor | None:
    """Means of rows that lie one picture after the other: a row a patch, or a row a few merged ones."""
    total = int(patches.sum())
    merged = total // max(1, len(states))
    if len(patches) != count or merged * len(states) != total:
        return None
    each: list[Tensor] = list(torch.split(states.float(), (patches // merged).tolist()))
    return torch.stack([part.mean(dim=0) for part in each])


def _new(tokens: Tensor, asked: Tensor | None) -> Tensor:
    """The tokens without the question, which a decoder-only model says again first."""
    length = 0 if asked is None else asked.shape[1]
    if length and tokens.shape[1] >= length and asked is not None and torch.equal(tokens[:, :length], asked):
        return tokens[:, length:]
    return tokens


def _load(folder: Path, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    auto: Any = AutoModelForImageTextToText
    processors: Any = AutoProcessor
    with checkpoints.loading(folder, "an image-text-to-text model with safetensors weights"):
        processor: Any = processors.from_pretrained(folder, trust_remote_code=False)
        processor.tokenizer.padding_side = "left"  # so that the last token of each question is what follows on
        model, info = auto.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, trust_remote_code=False
        )
        checkpoints.refuse_missing(info)
        return processor, model.to(device).eval()
