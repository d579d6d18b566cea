"""Scoring: a query and pin ids in, five probabilities and an expected level out, read from the online store.

Reads the payloads of `serving/lookup.py` and the student in W/models/student; writes nothing (`relevance score`).
Always answers: a pin that is unknown, or a store that is lost, gets the student's prior, and `ScoredPin.missing` says
why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from enrich.errors import BadInput
from enrich.normalise import normalise_query
from enrich.pin_payload import PinBatch, unpack_pins
from enrich.query_payload import QueryInputs, unpack_query
from enrich.tables import LEVELS
from enrich.text_encoder import TextEncoder
from enrich.workspace import Workspace
from relevance import pin_rows
from relevance.features import Bools, Floats
from relevance.serving.lookup import OnlineFeatures, Pins, Presence, StoreUnavailable
from relevance.serving.request_log import AnswerLog, RequestLog, entry_of, recorded_share
from relevance.student import Student
from relevance.student_inputs import QueryEncoder, rounded

STUDENT = "student"  # the serving model's folder in W/models
PIN, CORRUPT, STORE = "pin", "corrupt", "store"  # absent: all of the pin, its readable bytes, the online store
STALE = "stale"  # what is known of the pin is older than its time to live
NEVER_MATERIALIZED = "never_materialized"  # nothing was ever loaded into the online store
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
        """Whether the answer is not the student's own because something broke or was never filled."""
        return not {STORE, CORRUPT, NEVER_MATERIALIZED}.isdisjoint(self.missing)


class Answer(NamedTuple):
    """A request's answer in columns, with what it was made from; `scored_pins` gives it by the row."""

    query: QueryInputs
    pin_ids: tuple[str, ...]
    pins: PinBatch
    rates: Floats  # [n, len(PAIR_COLUMNS)] the query's own rates of each pin
    has_rates: Bools  # [n]
    probabilities: Floats  # [n, 5]
    lost: tuple[str, ...]  # what every answer of this request had to do without
    stale: Bools | None = None  # [n], absent for being too old; None: none of them

    @property
    def relevance(self) -> Floats:
        """Expected levels, 1..5; [n]. Not by BLAS, whose kernel now and then calls a value invalid beside the five."""
        levels: Floats = (self.probabilities * np.asarray(LEVELS, np.float32)).sum(axis=1)
        return levels

    @property
    def lost_pins(self) -> bool:
        """Whether the store said nothing of any pin, rather than that it has none of these."""
        return STORE in self.lost or NEVER_MATERIALIZED in self.lost

    def scored_pins(self) -> list[ScoredPin]:
        levels, missing = self.relevance.tolist(), self._missing()
        rows = zip(self.pin_ids, self.probabilities.tolist(), levels, missing, strict=True)
        return [ScoredPin(pin, (p[0], p[1], p[2], p[3], p[4]), level, names) for pin, p, level, names in rows]

    def _missing(self) -> list[tuple[str, ...]]:
        """Names of absent inputs, each distinct combination made once."""
        columns = (PIN, STALE, CORRUPT, *pin_rows.INPUTS)
        gone = ~self.pins.present
        stale = np.zeros_like(gone) if self.stale is None else self.stale
        absent = np.column_stack(
            [gone & ~stale, stale, self.pins.corrupt, pin_rows.absent_inputs(self.pins), ~self.has_rates]
        )
        absent[gone, 3:] = False  # of a pin that is not there only that is said
        _, first, which = np.unique(absent @ (1 << np.arange(len(columns))), return_index=True, return_inverse=True)
        named = [(*self.lost, *(c for c, gone in zip(columns, absent[i], strict=True) if gone)) for i in first]
        return [named[i] for i in which]


class PayloadStore(Protocol):
    """As `lookup.OnlineFeatures`; both raise StoreUnavailable."""

    def read_pins(self, pin_ids: Sequence[str]) -> Pins: ...

    def query(self, query: str) -> bytes | None: ...


