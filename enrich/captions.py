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
from dataclasses import replace
from importlib.util import find_spec

import polars as pl

from enrich import captioner_choice, fetch, job, parts
from enrich.caption_settings import DEFAULT_MODEL as DEFAULT_MODEL
from enrich.caption_settings import CaptionSettings as CaptionSettings
from enrich.captioner import Captioner as Captioner
from enrich.captioner import producer_of
from enrich.captioning import on_ray, once_each, working
from enrich.captioning.alike import Alike
from enrich.captioning.on_ray import Cluster
from enrich.captioning.working import Work
from enrich.engine import Engine as Engine
from enrich.image_hashes import content_hashes
from enrich.image_uris import DRIVERS, base_folder
from enrich.images import ImageReason
from enrich.job import JobReport
from enrich.live_pins import live_pins, pins_without
from enrich.picture_twins import FILE, PictureTwins, described_pictures
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING
from enrich.web.fetch_reasons import refuse_unknown
from enrich.workspace import Workspace

_SAMPLE = "sample"  # the format of the catalogue that the default captioner was made for
TRANSIENT = fetch.TRANSIENT | {str(ImageReason.FETCH_FAILED), str(ImageReason.NO_DRIVER), str(ImageReason.CHANGED)}


def run_captions(workspace: Workspace, settings: CaptionSettings, captioner: Captioner | None = None) -> JobReport:
    """Describe the pictures that this captioner has not described yet.

    The captioner is loaded when the first picture is to be described; `captioner` is one of the same settings that is
    loaded already. Raises BadInput where a reason to retry is none.
    """
    refuse_unknown(settings.job.retry, ImageReason, fetch.Reason)
    cluster = on_ray.cluster(settings.workers, settings.gpus) if settings.engine is Engine.RAY else None
    work = _work(workspace, settings, cluster)
    says = producer_of(work.model, work.dtype, work.saying)
    work, producer = replace(work, producer=says), says + (" loops cut" if work.cut_loops else "")
    captioner_choice.keep(workspace, settings)
    parts.widen(workspace.folder(PIN_CAPTION), PIN_CAPTION)
    shown = pictures(workspace)  # last: what was asked for wrongly is said before a catalogue's pictures are read

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
    found.append(_without_driver(workspace))
    return [note for note in found if note]


def _without_driver(workspace: Workspace) -> str | None:
    """What to install, where pictures lie in a store that no driver reads."""
    scheme = pl.col("image_uri").str.strip_chars().str.extract("^([A-Za-z0-9]+):").str.to_lowercase()
    schemes = live_pins(workspace).select(scheme=scheme).filter(pl.col("scheme").is_in(list(DRIVERS)))
    counted = schemes.group_by("scheme").len().sort("scheme").collect()
    missing = [(count, scheme) for scheme, count in counted.iter_rows() if find_spec(DRIVERS[scheme]) is None]
    lines = [f"{scheme}: ({count:,}; pip install {DRIVERS[scheme]})" for count, scheme in missing]
    return f"no driver is installed for pictures in {', '.join(lines)}; they wait for it" if lines else None


def doubt(workspace: Workspace, settings: CaptionSettings) -> str | None:
    """Why these captions may be wrong: the default captioner knows the sample's scenes alone. None where it fits."""
    if settings.model != str(DEFAULT_MODEL) or workspace.catalogue.format == _SAMPLE:
        return None
    return (
        "the default captioner knows the sample's rendered scenes alone and says wrong things of other pictures; "
        "for photographs: enrich captions --model Salesforce/blip-image-captioning-base"
    )


def pictures(workspace: Workspace) -> pl.DataFrame:
    """pin_id, image_uri, event_timestamp, input_hash of the pins that have a picture, deleted pins left out.

    In the order of the hash: the first of pictures that look alike is then the same one, in one run or in many with a
    limit, and a limit takes pins of all ages. White space around a URI is none of it.
    """
    pins = (
        live_pins(workspace)
        .select("pin_id", pl.col("image_uri").str.strip_chars(), "event_timestamp")
        .filter(pl.col("image_uri").str.len_bytes() > 0)
        .sort("pin_id")
        .collect()
    )
    each = pins.select(pl.col("image_uri").unique(maintain_order=True))  # one file may be shown by many
    memory = workspace.root / "image_hashes.parquet"
    hashes = content_hashes(each["image_uri"].to_list(), base_folder(workspace), memory)
    named = each.with_columns(input_hash=pl.Series(hashes, dtype=pl.String))
    return pins.join(named, on="image_uri", how="left").sort("input_hash", "pin_id")


def _work(workspace: Workspace, settings: CaptionSettings, cluster: Cluster | None) -> Work:
    from enrich.captioning.describing import Saying
    from enrich.captioning.precision import precision, torch_device

    on = torch_device(settings.device) if cluster is None else cluster.device
    return Work(
        model=settings.model,
        device=str(on),
        dtype=precision(settings.dtype, on),
        saying=Saying(settings.beams, settings.prompt or None),
        batch_size=settings.batch_size,
        cut_loops=settings.cutting,
        base=base_folder(workspace),
        fetch=settings.fetching(),
        read_at_once=settings.job.batch_size,
    )
