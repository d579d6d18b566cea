"""What was measured once of models and machine: JSON in W/experiments/KIND/FINGERPRINT, found again by what made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from enrich import parts
from relevance import stages

_FILE = "measured.json"
T = TypeVar("T")


def remembered(room: Path, kind: str, of: tuple[object, ...], measure: Callable[[], Mapping[str, T]]) -> dict[str, T]:
    """What `measure` gives, by name; asked once for `of`, the things that it was made from."""
    made_from = stages.fingerprint(*of)
    folder = room / kind / made_from
    stages.make(folder, made_from, lambda out: parts.write_text(out / _FILE, json.dumps(measure())))
    found: dict[str, T] = json.loads((folder / _FILE).read_text())
    return found
