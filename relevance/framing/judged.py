"""What each model reads of the labelled pairs: training frames of a feature service, and the rows models take.

Reads labels and features through training_frame.py; `relevance train-teacher`, `label`, `train-student` and `evaluate`
share it, so that a pair looks the same to all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from enrich.errors import BadInput
from enrich.tables import LEVELS
from enrich.workspace import Workspace
from relevance.teaching.rows import TeacherRows, WeakRows
from relevance.text import pin_texts_from_frame
from relevance.training_frame import judged_pairs, training_frame

TEACHER_SERVICE, STUDENT_SERVICE = "teacher_v1", "student_v1"


@dataclass(frozen=True)
class Judged:
    """The judged pairs of a workspace; the features of each service are joined when first asked for."""

    workspace: Workspace
    pairs: pl.DataFrame  # query, pin_id, event_timestamp, lang, level, votes, ...

    @classmethod
    def of(cls, workspace: Workspace) -> Judged:
        """Raises BadInput when nothing is judged."""
        pairs = judged_pairs(workspace)
        if pairs.is_empty():
            raise BadInput(
                f"expected judged pairs in {workspace.root}, found none; import a catalogue with a judgments table and "
                "run `enrich run`"
            )
        return cls(workspace, pairs)

    @cached_property
    def texts(self) -> pl.DataFrame:
        """The pairs with what the teacher reads."""
        return training_frame(self.workspace, self.pairs, TEACHER_SERVICE)

    @cached_property
    def features(self) -> pl.DataFrame:
        """The pairs with what the student learns from."""
        return training_frame(self.workspace, self.pairs, STUDENT_SERVICE)


def of_queries(frame: pl.DataFrame, queries: frozenset[str]) -> pl.DataFrame:
    """The rows of these queries, in their order."""
    return frame.filter(pl.col("query").is_in(sorted(queries)))


def teacher_rows(frame: pl.DataFrame) -> TeacherRows:
    """A teacher_v1 frame of judged pairs as the teacher's trainer takes it."""
    return TeacherRows(
        queries=frame["query"].to_list(),
        pin_texts=pin_texts_from_frame(frame),
        levels=frame["level"].to_numpy().astype(np.int64),
        votes=frame["votes"].to_list(),
    )


def weak_rows(frame: pl.DataFrame) -> WeakRows:
    """A teacher_v1 frame of pairs with `probabilities` as the teacher's trainer takes it."""
    return WeakRows(
        queries=frame["query"].to_list(),
        pin_texts=pin_texts_from_frame(frame),
        probabilities=np.asarray(frame["probabilities"].to_list(), dtype=np.float32).reshape(-1, len(LEVELS)),
    )
