"""Large teachers on a GPU: pairs/s of training and labelling, their share of the chip's peak, QLoRA's memory.

    python -m benchmarks.gpu.teacher [--only xlm-r|llama] [--tiny] [--json [FILE]]

XLM-R-large, all of whose weights are taught, and a decoder of Llama-3-8B's shape, through QLoRA with gradient
checkpointing; weights are random (_shapes.py), for speed does not depend on them. Pairs are queries and texts of
benchmarks/_judged_pairs.py at random, at most 128 tokens. Both are taught by `train_teacher` and asked by
`Teacher.predict`, as `relevance train-teacher` and `label` do: rendering of texts included, padding counted as lost.
Training is timed over its second epoch, without the dev split and checkpoints. Where bitsandbytes is missing the
decoder is taught through LoRA in bf16, and the report says so.

`ours` is TFLOP/s in labelling, of the slower model; `rival` the chip's peak in bf16 by its data sheet, or, of a chip
that _chip.py does not know, what one large product reaches. Needs a CUDA GPU of 80 GB, 64 GB of memory, 40 GB of disk,
and `pip install -e '.[llm]'`; --tiny tries the same steps with tiny shapes, on a CPU too.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from transformers import AutoTokenizer, TrainerCallback
from transformers.utils import logging as transformers_logging

from benchmarks._judged_pairs import LONG, judged_pairs
from benchmarks._report import Mark, Report, finish, json_line
from benchmarks.gpu._chip import Chip, this_chip
from benchmarks.gpu._shapes import SHAPES, TINY, Shape
from enrich.errors import BadInput
from relevance.teacher import Teacher
from relevance.teaching.adapters import require
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.choices import Adapter
from relevance.teaching.rows import TeacherRows
from relevance.teaching.training import train_teacher
from relevance.text import Renderer, TextSettings, pair_texts

PACKAGES = ("torch", "transformers", "accelerate", "peft", "bitsandbytes")
LEAST_SHARE = 0.45  # of the peak, in labelling
TEXT = TextSettings()
DEV = 64  # judged pairs that choose the epoch: not timed
WARM_UP = 256  # pairs labelled before the clock is read


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["xlm-r", "llama"], help="one of the two models")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, to see that it runs; no mark is held")
    parser.add_argument("--json", nargs="?", const=True, metavar="FILE", help="the JSON line too; kept in FILE")
    flags = parser.parse_args(arguments)
    chip = this_chip()
    if chip.device.type == "cpu" and not flags.tiny:
        print("error: expected a CUDA GPU, found none; --tiny tries the same steps on a CPU", file=sys.stderr)
        return 2
    transformers_logging.disable_progress_bar()
    report = Report("gpu_teacher", "TFLOP/s", tuple(name for name in PACKAGES if find_spec(name)))
    report.figures |= {"chip": chip.name, "one large product, TFLOP/s": chip.reached}
    try:
        for shape in TINY if flags.tiny else SHAPES:
            if flags.only is None or flags.only in shape.name.lower():
                measured(report, shape, chip)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if flags.tiny:
        report.marks.clear()
    if isinstance(flags.json, str):
        Path(flags.json).write_text(json_line(report) + "\n")
    return finish(report, bool(flags.json))


class Speed(NamedTuple):
    pairs_per_second: float
    tflops: float
    peak_gb: float  # memory of the chip


def measured(report: Report, shape: Shape, chip: Chip) -> None:
    """Teach and ask one model; a line as soon as each is known, for the machine may be taken away."""
    adapter = _possible(shape.adapter)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape.write(folder / "backbone", chip.device)
        _free(chip)
        trained = taught(shape, adapter, chip, folder)
        _free(chip)
        labelled = asked(shape, chip, folder / "teacher")
        _free(chip)
    how = "all weights" if adapter is Adapter.NONE else str(adapter)
    for what, speed in ((f"training ({how})", trained), ("labelling", labelled)):
        report.figures |= {
            f"{shape.name}: {what}, pairs/s": speed.pairs_per_second,
            f"{shape.name}: {what}, TFLOP/s": speed.tflops,
            f"{shape.name}: {what}, share of the peak": speed.tflops / chip.peak,
            f"{shape.name}: {what}, share of one large product": speed.tflops / chip.reached,
            f"{shape.name}: {what}, GB at the peak": speed.peak_gb,
        }
        print(f"{shape.name}, {what}: {speed.pairs_per_second:,.4g} pairs/s, {speed.tflops:,.4g} TFLOP/s", flush=True)
    report.compare(labelled.tflops, chip.peak)
    report.marks.append(
        Mark(f"{shape.name}: labelling, share of the peak", labelled.tflops / chip.peak, f">= {LEAST_SHARE}")
    )


def taught(shape: Shape, adapter: Adapter, chip: Chip, folder: Path) -> Speed:
    """Train it for two epochs into `folder`/teacher."""
    settings = TeacherSettings(
        backbone=str(folder / "backbone"),
        text=TEXT,
        pooling=shape.pooling,
        adapter=adapter,
        gradient_checkpointing=adapter is not Adapter.NONE,
        batch_size=shape.batch_size,
        epochs=2,
    )
    rows, watch = pairs(shape.taught, 0), _LastEpoch(chip)
    train_teacher(rows, pairs(DEV, 1), settings, folder / "teacher", callbacks=[watch])
    operations = shape.training_operations(token_counts(folder / "backbone", rows), adapter)
    return Speed(shape.taught / watch.seconds, operations / watch.seconds / 1e12, watch.peak_gb)


def asked(shape: Shape, chip: Chip, folder: Path) -> Speed:
    """Have the teacher at `folder` label pairs."""
    rows, teacher = pairs(shape.asked, 2), Teacher.load(folder)
    teacher.predict(rows.queries[:WARM_UP], rows.pin_texts[:WARM_UP])
    chip.forget_peak()
    started = chip.now()
    teacher.predict(rows.queries, rows.pin_texts)
    seconds = chip.now() - started
    operations = shape.forward_operations(token_counts(folder, rows))
    return Speed(shape.asked / seconds, operations / seconds / 1e12, chip.peak_gb())


class _LastEpoch(TrainerCallback):
    """Seconds of the last epoch's steps, and the most memory that training took."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._started = 0.0
        self.seconds = 0.0
        self.peak_gb = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._chip.forget_peak()

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self._started = self._chip.now()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self.seconds = self._chip.now() - self._started
        self.peak_gb = self._chip.peak_gb()


