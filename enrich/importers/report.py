"""What an import kept and what it dropped, by reason; stored as W/import.json, shown by `enrich status`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from enrich import parts
from enrich.errors import BadInput
from enrich.records import to_json
from enrich.workspace import Workspace

ZERO_POSITION = "zero-position"  # why a position was blanked
NESTED = "nested-"  # with a column: why an object or a list was left out


@dataclass(frozen=True, slots=True)
class TableReport:
    """One source table: rows kept, rows dropped by reason, values of kept rows blanked by reason."""

    table: str
    kept: int
    dropped: Counter[str]
    blanked: Counter[str]

    def notes(self) -> Iterator[str]:
        """What its counts may mean, and what to do."""
        zeros = self.blanked[ZERO_POSITION]
        if zeros:
            yield (
                f"{self.table}.position: 0 in {zeros:,} rows, taken as unknown, for positions count from 1; "
                "where 0 is the top, add 1 to all"
            )
        for reason, count in sorted((self.dropped + self.blanked).items()):
            if reason.startswith(NESTED):
                column = f"{self.table}.{reason.removeprefix(NESTED)}"
                yield f"{column}: {count:,} objects or lists are left out; flatten, or name a field: --map {column}=A.B"


@dataclass(frozen=True, slots=True)
class ImportReport:
    format: str
    origin: str
    tables: tuple[TableReport, ...]
    notes: tuple[str, ...]

    def save(self, workspace: Workspace) -> None:
        parts.write_text(workspace.root / "import.json", to_json(self, indent=1) + "\n")

    @classmethod
    def load(cls, workspace: Workspace) -> ImportReport | None:
        """The last import's report; None where the workspace has none. Raises BadInput where it is damaged."""
        path = workspace.root / "import.json"
        if not path.is_file():
            return None
        try:
            return cls._of(json.loads(path.read_text()))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInput(
                f"expected the last import's counts in {path}, found it damaged; remove it, or import again"
            ) from error

    @classmethod
    def _of(cls, stored: dict[str, Any]) -> ImportReport:
        tables = tuple(
            TableReport(table["table"], table["kept"], Counter(table["dropped"]), Counter(table["blanked"]))
            for table in stored["tables"]
        )
        return cls(stored["format"], stored["origin"], tables, tuple(stored["notes"]))

    def lines(self) -> list[str]:
        """The report in plain text, a line a fact."""
        found = [f"imported {self.format} from {self.origin}"]
        for table in self.tables:
            found.append(f"  {table.table}: {table.kept:,} rows")
            found += [f"    dropped {reason}: {count:,}" for reason, count in sorted(table.dropped.items())]
            found += [f"    blanked {reason}: {count:,}" for reason, count in sorted(table.blanked.items())]
        return found + [f"  note: {note}" for note in self.notes]
