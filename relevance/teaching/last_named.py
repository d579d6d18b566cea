"""How the teacher that serves was taught: `relevance run` goes on with it, and not with the defaults.

Reads W/models/teacher/teacher.json. `relevance train-teacher` names another: its flags say all.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from relevance.model_names import TEACHER_MODEL
from relevance.teaching.checkpoint import TeacherSettings, read_record
from relevance.text import TextSettings

_OF_THE_PLAN = "seed"  # --seed is of splits and sampling too


def last_named(models: Path) -> TeacherSettings | None:
    """The settings of the teacher in this folder of models; None where it has none.

    Raises BadInput where its record cannot be read.
    """
    folder = models / TEACHER_MODEL
    return read_record(folder).settings if (folder / "teacher.json").is_file() else None


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
