"""Reads the sample catalogue: data/sample, or another folder made by data/make_sample.py.

    enrich import sample data/sample

It is a native folder (native.py) that says of itself, in sample.json, that it is synthetic and how it was made. Its
latent_truth/ is not read: it holds what the models are to find out.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from enrich.errors import BadInput
from enrich.importers import native
from enrich.importers.raw import RawCatalogue
from enrich.workspace import REPOSITORY

DEFAULT = REPOSITORY / "data" / "sample"
_MANIFEST = "sample.json"


def load(path: Path = DEFAULT) -> RawCatalogue:
    """Every source table. Raises BadInput when `path` is no sample, or a file of it cannot be read."""
    manifest = path / _MANIFEST
    try:
        made = json.loads(manifest.read_text(encoding="utf-8"))
        note = f"synthetic: made by {made['made_by']} with seed {made['seed']}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"expected a sample made by data/make_sample.py at {path}, found no readable {_MANIFEST} there; "
            "make one with --out, or import another folder as native"
        ) from error
    found = native.load_folder(path)
    return replace(found, notes=(note, *found.notes))
