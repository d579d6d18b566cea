"""Pictures described a second: `enrich captions` against a plain transformers loop; what it costs, and agreement.

    python -m benchmarks.captions [--small] [--json]

Both sides hold the same weights (random ones, of blip-image-captioning-base's size: benchmarks/_blip.py), read the
same 64 JPEGs of 0.3 to 12 megapixels from disk and say exactly 20 tokens of each. The rival runs as the model's card
shows: processor and `generate`, fp32, one picture at a time (rivals/blip_loop.py). Ours is the job, and the tables that
it reads and writes; models are loaded before the clock is read. Each side has a process of its own, and the median of
its turns counts. Then: the same words in float32, token for token; in bf16 token F1, of these weights, whose every word
hangs on all before it, and of the captioner that ships, which was taught; the stages one by one on one core; and the
most memory that 100,000 pins with the same pictures take.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from PIL import Image

from benchmarks._blip import BASE, SMALL, TOKENS, Size, token_f1, write_blip, write_photographs
from benchmarks._report import Mark, Report, finish, peak_mb
from benchmarks.rivals.blip_loop import blip_loop
from enrich import parts
from enrich.captioner import Captioner
from enrich.captions import DEFAULT_MODEL, CaptionSettings, run_captions
from enrich.images import load_image
from enrich.matrices import Matrix, fast_dtype
from enrich.tables import PIN_CAPTION, PINS
from enrich.workspace import REPOSITORY, Catalogue, Workspace

PACKAGES = ("torch", "transformers", "pillow", "polars", "numpy")
CPU = torch.device("cpu")
TURNS = 3  # of our side, whose turns are short
MEGAPIXELS = (0.3, 12.0)
PICTURES, SMALL_PICTURES = 64, 8
PINS_IN_MEMORY, SMALL_PINS = 100_000, 2_000
MOST_MEGABYTES = 3_000.0
FEWEST_ALIKE = 0.95  # token F1 of bf16 with float32
OURS, EXACT, RIVAL, MANY, STAGES = "ours", "float32", "rival", "many", "stages"  # the sides
_SIDE = 2_048  # of the matrices whose product is a core's peak


class Ran(NamedTuple):
    """A side's pictures/s, the median of its turns; its captions, in the pictures' order; and other figures."""

    pictures_per_second: float
    captions: list[str]
    figures: dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description="Pictures described a second, against a plain transformers loop.")
    parser.add_argument("--small", action="store_true", help="a small model and few pictures, to see that it runs")
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    parser.add_argument("--side", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    size = SMALL if flags.small else BASE
    if flags.side:
        run_side(flags.side[0], Path(flags.side[1]), size, flags.small)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        write_blip(folder / "blip", size)
        write_photographs(folder / "pictures", SMALL_PICTURES if flags.small else PICTURES, MEGAPIXELS)
        sides = [side(one, folder, flags.small) for one in (OURS, EXACT, RIVAL, MANY, STAGES)]
    ours, exact, rival, many, stages = sides
    report = Report("captions", "pictures/s", PACKAGES)
    report.compare(ours.pictures_per_second, rival.pictures_per_second)
    narrow = fast_dtype(CPU) is torch.bfloat16
    equal = sum(one == other for one, other in zip(exact.captions, rival.captions, strict=True)) / len(rival.captions)
    report.figures |= {
        "ours computes in": str(fast_dtype(CPU)).removeprefix("torch."),
        "float32, ratio": exact.pictures_per_second / rival.pictures_per_second,
        "GFLOP a picture": (size.vision_operations + size.text_operations) / 1e9,
        "bf16 against float32, token F1 of random weights": token_f1(ours.captions, exact.captions),
        **stages.figures,
    }
    report.marks = [
        Mark("ratio", report.ratio, f">= {4 if narrow else 2}"),
        Mark("float32, captions equal to transformers' token for token, share", equal, ">= 1"),
        Mark(
            "bf16 against float32, token F1 of the shipped captioner", shipped_alike(flags.small), f">= {FEWEST_ALIKE}"
        ),
        Mark(f"most MB for {int(many.figures['pins']):,} pins", many.figures["megabytes"], f"<= {MOST_MEGABYTES}"),
    ]
    if flags.small:
        report.marks = report.marks[1:]  # of a small model most of the time is not the model's
    return finish(report, flags.json)


def side(name: str, folder: Path, small: bool) -> Ran:
    """Measured in a process of its own, so that no side gains or loses by what another set."""
    arguments = ["--side", name, str(folder), *(["--small"] if small else [])]
    subprocess.run([sys.executable, "-m", "benchmarks.captions", *arguments], check=True)
    return Ran(*json.loads((folder / f"{name}.json").read_text()))


def run_side(name: str, folder: Path, size: Size, small: bool) -> None:
    pictures = sorted((folder / "pictures").glob("*.jpg"))
    match name:
        case "rival":
            ran = plain_loop(folder, pictures)
        case "many":
            ran = many_pins(folder, pictures, SMALL_PINS if small else PINS_IN_MEMORY)
        case "stages":
            ran = Ran(0.0, [], stage_figures(folder, pictures[:: max(1, len(pictures) // 16)], size))
        case _:
            turns = TURNS if name == OURS and not small else 1
            ran = job(folder, pictures, turns, "float32" if name == EXACT else None)
    (folder / f"{name}.json").write_text(json.dumps(ran))


def plain_loop(folder: Path, pictures: Sequence[Path]) -> Ran:
    caption = blip_loop(folder / "blip", TOKENS)
    caption(pictures[0])  # what is set up at first use is not measured
    started = time.perf_counter()
    captions = [caption(path) for path in pictures]
    return Ran(len(pictures) / (time.perf_counter() - started), captions, {})


def job(folder: Path, pictures: Sequence[Path], turns: int, dtype: str | None) -> Ran:
    """`enrich captions` over a new workspace, as many times."""
    settings = CaptionSettings(str(folder / "blip"), dtype=dtype, cut_loops=False)
    captioner = Captioner(settings.model, dtype=dtype)
    with Image.open(pictures[0]) as first:
        captioner.caption([first.convert("RGB")])
    seconds, captions = [], list[str]()
    for turn in range(turns):
        workspace = catalogue(folder / f"{dtype}-{turn}", pictures, len(pictures))
        started = time.perf_counter()
        run_captions(workspace, settings, captioner)
        seconds.append(time.perf_counter() - started)
        captions = parts.latest(workspace.folder(PIN_CAPTION), PIN_CAPTION).sort("pin_id")["caption"].to_list()
    return Ran(len(pictures) / statistics.median(seconds), captions, {})


def many_pins(folder: Path, pictures: Sequence[Path], pins: int) -> Ran:
    """The job over so many pins that show the same few pictures: what it holds at its most, loading included."""
    workspace = catalogue(folder / "many", pictures, pins)
    report = run_captions(workspace, CaptionSettings(str(folder / "blip")))
    if report.made != pins:
        raise AssertionError(f"expected {pins} rows, found {report.made} made and {dict(report.failed)}")
    return Ran(0.0, [], {"pins": pins, "megabytes": peak_mb()})


def catalogue(folder: Path, pictures: Sequence[Path], pins: int) -> Workspace:
    workspace = Workspace.at(folder)
    workspace.create(Catalogue("native", "benchmark"))
    shown = [str(pictures[number % len(pictures)]) for number in range(pins)]
    rows = {"pin_id": [f"{n:07}" for n in range(pins)], "image_uri": shown, "created_at": [datetime.now(UTC)] * pins}
    parts.append(workspace.folder(PINS), PINS, pa.table(rows))
    return workspace


def shipped_alike(small: bool) -> float:
    """Token F1 of bf16 with float32, of the captioner that ships over the sample's pictures."""
    paths = sorted((REPOSITORY / "data" / "sample" / "images").glob("*.jpg"))[: 40 if small else 400]
    said = []
    for dtype in ("bfloat16", "float32"):
        captioner = Captioner(str(DEFAULT_MODEL), "cpu", dtype)
        said.append(captioner.caption(load_image(path.read_bytes()) for path in paths))
    return token_f1(*said)


