"""Whether a student and what is stored fit: vectors by its own text encoder, features such as it learned from.

Reads who made the vectors and features of a workspace; writes nothing. /readyz, the log and `relevance score` say it.
"""

from __future__ import annotations

from typing import NamedTuple

from enrich import encoder_choice
from enrich.workspace import Workspace
from relevance.feature_store import applied_fingerprint
from relevance.framing.judged import STUDENT_SERVICE
from relevance.student import StudentRecord


class Fit(NamedTuple):
    """What does not fit and what to do, a line each; None where it does."""

    encoder: str | None = None  # the store's text vectors cannot be compared with the student's queries
    features: str | None = None  # the student learned from others; its answers are whole

    @classmethod
    def of(cls, workspace: Workspace, record: StudentRecord) -> Fit:
        """Of another encoder all features are; that alone is said then."""
        encoder = _of_encoder(workspace, record)
        return cls(encoder, None if encoder else of_features(workspace, record))

    @property
    def reasons(self) -> list[str]:
        return [line for line in self if line is not None]


def _of_encoder(workspace: Workspace, record: StudentRecord) -> str | None:
    others = encoder_choice.others(workspace, record.encoder)
    if not others:
        return None
    return (
        f"answers are without text vectors: expected pins and queries embedded by {record.encoder}, as the student "
        f"learned, found {', '.join(others)}; run `relevance run` for a student of these, or `enrich run --encoder` "
        "with its own"
    )


def of_features(workspace: Workspace, record: StudentRecord) -> str | None:
    """None where the student learned from features, and of producers, as they are stored now."""
    if record.feature_service in (None, applied_fingerprint(workspace, STUDENT_SERVICE)):
        return None
    return "the student learned from other features than are stored now; `relevance run`"
