"""What each pin's picture shows, in words and as a vector: `pin_caption` and `pin_visual_embedding`.

Reads the pins that have an image_uri, and deletions; writes pin_caption and pin_visual_embedding (`enrich captions`).
The model is any BLIP checkpoint, by folder or hub id: by default the small one of the sample (data/models/captioner),
for photographs `--model Salesforce/blip-image-captioning-base`.

A picture is told from another by the hash of its bytes (of its URI where it does not lie on this machine), so a file
that was replaced under its name is captioned anew, and a moved one is not. A picture that cannot be had or decoded
leaves a row whose reason is one of `ImageReason` (of `fetch.Reason`, from the web); a pin with no image_uri, no row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from enrich import checkpoints, fetch, job, parts
from enrich.errors import BadInput
from enrich.fetch import FetchSession, FetchSettings, Outcome
from enrich.image_uris import base_folder, content_hash, on_the_web, read_image
from enrich.images import MAX_BYTES, BadImage, ImageReason, load_image
from enrich.job import JobReport, JobSettings
from enrich.tables import DELETIONS, PIN_CAPTION, PIN_VISUAL_EMBEDDING, PINS
from enrich.workspace import REPOSITORY, Workspace

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL = REPOSITORY / "data" / "models" / "captioner"
BATCH_SIZE = 32  # pictures a forward pass
MAX_TOKENS = 20  # of a caption; transformers' own default for a BLIP
TRANSIENT = fetch.TRANSIENT | {str(ImageReason.FETCH_FAILED)}
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
        self.producer = f"{checkpoint.name}@{checkpoints.fingerprint(checkpoint.folder)}{precision}"

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
        raise BadInput(f"expected --dtype to be one of {', '.join(_PRECISIONS)}, found {name}")
    found: torch.dtype = getattr(torch, name)
    return found


def _load(folder: Path, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """The processor and the model; a checkpoint that lacks weights is refused rather than filled with random ones."""
    from transformers import AutoConfig, BlipForConditionalGeneration, BlipProcessor

    blip: Any = BlipForConditionalGeneration
    try:
        with checkpoints.quiet():
            kind = AutoConfig.from_pretrained(folder).model_type
            if kind != "blip":
                raise BadInput(f"expected a BLIP captioner in {folder}, found a {kind} model; name a BLIP checkpoint")
            processor: Any = BlipProcessor.from_pretrained(folder)
            model, loading = blip.from_pretrained(folder, dtype=dtype, use_safetensors=True, output_loading_info=True)
        missing = sorted(loading["missing_keys"])
        if missing:
            raise ValueError(f"{len(missing)} weights are missing, {missing[0]} the first")
        return processor, model.to(device).eval()
    except BadInput:
        raise
    except Exception as error:  # broken JSON, tokenizers' and safetensors' own types: all mean a broken folder
        said = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"expected a BLIP captioner with safetensors weights in {folder}, found one that does not load "
            f"({type(error).__name__}: {said}); fetch or train it again"
        ) from error


# ---- the job


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    model: str = str(DEFAULT_MODEL)  # a BLIP checkpoint: a folder or hub id
    device: str | None = None  # torch's name; None for a GPU where there is one
    dtype: str | None = None  # float32 (None), bfloat16 or float16
    fetch: FetchSettings = field(
        default_factory=lambda: FetchSettings(max_wire_bytes=MAX_BYTES, max_bytes=MAX_BYTES, total_timeout=60.0)
    )
    job: JobSettings = field(default_factory=lambda: JobSettings(batch_size=128))


def run_captions(workspace: Workspace, settings: CaptionSettings) -> JobReport:
    """Describe the pictures that this captioner has not described yet."""
    captioner = Captioner(settings.model, settings.device, settings.dtype)
    base = base_folder(workspace)
    with FetchSession(settings.fetch, types=()) as session:

        def describe(batch: pl.DataFrame) -> pl.DataFrame:
            return _describe_batch(captioner, batch, base, session)

        tables = [PIN_CAPTION, PIN_VISUAL_EMBEDDING]
        return job.run(workspace, tables, pictures(workspace), describe, captioner.producer, settings.job, TRANSIENT)


def pictures(workspace: Workspace) -> pl.DataFrame:
    """pin_id, image_uri, event_timestamp, input_hash of the pins that have a picture, deleted pins left out."""
    deletions = parts.scan(workspace.folder(DELETIONS)).filter(pl.col("kind") == "pin").select(pin_id="id")
    pins = (
        parts.scan(workspace.folder(PINS))
        .filter(pl.col("image_uri").str.strip_chars().str.len_bytes() > 0)
        .join(deletions, on="pin_id", how="anti")
        .select("pin_id", "image_uri", event_timestamp=pl.coalesce("updated_at", "created_at"))
        .sort("pin_id")
        .collect()
    )
    base = base_folder(workspace)
    hashes = [content_hash(uri, base) for uri in pins["image_uri"]]
    return pins.with_columns(input_hash=pl.Series(hashes, dtype=pl.String))


def _describe_batch(captioner: Captioner, batch: pl.DataFrame, base: Path, session: FetchSession) -> pl.DataFrame:
    """pin_id, caption, visual_embedding, reason of each row of `batch`."""
    prepared = _prepare_batch(captioner, batch, base, session)
    reasons = {pin_id: found for pin_id, found in prepared.items() if isinstance(found, str)}
    seen = {pin_id: found for pin_id, found in prepared.items() if not isinstance(found, str)}
    described = captioner.describe(seen.values())
    made = pl.DataFrame(
        {
            "pin_id": pl.Series(list(seen), dtype=pl.String),
            "caption": pl.Series(described.captions, dtype=pl.String),
            "visual_embedding": pl.Series(list(described.embeddings), dtype=pl.List(pl.Float32)),
        }
    )
    reason = pl.col("pin_id").replace_strict(reasons, default=None, return_dtype=pl.String)
    return batch.select("pin_id", reason=reason).join(made, on="pin_id", how="left")


def _prepare_batch(
    captioner: Captioner, batch: pl.DataFrame, base: Path, session: FetchSession
) -> dict[str, torch.Tensor | str]:
    """Of each pin, the model's input or the reason why there is none; what lies on the web is fetched together."""
    web = {pin_id: uri for pin_id, uri in batch.select("pin_id", "image_uri").iter_rows() if on_the_web(uri)}

    def fetched(outcome: Outcome) -> torch.Tensor | str:
        return _prepare(captioner, lambda: outcome.body) if outcome.reason is None else outcome.reason

    found: dict[str, torch.Tensor | str] = {}
    found.update(zip(web, session.fetch_all(list(web.values()), fetched), strict=True))
    for pin_id, uri in batch.select("pin_id", "image_uri").iter_rows():
        if pin_id not in web:
            found[pin_id] = _prepare(captioner, partial(read_image, uri, base))
    return found


def _prepare(captioner: Captioner, read: Callable[[], bytes]) -> torch.Tensor | str:
    try:
        return captioner.prepare(load_image(read()))
    except BadImage as fault:
        return str(fault.reason)
