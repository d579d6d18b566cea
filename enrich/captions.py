"""What each pin's picture shows, in words and as a vector: `pin_caption` and `pin_visual_embedding`.

Reads the pins that have an image_uri, and deletions; writes pin_caption and pin_visual_embedding (`enrich captions`).
The model is any BLIP checkpoint, or another image-text-to-text model of transformers, by folder or hub id: by default
the small BLIP of the sample (data/models/captioner), for photographs `--model Salesforce/blip-image-captioning-base`.

A picture is told from another by the hash of its bytes (of its URI where it does not lie on this machine), so a file
that was replaced under its name is captioned anew, and a moved one is not. One picture is described once, whatever
number of pins show it, and never where this captioner described it before. A picture that cannot be had or decoded
leaves a row whose reason is one of `ImageReason` (of `fetch.Reason`, from the web); a pin with no image_uri, no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from enrich import fetch, job, parts
from enrich.captioner import Captioner as Captioner
from enrich.captioner import producer_of
from enrich.captioning import on_ray, once_each, working
from enrich.captioning.alike import Alike
from enrich.captioning.on_ray import Cluster
from enrich.captioning.working import Work
from enrich.engine import Engine as Engine
from enrich.errors import BadInput
from enrich.fetch import FetchSettings
from enrich.image_hashes import content_hashes
from enrich.image_uris import base_folder
from enrich.images import MAX_BYTES, ImageReason
from enrich.job import JobReport, JobSettings
from enrich.live_pins import live_pins, pins_without
from enrich.picture_twins import FILE, PictureTwins, described_pictures
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING
from enrich.workspace import REPOSITORY, Workspace

DEFAULT_MODEL = REPOSITORY / "data" / "models" / "captioner"
_SAMPLE = "sample"  # the format of the catalogue that the default captioner was made for
TRANSIENT = fetch.TRANSIENT | {str(ImageReason.FETCH_FAILED)}


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """Model, dtype, beams, prompt and cut_loops decide what is said: other ones, and every caption is made anew."""

    model: str = str(DEFAULT_MODEL)  # a BLIP or another image-text-to-text checkpoint: a folder or hub id
    device: str | None = None  # torch's name; None for a GPU where there is one
    dtype: str | None = None  # float32, bfloat16 or float16; None for bfloat16 where the device has units for it
    beams: int = 1  # of beam search; 1 is greedy
    prompt: str | None = None  # what a caption goes on from, or what a model that chats is asked
    cut_loops: bool | None = None  # captions that go round in circles; None: unless float32 is asked for, to compare
    batch_size: int | None = None  # pictures a forward pass; None by the memory there is
    twins: bool | None = None  # pictures that look alike are described once; None: unless float32 is asked for
    engine: Engine = Engine.LOCAL
    workers: int | None = None  # on Ray; None for one a GPU, or one a core where there is none
    gpus: float | None = None  # of each worker on Ray; None for one where there is any
    fetch: FetchSettings = field(
        default_factory=lambda: FetchSettings(max_wire_bytes=MAX_BYTES, max_bytes=MAX_BYTES, total_timeout=60.0)
    )
    job: JobSettings = field(default_factory=lambda: JobSettings(batch_size=128))  # pictures read or fetched at once

    def __post_init__(self) -> None:
        if self.engine is Engine.LOCAL and (self.workers is not None or self.gpus is not None):
            raise BadInput("expected --workers and --gpus with --engine ray only; leave them out, or name that engine")
        if self.engine is Engine.RAY and self.device is not None:
            raise BadInput("expected no --device with --engine ray, whose workers take the GPUs that --gpus gives them")
        if any(count is not None and count < 1 for count in (self.beams, self.batch_size, self.workers)):
            raise BadInput("expected --beams, --batch-size and --workers of at least 1; raise the one that is less")

    @property
    def cutting(self) -> bool:
        """Whether a caption that goes round in circles is cut after the first time round."""
        return self.dtype != "float32" if self.cut_loops is None else self.cut_loops

    @property
    def once_alike(self) -> bool:
        """Whether what looks like a picture described before takes that over; on Ray, whose workers are in no order,
        only the same bytes do.
        """
        wanted = self.dtype != "float32" if self.twins is None else self.twins
        return wanted and self.engine is Engine.LOCAL


def run_captions(workspace: Workspace, settings: CaptionSettings, captioner: Captioner | None = None) -> JobReport:
    """Describe the pictures that this captioner has not described yet.

    The captioner is loaded when the first picture is to be described; `captioner` is one of the same settings that is
    loaded already.
    """
    parts.widen(workspace.folder(PIN_CAPTION), PIN_CAPTION)
    shown = pictures(workspace)
    cluster = on_ray.cluster(settings.workers, settings.gpus) if settings.engine is Engine.RAY else None
    work = _work(workspace, settings, cluster)
    says = producer_of(work.model, work.dtype, work.saying)
    work, producer = replace(work, producer=says), says + (" loops cut" if work.cut_loops else "")

    def describe(wanted: pl.DataFrame, alike: Alike | None) -> Iterator[pl.DataFrame]:
        return working.describe(work, wanted, captioner, alike) if cluster is None else cluster.describe(work, wanted)

    def each_picture_once(stale: pl.DataFrame) -> Iterator[pl.DataFrame]:
        if not settings.once_alike:
            yield from once_each.described(workspace, producer, stale, describe)
            return
        known = described_pictures(workspace, producer)
        with PictureTwins(workspace.root / FILE, producer, known) as twins:
            yield from once_each.described(workspace, producer, stale, describe, twins)

    tables, bare = [PIN_CAPTION, PIN_VISUAL_EMBEDDING], pins_without(workspace, shown)
    return job.run_stream(workspace, tables, shown, each_picture_once, producer, settings.job, TRANSIENT, bare)


def notes(workspace: Workspace, settings: CaptionSettings) -> list[str]:
    """What a person should know of the captions that were made."""
    found = [doubt(workspace, settings)]
    rows = parts.scan(workspace.folder(PIN_VISUAL_EMBEDDING)).filter(pl.col("reason").is_null())
    bare = rows.select(pl.col("visual_embedding").is_null().sum()).collect().item()
    if bare:
        found.append(
            f"{bare:,} rows of pin_visual_embedding hold no vector: the vision tower of the model that made them does "
            "not give one a picture"
        )
    return [note for note in found if note]


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
    each = pins.select(pl.col("image_uri").unique(maintain_order=True))  # one file may be shown by many
    memory = workspace.root / "image_hashes.parquet"
    hashes = content_hashes(each["image_uri"].to_list(), base_folder(workspace), memory)
    named = each.with_columns(input_hash=pl.Series(hashes, dtype=pl.String))
    return pins.join(named, on="image_uri", how="left", maintain_order="left")


def _work(workspace: Workspace, settings: CaptionSettings, cluster: Cluster | None) -> Work:
    from enrich.captioning.describing import Saying
    from enrich.captioning.precision import precision, torch_device

    on = torch_device(settings.device) if cluster is None else cluster.device
    return Work(
        model=settings.model,
        device=str(on),
        dtype=precision(settings.dtype, on),
        saying=Saying(settings.beams, settings.prompt),
        batch_size=settings.batch_size,
        cut_loops=settings.cutting,
        base=base_folder(workspace),
        fetch=settings.fetch,
        read_at_once=settings.job.batch_size,
    )