# ---- stage by stage, on one core


def stage_figures(folder: Path, pictures: Sequence[Path], size: Size) -> dict[str, float]:
    """Seconds a picture of each stage, its share, and what of a core's peak the two networks reach."""
    torch.set_num_threads(1)
    captioner = Captioner(str(folder / "blip"), "cpu")
    blip: Any = captioner._model  # its stages, which nobody else calls apart
    data = [path.read_bytes() for path in pictures]
    with torch.inference_mode():
        images, decoding = _timed(lambda: [load_image(one, at_least=captioner.at_least) for one in data])
        prepared, preparing = _timed(lambda: [captioner.prepare(image) for image in images])
        pixels = blip._pixels.values(prepared, CPU)
        states, seeing = _timed(lambda: blip.vision(pixels))
        _, saying = _timed(lambda: blip.text(states, blip._prompt, TOKENS))
    seconds = {"decode": decoding, "prepare": preparing, "vision": seeing, "text": saying}
    made = {f"{name}, ms of a core a picture": 1000 * one / len(pictures) for name, one in seconds.items()}
    made |= {f"{name}, share": one / sum(seconds.values()) for name, one in seconds.items()}
    peak = peak_operations(captioner.dtype)
    operations = {"vision": size.vision_operations, "text": size.text_operations}
    made |= {
        f"{name}, share of a core's peak": operations[name] * len(pictures) / seconds[name] / peak
        for name in operations
    }
    return made | {"a core's peak by one product, GFLOP/s": peak / 1e9}


def peak_operations(dtype: torch.dtype) -> float:
    """Operations a second of one large product on one core."""
    rows, product = torch.randn(_SIDE, _SIDE).to(dtype), Matrix(torch.randn(_SIDE, _SIDE), torch.zeros(_SIDE), dtype)
    return 2 * _SIDE**3 / min(_timed(lambda: product(rows))[1] for _ in range(5))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    work()
    started = time.perf_counter()
    made = work()
    return made, time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
