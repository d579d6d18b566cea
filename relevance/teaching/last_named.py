"""How the teacher last named was taught, or was being taught: `relevance run` goes on with it, not with the defaults.

Reads W/models/teacher/teacher.json, and begun.json, written as training begins, of one that a kill left unfinished.
`relevance train-teacher` names another: its flags say all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

from enrich import parts
from enrich.errors import BadInput
from relevance import stages
from relevance.model_names import TEACHER_MODEL
from relevance.teaching.checkpoint import TeacherSettings, read_record, settings_of
from relevance.text import TextSettings

_OF_THE_PLAN = "seed"  # --seed is of splits and sampling too
_BEGUN = "begun.json"


def begin(folder: Path, settings: TeacherSettings) -> None:
    """Keep in the unfinished teacher's folder how it is being taught."""
    folder.mkdir(parents=True, exist_ok=True)
    parts.write_text(folder / _BEGUN, json.dumps(asdict(settings)) + "\n")


def end(folder: Path) -> None:
    """The teacher is finished, and says so itself."""
    (folder / _BEGUN).unlink(missing_ok=True)


def last_named(models: Path) -> TeacherSettings | None:
    """The settings of the teacher in this folder of models, or of one begun since, be it a fold's; None without any.

    Raises BadInput where they cannot be read.
    """
    finished = models / TEACHER_MODEL / "teacher.json"
    folders = [models, *models.glob("folds/*")]
    begun = [one / _BEGUN for folder in folders for one in stages.unfinished(folder / TEACHER_MODEL)]
    there = [one for one in (*begun, finished) if one.is_file()]
    newest = max(there, key=lambda one: one.stat().st_mtime, default=None)
    if newest is None:
        return None
    return read_record(newest.parent).settings if newest == finished else _read(newest)


def _read(path: Path) -> TeacherSettings:
    try:
        return settings_of(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"expected in {path} how a teacher is being taught, found what cannot be read ({type(error).__name__}: "
            f"{error}); remove {path.parent}"
        ) from error


def in_words(settings: TeacherSettings) -> str:
    """What of the settings is not the default, as "backbone xlm-roberta-base, adapter lora"; "" where all is."""
    default = TeacherSettings()
    named = [(field.name, getattr(settings, field.name), getattr(default, field.name)) for field in fields(settings)]
    other = [(name, value) for name, value, usual in named if value not in (None, usual) and name != _OF_THE_PLAN]
    return ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in other)


def _short(value: object) -> str:
    if isinstance(value, TextSettings):
        return f"{'+'.join(budget.field for budget in value.fields)} in {value.max_tokens} tokens"
    return str(value)