class Scorer:
    """Scores pins for queries; safe to share between threads."""

    def __init__(
        self,
        student: Student,
        store: PayloadStore,
        encoder: QueryEncoder,
        log: AnswerLog | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`clock` says what has expired; another one is for computing again what was answered then."""
        self.student = student
        self._clock = clock
        self._log = log
        self._store = store
        self._encoder = encoder
        self._vector = lru_cache(maxsize=_CACHED_QUERIES)(self._encode)

    @classmethod
    def open(cls, workspace: Workspace | Path | str, record: float | None = None) -> Scorer:
        """The student and online store of `workspace`; `record` is the share of requests to log for `relevance replay`,
        by default what CORKBOARD_RECORD says, else none. Raises BadInput when either was not made yet.
        """
        found = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
        student, share = Student.load(found.models / STUDENT), recorded_share(record)
        log = RequestLog(found, share) if share else None
        return cls(student, OnlineFeatures.open(found), TextEncoder(student.record.settings.text_encoder), log)

    def score(self, query: str, pin_ids: Sequence[str]) -> list[ScoredPin]:
        """An answer a pin, in the order asked. Raises BadInput only for arguments of the wrong type."""
        return self.answer(query, pin_ids).scored_pins()

    def answer(self, query: str, pin_ids: Sequence[str]) -> Answer:
        """As `score`, in columns."""
        ids, text, now = _checked(query, pin_ids), normalise_query(query), self._clock()
        query_payload, lost_query = self._query_payload(text)
        inputs, lost_vector = self._query(text, query_payload, now)
        read, lost_pins = self._pins(ids)
        pins = unpack_pins(read.payloads, now, whole=read.whole)
        rates, has_rates = inputs.rates_of(ids)
        features = self.student.features(inputs, pins, rates, has_rates)
        probabilities = self.student.predict(features)
        probabilities[~pins.present] = self.student.record.prior
        lost = tuple(dict.fromkeys((*lost_query, *lost_vector, *lost_pins)))
        if self._log is not None and self._log.wants():
            model, rows = self.student.record.fingerprint, probabilities.tolist()
            self._log.add(entry_of(now, model, text, query_payload, ids, read.payloads, features, rows, lost))
        stale = np.fromiter((state is Presence.STALE for state in read.presence), np.bool_, len(ids))
        return Answer(inputs, ids, pins, rates, has_rates, probabilities, lost, stale)

    def ready(self) -> bool:
        """Whether the store answers and was filled; nothing is scored or logged."""
        return not self._pins(["ready"])[1]

    def query_vector(self, query: str) -> Floats | None:
        """The query's unit vector, stored or encoded here; None when there is neither. For finding candidates."""
        text = normalise_query(query)
        return self._query(text, self._query_payload(text)[0], self._clock())[0].embedding

    def _query_payload(self, query: str) -> tuple[bytes | None, tuple[str, ...]]:
        try:
            return self._store.query(query), ()
        except StoreUnavailable:
            return None, (STORE,)

    def _query(self, query: str, payload: bytes | None, now: datetime) -> tuple[QueryInputs, tuple[str, ...]]:
        """What is known of the query, encoded here where no vector of it is stored; and what could not be had."""
        inputs = unpack_query(payload, query, now)
        names: tuple[str, ...] = () if inputs.known else (QUERY_FEATURES,)
        if inputs.embedding is not None and len(inputs.embedding) == self.student.record.dimensions.query:
            return inputs, names
        try:
            return replace(inputs, embedding=self._vector(query)), names
        except BadInput:  # the encoder's weights are not there: terms and trigrams still answer
            return replace(inputs, embedding=None), (*names, QUERY_EMBEDDING)

    def _encode(self, query: str) -> Floats:
        return rounded(self._encoder.encode([query])[0])

    def _pins(self, ids: Sequence[str]) -> tuple[Pins, tuple[str, ...]]:
        """What the store has of the pins, and what could not be had of any."""
        try:
            read = self._store.read_pins(ids)
        except StoreUnavailable:
            return Pins([None] * len(ids), [Presence.MISSING] * len(ids)), (STORE,)
        return read, (NEVER_MATERIALIZED,) if read.never_materialized else ()


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
