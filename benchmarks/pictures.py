"""What a large JPEG costs loaded small, and whether pictures that look alike are told from those that do not.

    python -m benchmarks.pictures [--json] [--megapixels N] [--prints N]

A JPEG of 40 megapixels (soft shapes and grain, quality 85, baseline and progressive) brought to 384 × 384: `load_image`
with `at_least` against Pillow's own decoding, as its documentation shows; processor seconds, the best of five. Twins:
all pairs of the sample's pictures, a scene's pictures that differ in one thing, and each recompressed and resized.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from benchmarks._report import Mark, Report, finish, peak_mb
from data.pictures import rendering
from data.pictures.scenes import COLOURS, Scene, draw_scene
from enrich.hamming_index import HammingIndex
from enrich.images import load_image
from enrich.picture_prints import PicturePrint, one_picture, picture_print
from enrich.workspace import REPOSITORY

SIZE = (384, 384)
MAX_SHARE = 1 / 3  # of Pillow's full decode
MIN_PSNR = 36.0  # dB, shrunk small against shrunk whole
MIN_RECALL = 0.85  # of every kind of copy, at 300 pixels
MAX_LOOKUP_MS = 1.0
_PASSES = 5
_SCENES = 60
_BICUBIC = Image.Resampling.BICUBIC


def photograph(megapixels: float) -> Image.Image:
    """Soft shapes of every size, as photographs have them, and the grain of a sensor."""
    width, height = (round((megapixels * 1e6 * share) ** 0.5) for share in (3 / 2, 2 / 3))
    rng = np.random.default_rng(0)
    light = np.zeros((height, width, 3), np.float32)
    for octave in range(12):
        step = 2**octave
        coarse = rng.normal(0, 1, (height // step + 2, width // step + 2, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(np.ascontiguousarray(coarse[..., channel])).resize((width, height), _BICUBIC)
            light[..., channel] += step**0.9 * np.asarray(layer)
    light = (light - light.mean()) * (45 / light.std()) + rng.normal(0, 4, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(light + 128, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    stored = BytesIO()
    image.save(stored, "JPEG", **options)
    return stored.getvalue()


def seconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(_PASSES):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def pillow(data: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB")


def psnr(one: Image.Image, other: Image.Image) -> float:
    error = float(np.square(np.asarray(one, np.float64) - np.asarray(other, np.float64)).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def measure_loading(report: Report, megapixels: float) -> None:
    image = photograph(megapixels)
    for kind, options in (("baseline", {}), ("progressive", {"progressive": True})):
        data = jpeg(image, quality=85, **options)
        small = seconds(partial(load_image, data, at_least=SIZE))
        whole = seconds(partial(pillow, data))
        shrunk = (picture.resize(SIZE, _BICUBIC) for picture in (load_image(data, at_least=SIZE), pillow(data)))
        report.compare(1 / small, 1 / whole)
        report.marks += [
            Mark(f"{kind}: share of the full decode", small / whole, f"<= {MAX_SHARE:.3f}"),
            Mark(f"{kind}: PSNR, dB", psnr(*shrunk), f">= {MIN_PSNR}"),
        ]
        report.figures[f"{kind}, MB and seconds small"] = f"{len(data) / 1e6:.1f} MB, {small:.3f} s"


# ---- twins


def copies(image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    for kind, options in (
        ("JPEG 90", {"quality": 90}),
        ("JPEG 60", {"quality": 60}),
        ("WebP 80", {"format": "WEBP", "quality": 80}),
        ("twice the size", {"scale": 2.0}),
        ("three quarters", {"scale": 0.75}),
        ("half", {"scale": 0.5}),
    ):
        settings: dict[str, object] = dict(options)
        scale = float(str(settings.pop("scale", 1.0)))
        stored = BytesIO()
        size = (round(image.width * scale), round(image.height * scale))
        image.resize(size, _BICUBIC).save(stored, str(settings.pop("format", "JPEG")), **settings)
        yield kind, load_image(stored.getvalue())


def others(scene: Scene, rng: np.random.Generator) -> Iterator[Scene]:
    yield scene._replace(count=scene.count % 3 + 1)
    yield scene._replace(colour=str(rng.choice([colour.name for colour in COLOURS if colour.name != scene.colour])))


def merged(prints: list[PicturePrint]) -> int:
    index = HammingIndex(np.array([one.hash for one in prints], np.uint64))
    pairs = ((at, other) for at, one in enumerate(prints) for other in index.near(one.hash) if other > at)
    return sum(one_picture(prints[at], prints[other]) for at, other in pairs)


def measure_twins(report: Report, known: int) -> None:
    files = sorted((REPOSITORY / "data" / "sample" / "images").glob("*.jpg"))
    report.marks.append(
        Mark("sample's pictures merged", merged([picture_print(load_image(f.read_bytes())) for f in files]), "<= 0")
    )
    rng, wrong, found = np.random.default_rng(0), 0, dict[str, list[bool]]()
    for seed in range(_SCENES):
        scene = draw_scene(rng)
        image = rendering.render(scene, seed, 300)
        seen = picture_print(image)
        wrong += sum(one_picture(seen, picture_print(rendering.render(o, seed, 300))) for o in others(scene, rng))
        for kind, copy in copies(image):
            found.setdefault(kind, []).append(one_picture(seen, picture_print(copy)))
    report.marks.append(Mark("scenes with another count or colour merged", wrong, "<= 0"))
    report.marks += [Mark(f"recall, {kind}", sum(hits) / _SCENES, f">= {MIN_RECALL}") for kind, hits in found.items()]
    index = HammingIndex(rng.integers(0, 2**64, known, dtype=np.uint64))
    asked = rng.integers(0, 2**64, 1_000, dtype=np.uint64).tolist()
    lookup = seconds(lambda: [index.near(one) for one in asked])
    report.marks.append(Mark(f"milliseconds to look among {known:,}", lookup, f"<= {MAX_LOOKUP_MS}"))
    image = rendering.render(draw_scene(rng), 0, 576)
    report.figures["milliseconds a print, of 576 × 576"] = 1_000 * seconds(lambda: picture_print(image))


def main() -> int:
    parser = argparse.ArgumentParser(description="Large JPEGs loaded small; pictures that look alike.")
    parser.add_argument("--megapixels", type=float, default=40.0, help="of the JPEG")
    parser.add_argument("--prints", type=int, default=1_000_000, help="known when a picture is looked up")
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    arguments = parser.parse_args()
    report = Report("pictures", "pictures/s", ("pillow", "numpy"))
    measure_loading(report, arguments.megapixels)
    measure_twins(report, arguments.prints)
    report.figures["peak memory, MB"] = peak_mb()
    return finish(report, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
