"""The chip under a benchmark: where it computes, its peak, what it really reaches, and the memory that was taken."""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

import torch

PUBLISHED = {"H100 80GB HBM3": 989.0, "H200": 989.0}  # TFLOP/s, dense bf16, of NVIDIA's data sheets; by part of a name
_SIDE, _SIDE_ON_CPU = 8_192, 256  # of the matrices that are multiplied
_TURNS = 10


class Chip(NamedTuple):
    """What timings are held against. TFLOP/s in bf16."""

    device: torch.device
    name: str
    published: float | None  # None: no data sheet is known here
    reached: float  # by one large product of random matrices

    @property
    def peak(self) -> float:
        return self.published or self.reached

    def wait(self) -> None:
        """Until all that was launched is done: a clock that is read before says nothing."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def now(self) -> float:
        """Seconds."""
        self.wait()
        return time.perf_counter()

    def forget_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_gb(self) -> float:
        """The most memory that tensors took since `forget_peak`; 0 on a CPU."""
        return torch.cuda.max_memory_allocated() / 1e9 if self.device.type == "cuda" else 0.0


def this_chip() -> Chip:
    """The first GPU, else the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "a CPU"
    published = next((peak for part, peak in PUBLISHED.items() if part in name), None)
    unmeasured = Chip(device, name, published, 0.0)
    return unmeasured._replace(reached=_reached(unmeasured))


def _reached(chip: Chip) -> float:
    side = _SIDE if chip.device.type == "cuda" else _SIDE_ON_CPU
    left, right = (torch.randn(side, side, device=chip.device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(_TURNS):
        started = chip.now()
        torch.mm(left, right)
        seconds.append(chip.now() - started)
    return 2 * side**3 / statistics.median(seconds) / 1e12
