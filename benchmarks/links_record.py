"""What a benchmark of links ends with: one JSON object, its marks, and the exit status that they make."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple


class Mark(NamedTuple):
    """One figure and what it must be: at least `mark`, or, where `most`, at most."""

    name: str
    figure: float
    mark: float
    most: bool = False

    @property
    def passed(self) -> bool:
        return self.figure <= self.mark if self.most else self.figure >= self.mark


def finish(name: str, ours: float, rival: float, unit: str, marks: Sequence[Mark], packages: Sequence[str]) -> int:
    """Print the record as the last line; 0 where every mark is met, else 1."""
    met = [{"name": m.name, "figure": round(m.figure, 4), "mark": m.mark, "pass": m.passed} for m in marks]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    versions = {package: version(package) for package in packages}
    record = {
        **{"name": name, "ours": round(ours, 2), "rival": round(rival, 2), "ratio": round(ours / rival, 3)},
        **{"unit": unit, "details": {"marks": met, "machine": machine, "versions": versions}},
    }
    print(json.dumps(record), flush=True)
    return 0 if all(mark.passed for mark in marks) else 1
