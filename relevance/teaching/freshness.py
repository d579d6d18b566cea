"""Whether a finished teacher is of the backbone that is named: it is known by its files, not by where they lie.

Other files under a folder's name are another backbone. The same files at another place are not, and a finished teacher
does not miss a folder that is gone. A hub's new commit is no other backbone, nor is another release of the installed
one: neither undoes hours of training. Reads the finished teacher's record (checkpoint.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from enrich.errors import BadInput
from relevance import stages
from relevance.teaching.checkpoint import TeacherRecord, TeacherSettings, read_record


def teacher_made_from(
    folder: Path, chosen: TeacherSettings, files: str | None, inputs: Callable[[TeacherSettings], str]
) -> str:
    """The fingerprint of a teacher's inputs, its backbone's files among them; of what is in `folder`, if that is fresh.

    `files` tells those in the folder that is named, None where there is none; `inputs` gives the fingerprint of all
    else, with these settings.
    """
    plain = inputs(chosen)
    now = _with(plain, files)
    if stages.made_from_of(folder) in (None, now):
        return now
    options = [plain]  # as an earlier version put it
    if (record := _record(folder)) and _same_backbone(record, chosen, files):
        plain = inputs(replace(chosen, backbone=record.settings.backbone))
        options += [plain, _with(plain, record.backbone_revision)]
    return next((one for one in options if stages.fresh(folder, one)), now)


def _same_backbone(record: TeacherRecord, chosen: TeacherSettings, files: str | None) -> bool:
    """Where there are no files to compare, by its name."""
    return files == record.backbone_revision if files is not None else chosen.backbone == record.settings.backbone


def _with(plain: str, files: str | None) -> str:
    return plain if files is None else stages.fingerprint(plain, files)


def _record(folder: Path) -> TeacherRecord | None:
    """None where it cannot be read: such a teacher is made anew."""
    try:
        return read_record(folder)
    except BadInput:
        return None
