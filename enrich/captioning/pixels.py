"""Pictures made small as a transformers image processor makes them, bit for bit, at a fraction of its cost.

Where a processor resizes to one size, rescales and normalises, and nothing else, a picture is resized by Pillow as the
processor does, kept as the bytes that come out, and each byte's value is looked up in what the processor itself makes
of the 256 there are. A processor's own way is 8 ms more for 384 × 384 (float64, transposed copies), and holds the
interpreter. At loading both are tried on one picture; where they differ by a bit (torchvision's resizing does), the
processor is used. Where captions need not be those of the processor's pixels to the last bit, a picture more than three
times too large is first averaged over whole pixels, as Pillow's `reducing_gap` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_SWITCHES = ("do_center_crop", "do_pad")  # steps that are not done here
_REDUCING_GAP = 3.0  # Pillow: "the result is very close to fair resampling"


class Pixels:
    """Prepares pictures for one model."""

    def __init__(self, processor: Any, exact: bool) -> None:
        """`processor`: transformers' image processor. `exact`: its pixels bit for bit, of pictures of any size."""
        self._processor = processor
        self._gap = None if exact else _REDUCING_GAP
        self.size = _one_size(processor)  # (width, height) of the model's input; None where it depends on the picture
        self._resample = getattr(processor, "resample", None)
        self._values = self._looked_up() if self.size is not None else None
        if self._values is not None and not self._agree():
            self._values = None

    def prepare(self, image: Image.Image) -> Tensor:
        """The bytes uint8 [height, width, 3] of a picture made small; of another processor, its float32 [3, h, w]."""
        image = image if image.mode == "RGB" else image.convert("RGB")
        if self._values is None or self.size is None:
            return self._processed(image)
        small = image.resize(self.size, resample=self._resample, reducing_gap=self._gap)
        return torch.from_numpy(np.array(small))

    def values(self, prepared: Sequence[Tensor], device: torch.device) -> Tensor:
        """The model's input, float32 [n, 3, height, width] on `device`."""
        batch = torch.stack(tuple(prepared)).to(device, non_blocking=True)
        if batch.dtype is not torch.uint8:
            return batch
        assert self._values is not None  # else nothing is prepared as bytes
        table, places = self._values.to(device), batch.permute(0, 3, 1, 2).int()
        made = torch.empty(places.shape, device=device)
        for channel in range(3):
            made[:, channel] = table[channel][places[:, channel]]
        return made

    def _processed(self, image: Image.Image) -> Tensor:
        pixels: Tensor = self._processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels.float()

    def _looked_up(self) -> Tensor:
        """What the processor makes of each byte in each channel, float32 [3, 256]."""
        grey = np.repeat(np.arange(256, dtype=np.uint8), 16).reshape(256, 16)  # 16 wide: no mistaking it for channels
        ramp = Image.fromarray(np.stack([grey] * 3, axis=-1))
        made: Tensor = self._processor(images=ramp, do_resize=False, return_tensors="pt")["pixel_values"][0]
        return made[:, :, 0].float().contiguous()

    def _agree(self) -> bool:
        noise = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
        picture = Image.fromarray(noise)
        ours = self.values([self.prepare(picture)], torch.device("cpu"))[0]
        return torch.equal(ours, self._processed(picture))


def _one_size(processor: Any) -> tuple[int, int] | None:
    """Width and height where every picture is resized to them, and no step follows that is not done here."""
    size = getattr(processor, "size", None) or {}
    height, width = size.get("height"), size.get("width")
    plain = bool(getattr(processor, "do_resize", False)) and not any(getattr(processor, s, None) for s in _SWITCHES)
    return (int(width), int(height)) if plain and height and width else None
