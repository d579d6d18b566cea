"""The models that `relevance evaluate` makes itself, beside which those that were trained have to earn their keep.

Reads a fold's training and dev pairs; writes nothing: judging/predictions.py keeps their answers. All are made of the
same pairs as the fold's models.

    bm25               words alone
    bi_encoder         the cosine of frozen embeddings
    embedding_lr       logistic regression on frozen embeddings
    bi_encoder_tuned   the teacher's backbone fine-tuned as a bi-encoder: minutes, so made only when named
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich import checkpoints
from enrich.payload import VERSION
from enrich.text_encoder import TextEncoder, default_model_path
from relevance import stages
from relevance.baselines.bm25 import fit_bm25
from relevance.baselines.embedding_lr import STRENGTHS, fit_embedding_lr
from relevance.baselines.tuned_bi_encoder import TUNED_VERSION, TunedSettings, fit_tuned_bi_encoder
from relevance.bi_encoder import TextVectors, fit_bi_encoder
from relevance.catalogue import catalogue_texts
from relevance.framing.judged import Judged, of_queries, teacher_rows
from relevance.model_names import TEACHER_MODEL
from relevance.plan import Fold
from relevance.teaching.checkpoint import read_record
from relevance.teaching.network import files_fingerprint
from relevance.teaching.rows import TeacherRows
from relevance.text import PinText

_DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"  # the teacher's backbone


class Baseline(StrEnum):
    BM25 = "bm25"
    BI_ENCODER = "bi_encoder"
    EMBEDDING_LR = "embedding_lr"
    BI_ENCODER_TUNED = "bi_encoder_tuned"


QUICK = (Baseline.BM25, Baseline.BI_ENCODER, Baseline.EMBEDDING_LR)  # seconds each: part of every evaluation


class Fitted(Protocol):
    """A baseline, made."""

    def score(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.floating[Any]]:
        """What it ranks by, [n]."""

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Probabilities float32 [n, 5], columns levels 1..5."""


class Baselines:
    """Makes them for folds; embeds each text once, however many folds there are."""

    def __init__(self, judged: Judged, encoder: TextEncoder, tuned: TunedSettings | None = None) -> None:
        self._judged = judged
        self._encoder = encoder
        self._vectors = TextVectors(encoder)
        self._tuned = tuned or TunedSettings()

    def made_from(self, baseline: Baseline, fold: Fold) -> str:
        """A fingerprint of all that decides what `fit` gives."""
        train, dev = (of_queries(self._judged.texts, side) for side in (fold.split.train, fold.split.dev))
        match baseline:
            case Baseline.BM25:
                return stages.fingerprint(baseline, VERSION, train, dev, self._catalogue.to_frame())
            case Baseline.BI_ENCODER:
                return stages.fingerprint(baseline, train, dev, self._encoder.producer)
            case Baseline.EMBEDDING_LR:
                return stages.fingerprint(baseline, train, dev, self._encoder.producer, STRENGTHS)
            case Baseline.BI_ENCODER_TUNED:
                files = files_fingerprint(_backbone(fold))
                return stages.fingerprint(baseline, TUNED_VERSION, train, dev, files, self._tuned)

    def fit(self, baseline: Baseline, fold: Fold) -> Fitted:
        """On the fold's training and dev pairs; where there is something to choose, dev chooses it.

        Raises BadInput where a side is malformed, or the training pairs are all of one level.
        """
        train, dev = self._rows(fold.split.train), self._rows(fold.split.dev)
        match baseline:
            case Baseline.BM25:
                return fit_bm25(self._rows(fold.split.train | fold.split.dev), self._catalogue)
            case Baseline.BI_ENCODER:
                return fit_bi_encoder(self._rows(fold.split.train | fold.split.dev), self._vectors)
            case Baseline.EMBEDDING_LR:
                return fit_embedding_lr(train, dev, self._vectors)
            case Baseline.BI_ENCODER_TUNED:
                return fit_tuned_bi_encoder(train, dev, str(_backbone(fold)), self._tuned)

    @property
    def _catalogue(self) -> pl.Series:
        return catalogue_texts(self._judged.workspace)["text"]

    def _rows(self, queries: frozenset[str]) -> TeacherRows:
        return teacher_rows(of_queries(self._judged.texts, queries))


def _backbone(fold: Fold) -> Path:
    """The folder of the one that the fold's teacher was made of; of the default one where there is no teacher."""
    folder = fold.folder / TEACHER_MODEL
    chosen = read_record(folder).settings.backbone if stages.made_from_of(folder) is not None else None
    return default_model_path() if chosen is None else checkpoints.locate(chosen, "the teacher's backbone").folder


def encoder_note(encoder: str, folds: Sequence[Fold]) -> str | None:
    """What a reader must know where the frozen vectors are not of the teacher's backbone.

    `encoder` is the text encoder's producer, `name@fingerprint`; None where they are, or no fold has a teacher.
    """
    taught = [fold.folder / TEACHER_MODEL for fold in folds if stages.made_from_of(fold.folder / TEACHER_MODEL)]
    chosen = {read_record(folder).settings.backbone or _DEFAULT for folder in taught}
    used = encoder.rpartition("@")[0]
    others = sorted(one for one in chosen if _last_name(one) != _last_name(used))
    if not others:
        return None
    return (
        f"bi_encoder and embedding_lr embed with {used}, as the student does, not with the teacher's backbone "
        f"{', '.join(others)}; bi_encoder_tuned is made of that."
    )


def _last_name(model: str) -> str:
    """Of a folder or a hub id, without its owner and revision."""
    return Path(model.partition("@")[0]).name
