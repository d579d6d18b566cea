"""The ranking settings of a workspace: W/models/ranking.json, written by `relevance tune-ranking` or by hand.

`relevance rank` and `relevance serve` rank by them; without the file by the usual ones of ranking.py.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from enrich import parts
from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance.ranking import RankSettings, UtilityWeights


def chosen_path(workspace: Workspace) -> Path:
    return workspace.models / "ranking.json"


def chosen_settings(workspace: Workspace) -> RankSettings:
    """Raises BadInput for a file that holds no settings."""
    path = chosen_path(workspace)
    if not path.is_file():
        return RankSettings()
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))["settings"]
        return RankSettings(UtilityWeights(**raw["weights"]), raw["floor"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"expected weights and a floor in {path}, found none ({error}); run `relevance tune-ranking` or remove it"
        ) from error


def choose(workspace: Workspace, settings: RankSettings, found: dict[str, object]) -> None:
    """Write the settings, and beside them what they were chosen for."""
    content = {"settings": asdict(settings), "found": found}
    parts.write_text(chosen_path(workspace), json.dumps(content, indent=1, default=str) + "\n")