def pairs(count: int, seed: int) -> TeacherRows:
    """Queries beside texts at random, with levels at random: what they say is of no matter, how long they are is."""
    (queries, texts), random = known_texts(), np.random.default_rng(seed)
    asked, shown = random.integers(0, len(queries), (2, count))
    return TeacherRows([queries[i] for i in asked], [texts[i] for i in shown], random.integers(1, 6, count))


@cache
def known_texts() -> tuple[list[str], list[str]]:
    """Queries, and texts of pins."""
    known = judged_pairs().rows
    return known["query"].to_list(), known[LONG].fill_null("").to_list()


def token_counts(folder: Path, rows: TeacherRows) -> list[int]:
    """Of each pair as the model at `folder` reads it."""
    renderer = Renderer(AutoTokenizer.from_pretrained(folder), TEXT)
    return [len(row.ids) for row in renderer.render(pair_texts(rows.queries, rows.pin_texts))]


def _possible(adapter: Adapter) -> Adapter:
    """LoRA in place of QLoRA where this machine cannot do that."""
    try:
        require(adapter)
    except BadInput as error:
        print(f"  {error}: taught through LoRA in bf16 instead", flush=True)
        return Adapter.LORA
    return adapter


def _free(chip: Chip) -> None:
    """Trainer and network refer to each other: without this the next model would find the chip full."""
    gc.collect()
    chip.forget_peak()


if __name__ == "__main__":
    sys.exit(main())
