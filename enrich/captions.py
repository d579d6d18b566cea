"""What each pin's picture shows, in words and as a vector: `pin_caption` and `pin_visual_embedding`.

Reads the pins that have an image_uri, and deletions; writes pin_caption and pin_visual_embedding (`enrich captions`).
The model is any BLIP checkpoint, by folder or hub id: by default the small one of the sample (data/models/captioner),
for photographs `--model Salesforce/blip-image-captioning-base`.

A picture is told from another by the hash of its bytes (of its URI where it does not lie on this machine), so a file
that was replaced under its name is captioned anew, and a moved one is not. A picture that cannot be had or decoded
leaves a row whose reason is one of `ImageReason` (of `fetch.Reason`, from the web); a pin with no image_uri, no row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from enrich import fetch, job
from enrich.captioner import Captioner as Captioner
from enrich.fetch import FetchSession, FetchSettings, Outcome
from enrich.image_hashes import content_hashes
from enrich.image_uris import base_folder, on_the_web, read_image
from enrich.images import MAX_BYTES, BadImage, ImageReason, load_image
from enrich.job import JobReport, JobSettings
from enrich.live_pins import live_pins, pins_without
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING
from enrich.workspace import REPOSITORY, Workspace

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL = REPOSITORY / "data" / "models" / "captioner"
_SAMPLE = "sample"  # the format of the catalogue that the default captioner was made for
TRANSIENT = fetch.TRANSIENT | {str(ImageReason.FETCH_FAILED)}


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

        shown, tables = pictures(workspace), [PIN_CAPTION, PIN_VISUAL_EMBEDDING]
        bare = pins_without(workspace, shown)
        return job.run(workspace, tables, shown, describe, captioner.producer, settings.job, TRANSIENT, bare)


def doubt(workspace: Workspace, settings: CaptionSettings) -> str | None:
    """Why these captions may be wrong: the default captioner knows the sample's scenes alone. None where it fits."""
    if settings.model != str(DEFAULT_MODEL) or workspace.catalogue.format == _SAMPLE:
        return None
    return (
        "the default captioner knows the sample's rendered scenes alone and says wrong things of other pictures; "
        "for photographs: enrich captions --model Salesforce/blip-image-captioning-base"
    )


def pictures(workspace: Workspace) -> pl.DataFrame:
    """pin_id, image_uri, event_timestamp, input_hash of the pins that have a picture, deleted pins left out."""
    pins = (
        live_pins(workspace)
        .filter(pl.col("image_uri").str.strip_chars().str.len_bytes() > 0)
        .select("pin_id", "image_uri", "event_timestamp")
        .sort("pin_id")
        .collect()
    )
    memory = workspace.root / "image_hashes.parquet"
    hashes = content_hashes(pins["image_uri"].to_list(), base_folder(workspace), memory)
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
