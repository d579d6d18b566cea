"""Judged pairs with their texts: what the teacher and the baselines learn from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance.text import PinText, pair_texts

DEV_QUERIES_TO_CHOOSE = 100  # with fewer the epoch that looks best on dev is mostly luck


@dataclass(frozen=True, slots=True)
class TeacherRows:
    """Judged pairs by position; `levels` int [n] in 1..5, `votes` each pair's annotators' levels (1..5) where known."""

    queries: Sequence[str]
    pin_texts: Sequence[str | PinText]  # a str is a pin that has only a title
    levels: npt.NDArray[np.int64]
    votes: Sequence[Sequence[float] | None] | None = None

    def check(self, name: str) -> None:
        """Raises BadInput, naming the split `name`, for no rows, unequal lengths, and a text or level that is none."""
        if not isinstance(self.levels, np.ndarray) or self.levels.dtype.kind not in "iu" or self.levels.ndim != 1:
            raise BadInput(
                f"expected the levels of the {name} rows as an array of whole numbers, found {_kind(self.levels)}; "
                "make one with np.asarray(levels, np.int64)"
            )
        columns: list[Any] = [self.queries, self.pin_texts, self.levels, *([] if self.votes is None else [self.votes])]
        if odd := [_kind(column) for column in columns if not isinstance(column, Sized)]:
            raise BadInput(f"expected queries, pin texts and votes as lists in the {name} rows, found {odd[0]}")
        sizes = {len(column) for column in columns}
        if len(sizes) != 1:
            raise BadInput(
                f"expected queries, pin texts, levels and votes of one length in the {name} rows, found {sizes}"
            )
        if len(self.levels) == 0:
            raise BadInput(
                f"expected judged pairs in the {name} split, found none; judge more queries or split otherwise"
            )
        pair_texts(self.queries, self.pin_texts)
        levels, votes = {*self.levels.tolist()}, self._votes_cast(name)
        wrong = levels - {*LEVELS} or {vote for vote in votes if not LEVELS[0] <= vote <= LEVELS[-1]}
        if wrong:
            raise BadInput(f"expected levels 1..5 in the {name} rows, found {min(wrong)}; map the grades onto 1..5")

    def _votes_cast(self, name: str) -> set[float]:
        """All values. Raises BadInput where a pair's are not numbers."""
        cast = [(place, votes) for place, votes in enumerate(self.votes or ()) if votes is not None]
        for place, votes in cast:
            if not isinstance(votes, Iterable) or not all(isinstance(vote, int | float | np.number) for vote in votes):
                raise BadInput(
                    f"expected the votes of {name} row {place} as a list of numbers, found {votes!r}; None stands for "
                    "a pair without any"
                )
        return {vote for _, votes in cast for vote in votes}

    def check_to_teach(self) -> None:
        """`check` as the training rows. Raises BadInput, too, when all levels are one."""
        self.check("training")
        if len(set(self.levels.tolist())) == 1:
            raise BadInput(
                f"expected training judgments of two levels or more, found only {self.levels[0]}; judge more"
            )

    @property
    def tell_epochs_apart(self) -> bool:
        """Whether they are of queries enough to say, as dev rows, after which epoch a model was best."""
        return len(set(self.queries)) >= DEV_QUERIES_TO_CHOOSE


def _kind(levels: object) -> str:
    if isinstance(levels, np.ndarray):
        return f"one of {levels.dtype} in {levels.ndim} dimension(s)"
    return f"a {type(levels).__name__}"


@dataclass(frozen=True, slots=True)
class WeakRows:
    """Pairs with levels that nobody judged, by position; `probabilities` float32 [n, 5], rows sum to 1."""

    queries: Sequence[str]
    pin_texts: Sequence[str | PinText]
    probabilities: npt.NDArray[np.float32]

    def check(self) -> None:
        """Raises BadInput when lengths differ or a row is no distribution."""
        sizes = {len(self.queries), len(self.pin_texts), len(self.probabilities)}
        if len(sizes) != 1:
            raise BadInput(f"expected weak rows' queries, pin texts and probabilities of one length, found {sizes}")
        if len(self.probabilities) and not np.allclose(self.probabilities.sum(1), 1, atol=1e-3):
            raise BadInput("expected weak rows' probabilities to sum to 1, found others; normalise them")


def fingerprint(*splits: TeacherRows | WeakRows) -> str:
    """Twelve hex digits over all that the rows hold, in their order."""
    digest = hashlib.blake2b(digest_size=6)
    for split in splits:
        pins = [tuple(PinText(title=pin) if isinstance(pin, str) else pin) for pin in split.pin_texts]
        digest.update(json.dumps([list(split.queries), pins, *_labels(split)]).encode())
    return digest.hexdigest()


def _labels(split: TeacherRows | WeakRows) -> list[object]:
    if isinstance(split, WeakRows):
        return [split.probabilities.tolist()]
    return [split.levels.tolist(), _votes(split)]


def _votes(split: TeacherRows) -> list[list[float] | None] | None:
    return None if split.votes is None else [None if votes is None else list(votes) for votes in split.votes]
