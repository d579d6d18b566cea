"""Writes the sample catalogue to a folder.

    DIR/TABLE.parquet     every source table (enrich/tables.py); image_uri is relative to DIR
    DIR/images/PIN.jpg    what each pin shows
    DIR/pages/            link pages, and index.json: what each URL answers (data/serve_pages.py serves it)
    DIR/latent_truth/     what the world really is, for simulations; no importer reads it
    DIR/README.md, DIR/sample.json    what this is and how it was made

The folder is made aside and then takes the old one's place.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.pictures.rendering import render
from data.pictures.scenes import SAMPLE_SEEDS
from data.sample_maker.page_html import respond
from data.sample_maker.pages import Web
from data.sample_maker.pins import Pin
from data.sample_maker.settings import SampleSettings
from data.sample_maker.tables import source_tables, truth_tables
from data.sample_maker.world import World, make_world
from enrich.errors import BadInput
from enrich.tables import Table

MANIFEST = "sample.json"
TRUTH = "latent_truth"
_JPEG_QUALITY = 82
_SEEDS_A_WORLD = 9_973  # distance between two worlds' picture seeds

_README = """\
# The sample catalogue

**This catalogue is synthetic.** No person wrote, searched, clicked or judged anything in it. It was made from
hand-written words (data/sample_maker/words/), painted scenes (data/pictures/) and chance, the same bytes for the same
seed and library versions, by

    {command}

Figures measured on it say that the system works, not how well it would do on a real catalogue.

Behind it stands a latent truth: what each picture shows (object, colour, material, setting, how many), what style or
occasion it is for, what each query wants. Levels follow from how much of the wish holds. Each field tells a part: four
titles in ten do not say what is shown and seven not its colour, the picture shows object, colour, material and setting,
boards and link pages tell style and occasion, the log tells what people took the pin for. Users see the results of a
mediocre ranker, look less at lower ones, click, save and hide with noise. Twenty-five annotators, each with a leaning
and slips, agree on about two pairs in three. The truth itself is in latent_truth/, which no importer reads; it is there
for simulations.

| table | rows |
|---|---|
{counts}

Pins by language: {languages}. {queries} queries, {judged} of them judged, on {pairs:,} pairs by three annotators each.
{pages} link pages (pages/index.json says what each URL answers; `python data/serve_pages.py` serves them on 127.0.0.1),
some redirected, gone, forbidden by robots.txt, in legacy charsets or broken, as on the web.

`python data/sample_check.py` measures coverage, agreement and how much each field tells.
"""


def write_sample(settings: SampleSettings, out: Path) -> None:
    """Make the sample in `out`. Raises BadInput when `out` holds something that is no sample."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / MANIFEST).is_file():
        raise BadInput(f"expected {out} to be empty or an earlier sample, found other files; name another with --out")
    aside = out.with_name(f".{out.name}.making")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    world = make_world(settings)
    made = source_tables(settings.seed, world)
    _write_tables(aside, {table.name: rows for table, rows in made.items()})
    _write_tables(aside / TRUTH, truth_tables(world))
    _write_images(aside / "images", settings, world.pins)
    _write_pages(aside / "pages", settings.seed, world.web)
    (aside / "README.md").write_text(_readme(settings, world, made), encoding="utf-8")
    manifest = {"made_by": "data/make_sample.py", "seed": settings.seed, "pins": settings.pins}
    (aside / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    aside.rename(out)


def _write_tables(folder: Path, made: dict[str, pa.Table]) -> None:
    folder.mkdir(exist_ok=True)
    for name, rows in made.items():
        pq.write_table(rows, folder / f"{name}.parquet", compression="zstd")


def _write_images(folder: Path, settings: SampleSettings, pins: Sequence[Pin]) -> None:
    folder.mkdir()
    for i, pin in enumerate(pins):
        seed = SAMPLE_SEEDS[(settings.seed * _SEEDS_A_WORLD + i) % len(SAMPLE_SEEDS)]
        image = render(pin.scene, seed, settings.image_size)
        image.save(folder / f"{pin.pin_id}.jpg", quality=_JPEG_QUALITY, optimize=True)


def _write_pages(folder: Path, seed: int, web: Web) -> None:
    """A file a page, and the index: pages (URL -> status, file, content_type, location) and robots (host -> text)."""
    folder.mkdir()
    pages: dict[str, dict[str, object]] = {}
    for address in web.addresses:
        entry: dict[str, object] = {"status": address.status}
        if address.page is not None:
            response = respond(seed, address.page)
            name = f"{len(pages):04d}.html"
            (folder / name).write_bytes(response.body)
            entry |= {"file": name, "content_type": response.content_type}
        if address.location:
            entry["location"] = address.location
        pages[address.url] = entry
    index = {"pages": pages, "robots": web.robots}
    (folder / "index.json").write_text(json.dumps(index, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


def _readme(settings: SampleSettings, world: World, made: dict[Table, pa.Table]) -> str:
    default = settings == SampleSettings()
    languages = Counter(pin.lang for pin in world.pins).most_common()
    return _README.format(
        command="python data/make_sample.py" + ("" if default else f" --seed {settings.seed} --pins {settings.pins}"),
        languages=", ".join(f"{lang} {n}" for lang, n in languages),
        queries=len(world.queries),
        judged=len({pair.query for pair in world.judged}),
        pairs=len(world.judged),
        pages=sum(address.page is not None for address in world.web.addresses),
        counts="\n".join(f"| {table.name} | {rows.num_rows:,} |" for table, rows in made.items()),
    )
