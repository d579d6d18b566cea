"""What an export may write: what is not there yet, and what a former export wrote.

DIR/.corkboard-export has the names of the files and folders that exports made in DIR, a line each; it is written before
they are, so that an export that was killed is gone on with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from enrich import parts
from enrich.errors import BadInput

MARKER = ".corkboard-export"


def claim(folder: Path, names: Iterable[str]) -> None:
    """Make the folder, and these names in it an export's.

    Raises BadInput, with nothing written, where one of them is there and no export wrote it.
    """
    marker, wanted = folder / MARKER, set(names)
    ours = set(marker.read_text(encoding="utf-8").splitlines()) if marker.is_file() else set()
    if others := sorted(name for name in wanted - ours if os.path.lexists(folder / name)):
        raise BadInput(
            f"expected no {', '.join(others)} in {folder} but what an export wrote there, found others'; move them, or "
            "name another DIR"
        )
    folder.mkdir(parents=True, exist_ok=True)
    parts.write_text(marker, "".join(f"{name}\n" for name in sorted(wanted | ours)))
