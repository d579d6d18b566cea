"""The text encoder of queries: the one that the workspace's pins and known queries were embedded by, and the student's.

A query's vector is compared with the pins' own, so that one of another encoder means nothing, whatever its length.
Reads who made the vectors of a workspace (enrich/encoder_choice.py); writes nothing.
"""

from __future__ import annotations

from enrich import encoder_choice
from enrich.errors import BadInput
from enrich.text_encoder import TextEncoder
from enrich.workspace import Workspace
from relevance.student import Student


def of_workspace(workspace: Workspace, model: str | None) -> TextEncoder:
    """The encoder `model`, None for the default. Raises BadInput where another made vectors of the workspace."""
    encoder = TextEncoder(model)
    if others := encoder_choice.others(workspace, encoder.producer):
        raise BadInput(
            f"expected pins and queries embedded by {encoder.producer}, the text encoder last named, found "
            f"{', '.join(others)}; run `enrich run`, with --encoder MODEL where another one is meant"
        )
    return encoder


def of_student(student: Student, workspace: Workspace | None = None) -> TextEncoder:
    """The encoder that a student learned with.

    Raises BadInput where it is there no more, or another made the vectors that `workspace` holds.
    """
    encoder = TextEncoder(student.record.settings.text_encoder)
    refuse_other(student, encoder.producer)
    if workspace is not None and (others := encoder_choice.others(workspace, encoder.producer)):
        raise BadInput(
            f"expected pins and queries embedded by {encoder.producer}, as the student learned, found "
            f"{', '.join(others)}; run `relevance run` for a student of these, or `enrich run --encoder` with its own"
        )
    return encoder


def refuse_other(student: Student, producer: str) -> None:
    """Raises BadInput where queries would be embedded by another encoder than the student learned with."""
    if not encoder_choice.same(student.record.encoder, producer):
        raise BadInput(
            f"expected queries embedded by {student.record.encoder}, as the student learned them, found {producer}; "
            "bring that encoder back, or train the student again (`relevance run`)"
        )
