"""Pictures described a second on a GPU: `enrich captions` end to end from JPEGs, against a plain transformers loop.

    python -m benchmarks.gpu.captions [--tiny] [--json [FILE]]

A BLIP of blip-image-captioning-base's size with random weights (benchmarks/_blip.py) says 20 tokens of each picture:
JPEGs of 0.3 to 1 megapixel, each file another one by its bytes, though a few hundred pictures are drawn. Ours is the
job, from files to rows of both tables, hashing included, in bf16, after a warm-up in which torch compiles both
networks; the rival is the model card's loop on the same chip (rivals/blip_loop.py), in fp32, one picture at a time.
Both sides without model loading. The share of the chip's peak counts the whole job's time.

Needs a CUDA GPU of 24 GB, 16 CPU cores beside it, 16 GB of memory and 4 GB of disk; --tiny tries the same steps with a
tiny model, on a CPU too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from benchmarks._blip import BASE, SMALL, TOKENS, Size, token_f1, write_blip, write_photographs
from benchmarks._report import Mark, Report, finish, json_line
from benchmarks.captions import catalogue
from benchmarks.gpu._chip import Chip, this_chip
from benchmarks.rivals.blip_loop import blip_loop
from enrich import parts
from enrich.captioner import Captioner
from enrich.captions import CaptionSettings, run_captions
from enrich.tables import PIN_CAPTION

PACKAGES = ("torch", "transformers", "pillow", "polars", "numpy")
LEAST_PER_SECOND, LEAST_RATIO = 1_500.0, 20.0
MEGAPIXELS = (0.3, 1.0)


class Scale(NamedTuple):
    """How many pictures are drawn, files written of them, pictures to warm up with, and asked of the rival."""

    drawn: int
    files: int
    warm_up: int
    rival: int


FULL, TINY = Scale(drawn=256, files=16_384, warm_up=2_560, rival=64), Scale(drawn=4, files=16, warm_up=8, rival=4)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to see that it runs; no mark is held")
    parser.add_argument("--json", nargs="?", const=True, metavar="FILE", help="the JSON line too; kept in FILE")
    flags = parser.parse_args(arguments)
    chip = this_chip()
    if chip.device.type == "cpu" and not flags.tiny:
        print("error: expected a CUDA GPU, found none; --tiny tries the same steps on a CPU", file=sys.stderr)
        return 2
    report = Report("gpu_captions", "pictures/s", PACKAGES)
    cores = float(os.cpu_count() or 1)
    report.figures |= {"chip": chip.name, "one large product, TFLOP/s": chip.reached, "cores": cores}
    with tempfile.TemporaryDirectory() as folder:
        measured(report, Path(folder), SMALL if flags.tiny else BASE, TINY if flags.tiny else FULL, chip)
    if flags.tiny:
        report.marks.clear()
    if isinstance(flags.json, str):
        Path(flags.json).write_text(json_line(report) + "\n")
    return finish(report, bool(flags.json))


def measured(report: Report, folder: Path, size: Size, scale: Scale, chip: Chip) -> None:
    """Both sides; a line as soon as each is known, for the machine may be taken away."""
    write_blip(folder / "blip", size)
    files = write_files(folder / "pictures", scale)
    ours, captions = job(folder, files, scale, chip)
    print(f"ours: {ours:,.4g} pictures/s", flush=True)
    rival, said = plain_loop(folder / "blip", files[: scale.rival], chip)
    print(f"rival: {rival:,.4g} pictures/s", flush=True)
    operations = size.vision_operations + size.text_operations
    report.compare(ours, rival)
    report.figures |= {
        "files": float(len(files)),
        "GFLOP a picture": operations / 1e9,
        "ours, TFLOP/s": ours * operations / 1e12,
        "ours, share of the peak": ours * operations / 1e12 / chip.peak,
        "ours, GB at the peak": chip.peak_gb(),
        "bf16 against the rival's fp32, token F1 of random weights": token_f1(captions[: len(said)], said),
    }
    report.marks += [
        Mark("pictures/s", ours, f">= {LEAST_PER_SECOND}"),
        Mark("ratio", report.ratio, f">= {LEAST_RATIO}"),
    ]


def job(folder: Path, files: Sequence[Path], scale: Scale, chip: Chip) -> tuple[float, list[str]]:
    """Pictures/s of `enrich captions` over all files, and what it says, in their order."""
    settings = CaptionSettings(str(folder / "blip"), device=chip.device.type, cut_loops=False)
    captioner = Captioner(settings.model, settings.device)
    with Image.open(files[0]) as first:
        one = captioner.prepare(first.convert("RGB"))
    captioner.describe(one for _ in range(scale.warm_up))
    workspace = catalogue(folder / "workspace", files, len(files))
    chip.forget_peak()
    started = chip.now()
    report = run_captions(workspace, settings, captioner)
    seconds = chip.now() - started
    if report.made != len(files):
        raise AssertionError(f"expected {len(files)} rows, found {report.made} made and {dict(report.failed)}")
    rows = parts.latest(workspace.folder(PIN_CAPTION), PIN_CAPTION).sort("pin_id")
    return len(files) / seconds, rows["caption"].to_list()


def plain_loop(folder: Path, files: Sequence[Path], chip: Chip) -> tuple[float, list[str]]:
    caption = blip_loop(folder, TOKENS, chip.device.type)
    caption(files[0])  # what is set up at first use is not measured
    chip.wait()
    started = time.perf_counter()
    said = [caption(path) for path in files]
    return len(files) / (chip.now() - started), said


def write_files(folder: Path, scale: Scale) -> list[Path]:
    """JPEGs, each of other bytes: what follows a picture's end is its number."""
    folder.mkdir()
    drawn = [path.read_bytes() for path in write_photographs(folder, scale.drawn, MEGAPIXELS)]
    files = []
    for number in range(scale.files):
        files.append(folder / f"file-{number:06}.jpg")
        files[-1].write_bytes(drawn[number % len(drawn)] + number.to_bytes(8, "big"))
    return files


if __name__ == "__main__":
    sys.exit(main())
