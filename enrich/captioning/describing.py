"""What every kind of captioner gives, and how it is asked: the border between `Captioner` and the models behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from enrich.errors import BadInput


class Description(NamedTuple):
    captions: list[str]
    embeddings: NDArray[np.float32] | None  # [n, d], rows of unit length; None of a model that shows no such vectors


@dataclass(frozen=True, slots=True)
class Saying:
    """How captions are said; each changes them, so each is part of the producer."""

    beams: int = 1  # of beam search; 1 is greedy
    prompt: str | None = None  # what a caption goes on from, or, of a model that chats, what it is asked
    max_tokens: int | None = None  # new ones, of a caption; None for the kind's own default

    def __post_init__(self) -> None:
        if self.beams < 1:
            raise BadInput(f"expected at least 1 beam, found {self.beams}; leave out --beams for greedy search")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise BadInput(f"expected captions of at least 1 token, found {self.max_tokens}; raise max_tokens")

    @property
    def name(self) -> str:
        """As it follows a producer; "" of plain greedy captions."""
        said = [f" beams={self.beams}"] if self.beams > 1 else []
        said += [f" prompt={self.prompt!r}"] if self.prompt is not None else []
        said += [f" tokens={self.max_tokens}"] if self.max_tokens is not None else []
        return "".join(said)


class Describer(Protocol):
    """A model that describes pictures."""

    dimension: int | None  # of an embedding; None where there is none
    input_size: tuple[int, int] | None  # width and height that pictures are made; None where it depends on the picture
    picture_bytes: int  # of the device's memory that a picture takes while it is described
    side_by_side: bool  # whether threads may describe a batch each at once

    def prepare(self, image: Image.Image) -> torch.Tensor | Image.Image:
        """What `describe` reads of a picture. Threads may call it at once."""

    def describe(self, prepared: Sequence[Any]) -> Description:
        """One batch of what `prepare` gave, at least one picture."""


def unit(vectors: torch.Tensor) -> NDArray[np.float32]:
    """Rows [n, d] of unit length."""
    normal = torch.nn.functional.normalize(vectors.float(), dim=1)
    return np.asarray(normal.cpu().numpy(), np.float32)
