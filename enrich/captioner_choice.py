"""Which captioner a workspace's captions are made by: the last one named to it, until another is named.

Reads and writes W/captioner.json: what decides what is said (model, dtype, beams, prompt, whether loops are cut and
look-alikes described once). `enrich captions` and `enrich run` go on with it where they name no other, so that a run
by the clock does not make a catalogue's captions anew with the sample's captioner. Removing the file brings the default
back.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from enrich import parts
from enrich.caption_settings import DEFAULT_MODEL, CaptionSettings
from enrich.errors import BadInput
from enrich.workspace import Workspace

FILE = "captioner.json"
_KEPT: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "dtype": (str,),
    "beams": (int,),
    "prompt": (str,),
    "cut_loops": (bool,),
    "twins": (bool,),
}


def last_named(workspace: Workspace) -> CaptionSettings:
    """The settings of the last run, as far as they decide what is said; the defaults before the first.

    Raises BadInput where the file is none of ours.
    """
    path = workspace.root / FILE
    if not path.is_file():
        return CaptionSettings()
    try:
        said = json.loads(path.read_text("utf-8"))
        known = {name: said[name] for name in _KEPT}
    except (ValueError, LookupError, TypeError) as error:
        raise _foreign(path) from error
    if not all(value is None or type(value) in _KEPT[name] for name, value in known.items()):
        raise _foreign(path)
    default = CaptionSettings()
    return replace(default, **{name: value for name, value in known.items() if value is not None})


def keep(workspace: Workspace, settings: CaptionSettings) -> None:
    """Remember what was named; a folder by its full path, the default captioner as none."""
    named = {name: getattr(settings, name) for name in _KEPT}
    folder = Path(settings.model).expanduser().resolve()
    if folder.is_dir():
        named["model"] = None if folder == DEFAULT_MODEL.resolve() else str(folder)
    said = json.dumps(named, indent=1) + "\n"
    path = workspace.root / FILE
    if not path.is_file() or path.read_text("utf-8", errors="replace") != said:
        parts.write_text(path, said)


def in_words(settings: CaptionSettings) -> str:
    """As a person would name it."""
    said = [str(settings.model)]
    said += [f"--dtype {settings.dtype}"] if settings.dtype else []
    said += [f"--beams {settings.beams}"] if settings.beams > 1 else []
    said += [f"--prompt {settings.prompt!r}"] if settings.prompt else []
    return " ".join(said)


def _foreign(path: Path) -> BadInput:
    return BadInput(f"expected the captioner last named in {path}, found another file; remove it, and name --model")
