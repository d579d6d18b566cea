"""Which snapshots of a table were written, and of what: TABLE/snapshots.json, by `snapshots.py`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from enrich import parts

_FILE = "snapshots.json"


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """What the manifest keeps of one written snapshot."""

    producer: str
    input_hash: str
    rows: int
    dropped: dict[str, int] = field(default_factory=dict)
    closes: bool = False  # it was due once, and says again what stands since the one before it


def read(folder: Path) -> dict[datetime, SnapshotRecord]:
    """The written snapshots of the table in `folder`, by time. A manifest that cannot be read is as good as none."""
    try:
        raw = json.loads((folder / _FILE).read_text())
        return {datetime.fromisoformat(at): SnapshotRecord(**record) for at, record in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # then every snapshot is computed again, over its own part


def write(folder: Path, manifest: dict[datetime, SnapshotRecord]) -> None:
    """As `read` gives it; the file is replaced whole."""
    lines = {at.isoformat(): asdict(record) for at, record in sorted(manifest.items())}
    parts.write_text(folder / _FILE, json.dumps(lines, indent=1) + "\n")
