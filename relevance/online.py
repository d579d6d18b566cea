"""Scoring: a query and pin ids in, five probabilities and an expected level out, read from the online store.

Reads the payloads of `lookup.py` and the student in W/models/student; writes nothing (`relevance score`). Always
answers: a pin that is unknown, or a store that is lost, gets the student's prior, and `ScoredPin.missing` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from enrich.codec import PinBatch, QueryInputs, unpack_pins, unpack_query
from enrich.errors import BadInput
from enrich.normalise import normalise_query
from enrich.tables import LEVELS
from enrich.text_encoder import TextEncoder
from enrich.workspace import Workspace
from relevance import pin_rows
from relevance.features import Bools, Floats
from relevance.lookup import OnlineFeatures, StoreUnavailable
from relevance.student import Student
from relevance.student_inputs import QueryEncoder, rounded

STUDENT = "student"  # the serving model's folder in W/models
PIN, CORRUPT, STORE = "pin", "corrupt", "store"  # absent: all of the pin, its readable bytes, the online store
QUERY_FEATURES, QUERY_EMBEDDING = "query_features", "query_embedding"
_CACHED_QUERIES = 10_000  # encoded query vectors kept; 15 MB at 384 entries


class ScoredPin(NamedTuple):
    """One answer. `relevance` is the expected level; `missing` names the inputs that it had to do without."""

    pin_id: str
    probabilities: tuple[float, float, float, float, float]  # of levels 1..5
    relevance: float  # 1..5
    missing: tuple[str, ...]

    @property
    def degraded(self) -> bool:
        """Whether the answer is not the student's own because something broke."""
        return STORE in self.missing or CORRUPT in self.missing


class Answer(NamedTuple):
    """A request's answer in columns, with what it was made from; `scored_pins` gives it by the row."""

    query: QueryInputs
    pin_ids: tuple[str, ...]
    pins: PinBatch
    rates: Floats  # [n, len(PAIR_COLUMNS)] the query's own rates of each pin
    has_rates: Bools  # [n]
    probabilities: Floats  # [n, 5]
    lost: tuple[str, ...]  # what every answer of this request had to do without

    @property
    def relevance(self) -> Floats:
        """Expected levels, 1..5; [n]."""
        return self.probabilities @ np.asarray(LEVELS, np.float32)

    def scored_pins(self) -> list[ScoredPin]:
        levels, missing = self.relevance.tolist(), self._missing()
        rows = zip(self.pin_ids, self.probabilities.tolist(), levels, missing, strict=True)
        return [ScoredPin(pin, (p[0], p[1], p[2], p[3], p[4]), level, names) for pin, p, level, names in rows]

    def _missing(self) -> list[tuple[str, ...]]:
        """Names of absent inputs, each distinct combination made once."""
        columns = (PIN, CORRUPT, *pin_rows.INPUTS)
        absent = np.column_stack(
            [~self.pins.present, self.pins.corrupt, pin_rows.absent_inputs(self.pins), ~self.has_rates]
        )
        absent[~self.pins.present, 2:] = False  # of an unknown pin only that is said
        _, first, which = np.unique(absent @ (1 << np.arange(len(columns))), return_index=True, return_inverse=True)
        named = [(*self.lost, *(c for c, gone in zip(columns, absent[i], strict=True) if gone)) for i in first]
        return [named[i] for i in which]


class PayloadStore(Protocol):
    """As `lookup.OnlineFeatures`; both raise StoreUnavailable."""

    def pins(self, pin_ids: Sequence[str]) -> list[bytes | None]: ...

    def query(self, query: str) -> bytes | None: ...


class Scorer:
    """Scores pins for queries; safe to share between threads."""

    def __init__(self, student: Student, store: PayloadStore, encoder: QueryEncoder) -> None:
        self.student = student
        self._store = store
        self._encoder = encoder
        self._vector = lru_cache(maxsize=_CACHED_QUERIES)(self._encode)

    @classmethod
    def open(cls, workspace: Workspace | Path | str) -> Scorer:
        """The student and online store of `workspace`. Raises BadInput when either was not made yet."""
        found = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
        student = Student.load(found.models / STUDENT)
        return cls(student, OnlineFeatures.open(found), TextEncoder(student.record.settings.text_encoder))

    def score(self, query: str, pin_ids: Sequence[str]) -> list[ScoredPin]:
        """An answer a pin, in the order asked. Raises BadInput only for arguments of the wrong type."""
        return self.answer(query, pin_ids).scored_pins()

    def answer(self, query: str, pin_ids: Sequence[str]) -> Answer:
        """As `score`, in columns."""
        ids = _checked(query, pin_ids)
        inputs, lost_query = self._query(normalise_query(query))
        pins, lost_pins = self._pins(ids)
        rates, has_rates = inputs.rates_of(ids)
        probabilities = self.student.predict(self.student.features(inputs, pins, rates, has_rates))
        probabilities[~pins.present] = self.student.record.prior
        lost = tuple(dict.fromkeys((*lost_query, *lost_pins)))
        return Answer(inputs, ids, pins, rates, has_rates, probabilities, lost)

    def query_vector(self, query: str) -> Floats | None:
        """The query's unit vector, stored or encoded here; None when there is neither. For finding candidates."""
        return self._query(normalise_query(query))[0].embedding

    def _query(self, query: str) -> tuple[QueryInputs, tuple[str, ...]]:
        """What is known of the query, encoded here where no vector of it is stored; and what could not be had."""
        names: tuple[str, ...] = ()
        try:
            inputs = unpack_query(self._store.query(query), query)
        except StoreUnavailable:
            inputs, names = unpack_query(None, query), (STORE,)
        if not inputs.known:
            names = (*names, QUERY_FEATURES)
        if inputs.embedding is not None and len(inputs.embedding) == self.student.record.dimensions.query:
            return inputs, names
        try:
            return replace(inputs, embedding=self._vector(query)), names
        except BadInput:  # the encoder's weights are not there: terms and trigrams still answer
            return replace(inputs, embedding=None), (*names, QUERY_EMBEDDING)

    def _encode(self, query: str) -> Floats:
        return rounded(self._encoder.encode([query])[0])

    def _pins(self, ids: Sequence[str]) -> tuple[PinBatch, tuple[str, ...]]:
        try:
            return unpack_pins(self._store.pins(ids)), ()
        except StoreUnavailable:
            return unpack_pins([None] * len(ids)), (STORE,)


def _checked(query: str, pin_ids: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(query, str):
        raise BadInput(f"expected a query as text, found {type(query).__name__}")
    if isinstance(pin_ids, str | bytes):
        raise BadInput("expected a list of pin ids, found one text; put it into a list")
    ids = tuple(str(pin) if isinstance(pin, np.str_) else pin for pin in pin_ids)
    for pin in ids:
        if not isinstance(pin, str):
            raise BadInput(f"expected pin ids as texts, found {type(pin).__name__} {pin!r}")
    try:
        "".join(ids).encode()
    except UnicodeEncodeError as error:
        raise BadInput("expected pin ids as texts that UTF-8 can hold, found one with a lone surrogate") from error
    return ids
