"""What every benchmark prints: its figures and marks, the machine and the versions; with --json as one last line."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

FEATURE_STORE = ("feast", "duckdb", "ibis-framework", "polars", "pyarrow", "numpy", "redis")  # packages


class Mark(NamedTuple):
    """One figure and what it must be: `mark` is ">= 8" or "<= 10"."""

    name: str
    figure: float
    mark: str

    @property
    def met(self) -> bool:
        relation, bound = self.mark.split()
        return self.figure >= float(bound) if relation == ">=" else self.figure <= float(bound)


@dataclass(slots=True)
class Report:
    """Ours and the rival's figure (higher is better), their ratio at the worst store, every mark, and other figures."""

    name: str
    unit: str
    packages: tuple[str, ...] = FEATURE_STORE  # whose versions are told
    ours: float = 0.0
    rival: float = 0.0
    ratio: float = float("inf")
    marks: list[Mark] = field(default_factory=list)
    figures: dict[str, float | str] = field(default_factory=dict)

    def compare(self, ours: float, rival: float) -> None:
        """Keep the worst of the comparisons made."""
        if ours / rival < self.ratio:
            self.ours, self.rival, self.ratio = ours, rival, ours / rival


def finish(report: Report, as_json: bool) -> int:
    """Print it; the exit status, 1 where a mark is missed."""
    for name, figure in report.figures.items():
        print(f"  {name}: {figure if isinstance(figure, str) else f'{figure:,.4g}'}")
    for mark in report.marks:
        print(f"  {'met   ' if mark.met else 'MISSED'} {mark.name}: {mark.figure:,.4g} (mark {mark.mark})")
    print(f"{report.name}: {report.ours:,.4g} against {report.rival:,.4g} {report.unit}, {report.ratio:.2f} times")
    if as_json:
        print(json_line(report))
    return 0 if all(mark.met for mark in report.marks) else 1


def json_line(report: Report) -> str:
    """The report as one JSON object."""
    marks = {m.name: {"figure": m.figure, "mark": m.mark, "pass": m.met} for m in report.marks}
    details = {"marks": marks, **report.figures, "machine": machine(report.packages)}
    record = {"name": report.name, "ours": report.ours, "rival": report.rival, "ratio": report.ratio}
    return json.dumps({**record, "unit": report.unit, "details": details})


def machine(packages: Sequence[str]) -> dict[str, str | int | float]:
    """Processor, cores, memory, Python and the versions of what is measured."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    versions = {package: version(package) for package in packages}
    return {"cpu": cpu, "cores": cores, "memory_gib": round(memory, 1), "python": sys.version.split()[0], **versions}


def resident_mb() -> float:
    """Memory that this process holds now (Linux), MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb() -> float:
    """The most memory that this process ever held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def percentile(seconds: list[float], share: float) -> float:
    """Of the runs, in ms."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000
