"""Where a log lies that stays where it is: hive-partitioned or plain parquet in a folder, local or s3:.

W/log.json says where (`enrich import native DIR --log URI`); W/sources/engagements is then empty, and each run reads
the log itself (`log_rows.py`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from enrich import parts
from enrich.mapped_columns import NO_MAPPING, Mapping

_RECORD = "log.json"


@dataclass(frozen=True, slots=True)
class LogInPlace:
    uri: str  # a folder of parquet, or a pattern
    mapping: Mapping = NO_MAPPING

    @property
    def path(self) -> str:
        return self.uri.removeprefix("file://")

    @property
    def pattern(self) -> str:
        return f"{self.path.rstrip('/')}/**/*.parquet" if self.is_folder else self.path

    @property
    def is_folder(self) -> bool:
        return not self.path.endswith(".parquet")

    @property
    def folder(self) -> str:
        """The folder under which those named `name=value` give columns."""
        return self.pattern.partition("*")[0].rpartition("/")[0]

    @property
    def is_remote(self) -> bool:
        return "://" in self.path


def load(root: Path) -> LogInPlace | None:
    """Where the workspace's log lies; None where it was copied in."""
    path = root / _RECORD
    if not path.is_file():
        return None
    stored = json.loads(path.read_text())
    return LogInPlace(stored["uri"], Mapping.of(stored["mapping"]["columns"], stored["mapping"]["events"]))


def save(root: Path, log: LogInPlace | None) -> None:
    """Remember it; None forgets."""
    if log is None:
        (root / _RECORD).unlink(missing_ok=True)
    else:
        parts.write_text(root / _RECORD, json.dumps(asdict(log), indent=1) + "\n")
