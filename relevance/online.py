"""Scoring: a query and pin ids in, five probabilities and an expected level out, read from the online store.

Reads the payloads of `serving/lookup.py` and the student in W/models/student; writes nothing (`relevance score`).
Always answers. While the store is lost the payloads that it gave last stand in, and pins it never gave get the
student's prior, as unknown ones do; `ScoredPin.missing` says what was absent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from enrich.errors import BadInput
from enrich.normalise import normalise_query
from enrich.payload import is_whole
from enrich.pin_payload import VECTORS, PinBatch, Wanted, unpack_pins
from enrich.query_payload import QueryInputs, unpack_query
from enrich.tables import LEVELS
from enrich.workspace import Workspace
from relevance import pin_rows, query_encoder
from relevance.features import Bools, Floats, Ints
from relevance.learning.inputs import QueryEncoder, rounded
from relevance.model_names import STUDENT_MODEL
from relevance.serving.asked import checked, places_of
from relevance.serving.kept import Generations, LastGood, PayloadStore
from relevance.serving.lookup import OnlineFeatures, Pins, Presence, StoreUnavailable
from relevance.serving.request_log import AnswerLog, RequestLog, entry_of, recorded_share
from relevance.student import Student

PIN, CORRUPT, STORE = "pin", "corrupt", "store"  # absent: all of the pin, its readable bytes, the online store
STALE = "stale"  # what is known of the pin is older than its time to live
NEVER_MATERIALIZED = "never_materialized"  # nothing was ever loaded into the online store
DEADLINE = "deadline"  # the time that the caller gave was over before this pin's turn came
QUERY_FEATURES, QUERY_EMBEDDING = "query_features", "query_embedding"
CORRUPT_QUERY = "corrupt_query"  # what is stored of the query cannot be read
OTHER_ENCODER = "other_encoder"  # the store's text vectors, which another encoder than the student's made
UNREAD = frozenset({STORE, CORRUPT, NEVER_MATERIALIZED, DEADLINE})  # for which a pin may not have been looked into
BREAKAGES = UNREAD | {CORRUPT_QUERY, QUERY_EMBEDDING, OTHER_ENCODER}
STAGES = ("query", "lookup", "encode", "unpack", "features", "predict")  # of an answer, in order
_CACHED_QUERIES = 10_000  # encoded query vectors kept; 15 MB at 384 entries


class ScoredPin(NamedTuple):
    """One answer. `relevance` is the expected level; `missing` names the inputs that it had to do without."""

    pin_id: str
    probabilities: tuple[float, float, float, float, float]  # of levels 1..5
    relevance: float  # 1..5
    missing: tuple[str, ...]

    @property
    def degraded(self) -> bool:
        """Whether something broke, was never filled or took too long: the student, asked again, may say otherwise."""
        return not BREAKAGES.isdisjoint(self.missing)


class Work(NamedTuple):
    """What an answer took."""

    seconds: tuple[float, ...] = (0.0,) * len(STAGES)
    encoded: bool = False  # the query's vector was computed now
    recalled: bool = False  # the query's vector was computed for an earlier request
    cached_pins: int = 0  # payloads that were not read from the store

    def then(self, later: Work) -> Work:
        """Both as one; where the query's vector came from, the first of them says."""
        seconds = tuple(a + b for a, b in zip(self.seconds, later.seconds, strict=True))
        encoded = self.encoded or later.encoded
        return Work(seconds, encoded, self.recalled, self.cached_pins + later.cached_pins)


class Part(NamedTuple):
    """Pins from `begin` to before `end` that were scored together."""

    begin: int
    end: int
    lost: tuple[str, ...]


class Answer(NamedTuple):
    """A request's answer in columns, with what it was made from; `scored_pins` gives it by the row."""

    query: QueryInputs
    pin_ids: tuple[str, ...]
    pins: PinBatch
    rates: Floats  # [n, len(PAIR_COLUMNS)] the query's own rates of each pin
    has_rates: Bools  # [n]
    probabilities: Floats  # [n, 5]
    lost: tuple[str, ...]  # what the request had to do without
    stale: Bools | None = None  # [n], absent for being too old; None: none of them
    work: Work = Work()
    parts: tuple[Part, ...] = ()  # where not all pins had to do without the same

    @property
    def relevance(self) -> Floats:
        """Expected levels, 1..5; [n]. Not by BLAS, whose kernel now and then calls a value invalid beside the five."""
        levels: Floats = (self.probabilities * np.asarray(LEVELS, np.float32)).sum(axis=1)
        return levels

    @property
    def lost_pins(self) -> bool:
        """Whether the store said nothing of any pin, rather than that it has none of these."""
        return not {STORE, NEVER_MATERIALIZED, DEADLINE}.isdisjoint(self.lost)

    def scored_pins(self) -> list[ScoredPin]:
        columns = (map(tuple, self.probabilities.tolist()), self.relevance.tolist(), self._missing())
        return list(map(ScoredPin._make, zip(self.pin_ids, *columns, strict=True)))

    def at(self, rows: Ints) -> Answer:
        """The answer of the pins at `rows`, in that order."""
        stale = None if self.stale is None else self.stale[rows]
        part = np.searchsorted([part.end for part in self.parts], rows, side="right")
        cuts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(rows)]
        return self._replace(
            pin_ids=tuple(self.pin_ids[row] for row in rows.tolist()),
            pins=pin_rows.take(self.pins, rows),
            rates=self.rates[rows],
            has_rates=self.has_rates[rows],
            probabilities=self.probabilities[rows],
            stale=stale,
            parts=tuple(Part(a, b, self.parts[part[a]].lost) for a, b in pairwise(cuts)) if self.parts else (),
        )

    def _missing(self) -> list[tuple[str, ...]]:
        """Names of absent inputs, each distinct combination made once."""
        columns = (PIN, STALE, CORRUPT, *pin_rows.INPUTS)
        gone = ~self.pins.present
        stale = np.zeros_like(gone) if self.stale is None else self.stale
        absent = np.column_stack(
            [gone & ~stale, stale, self.pins.corrupt, pin_rows.absent_inputs(self.pins), ~self.has_rates]
        )
        absent[gone, 3:] = False  # of a pin that is not there only that is said
        lost = np.zeros(len(gone), np.int64)  # which part's
        for i, part in enumerate(self.parts):
            lost[part.begin : part.end] = i
        names = [part.lost for part in self.parts] or [self.lost]
        kinds = absent @ (1 << np.arange(len(columns))) + (lost << len(columns))
        _, first, which = np.unique(kinds, return_index=True, return_inverse=True)
        named = [(*names[lost[i]], *(c for c, no in zip(columns, absent[i], strict=True) if no)) for i in first]
        return [named[i] for i in which]


class Scorer:
    """Scores pins for queries; safe to share between threads."""

    def __init__(
        self,
        student: Student,
        store: PayloadStore,
        encoder: QueryEncoder,
        log: AnswerLog | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        last_good: LastGood | None = None,
        text_vectors: bool = True,
    ) -> None:
        """`clock` says what has expired; another one is for computing again what was answered then. A scorer that
        replaces another takes over its `last_good` payloads. `text_vectors` false: the store's are of another encoder
        than the student's, and are left out of every answer, which says so.
        """
        self.student = student
        self.encoder = encoder
        self.last_good = LastGood() if last_good is None else last_good
        self._clock = clock
        self._log = log
        self._store = store
        self._vectors: Generations[Floats] = Generations(_CACHED_QUERIES)
        self._text_vectors = text_vectors
        kinds = tuple(kind for kind in VECTORS if text_vectors or kind != "text_embedding")
        self._wanted = Wanted(kinds, dimensions=tuple(student.record.dimensions[1:]))

    @classmethod
    def open(cls, workspace: Workspace | Path | str, record: float | None = None) -> Scorer:
        """The student and online store of `workspace`; `record` is the share of requests to log for `relevance replay`,
        by default what CORKBOARD_RECORD says, else none. Raises BadInput when either was not made yet, or the tables'
        vectors are of another text encoder than the student's.
        """
        found = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
        student, share = Student.load(found.models / STUDENT_MODEL), recorded_share(record)
        log = RequestLog(found, share) if share else None
        return cls(student, OnlineFeatures.open(found), query_encoder.of_student(student, found), log)

    def warm(self) -> None:
        """Load the text encoder, so that no request waits for it; where its weights are not there, answers say so."""
        with suppress(BadInput):
            self.encoder.encode(["ready"])

    def score(self, query: str, pin_ids: Sequence[str]) -> list[ScoredPin]:
        """An answer a pin, in the order asked. Raises BadInput only for arguments that are no text and no ids, or that
        UTF-8 cannot hold.
        """
        return self.answer(query, pin_ids).scored_pins()

    def answer(self, query: str, pin_ids: Sequence[str], request_id: str | None = None) -> Answer:
        """As `score`, in columns; `request_id` goes into the request log, where each pin stands once."""
        asked = checked(query, pin_ids)
        if len(ids := tuple(dict.fromkeys(asked))) < len(asked):
            return self.answer(query, ids, request_id).at(places_of(asked, ids))
        text, now, times = normalise_query(query), self._clock(), [perf_counter()]
        query_payload, lost_query = self._query_payload(text)
        times.append(perf_counter())
        read, lost_pins = self._pins(ids)
        if STORE in lost_pins:  # also where it answers, but was emptied
            query_payload = query_payload or self.last_good.query(text)
        elif not lost_query:
            self.last_good.keep_query(text, query_payload)
        times.append(perf_counter())
        inputs, lost_vector, encoded, recalled = self._query(text, query_payload, now)
        times.append(perf_counter())
        pins = unpack_pins(read.payloads, now, self._wanted, read.whole)
        times.append(perf_counter())
        rates, has_rates = inputs.rates_of(ids, pins.keys)
        features = self.student.features(inputs, pins, rates, has_rates)
        times.append(perf_counter())
        probabilities = self.student.predict(features)
        probabilities[~pins.present] = self.student.record.prior
        times.append(perf_counter())
        lost = tuple(dict.fromkeys((*lost_query, *lost_vector, *lost_pins)))
        if self._log is not None and self._log.wants():
            model, rows = self.student.record.fingerprint, probabilities.tolist()
            entry = entry_of(now, model, text, query_payload, ids, read.payloads, features, rows, lost, request_id)
            self._log.add(entry)
        stale = None
        if Presence.STALE in read.presence:
            stale = np.fromiter((state is Presence.STALE for state in read.presence), np.bool_, len(ids))
        work = Work(tuple(b - a for a, b in pairwise(times)), encoded, recalled, read.cached)
        return Answer(inputs, ids, pins, rates, has_rates, probabilities, lost, stale, work)

    def unanswered(self, query: str, pin_ids: Sequence[str], lost: tuple[str, ...] = (DEADLINE,)) -> Answer:
        """The prior for every pin, without asking the store or the student."""
        ids = checked(query, pin_ids)
        inputs = unpack_query(None, normalise_query(query))
        prior = np.tile(np.asarray(self.student.record.prior, np.float32), (len(ids), 1))
        pins = unpack_pins([None] * len(ids), wanted=self._wanted)
        return Answer(inputs, ids, pins, *inputs.rates_of(ids), prior, lost)

    def holds(self, pin_id: str) -> bool:
        """Whether the store, or what it gave last, has the pin; nothing is scored or logged."""
        return self._pins([pin_id])[0].payloads[0] is not None

    def ready(self) -> bool:
        """Whether the store answers and holds what was loaded; nothing is scored or logged."""
        try:
            return not self._store.read_pins(["ready"]).never_materialized
        except StoreUnavailable:
            return False

    def query_vector(self, query: str) -> Floats | None:
        """The query's unit vector, stored or encoded here; None when there is neither."""
        return self.vector_and_work(query)[0]

    def vector_and_work(self, query: str) -> tuple[Floats | None, Work]:
        """As `query_vector`, with what it took, which an answer to the query then need not do again."""
        text, begun = normalise_query(query), perf_counter()
        payload, _ = self._query_payload(text)
        read = perf_counter()
        inputs, _, encoded, recalled = self._query(text, payload, self._clock())
        took = {"query": read - begun, "encode": perf_counter() - read}
        return inputs.embedding, Work(tuple(took.get(stage, 0.0) for stage in STAGES), encoded, recalled)

    def _query_payload(self, query: str) -> tuple[bytes | None, tuple[str, ...]]:
        try:
            return self._store.query(query), ()
        except StoreUnavailable:
            return self.last_good.query(query), (STORE,)

    def _query(
        self, query: str, payload: bytes | None, now: datetime
    ) -> tuple[QueryInputs, tuple[str, ...], bool, bool]:
        """What is known of the query, encoded here where no vector of it is stored; what could not be had; and whether
        a vector was encoded now, or for an earlier request.
        """
        inputs = unpack_query(payload, query, now)
        names: tuple[str, ...] = () if self._text_vectors else (OTHER_ENCODER,)
        if not inputs.known:
            names = (*names, QUERY_FEATURES)
        if payload is not None and not inputs.known and not is_whole(payload):
            names = (*names, CORRUPT_QUERY)
        fits = inputs.embedding is not None and len(inputs.embedding) == self.student.record.dimensions.query
        if fits and self._text_vectors:
            return inputs, names, False, False
        if (vector := self._vectors.get(query)) is not None:
            return replace(inputs, embedding=vector), names, False, True
        try:
            vector = rounded(self.encoder.encode([query])[0])
        except BadInput:  # the encoder's weights are not there: terms and trigrams still answer
            return replace(inputs, embedding=None), (*names, QUERY_EMBEDDING), False, False
        self._vectors.keep([query], [vector])
        return replace(inputs, embedding=vector), names, True, False

    def _pins(self, ids: Sequence[str]) -> tuple[Pins, tuple[str, ...]]:
        """What the store has of the pins, or had when it was last asked; and what could not be had of any."""
        try:
            read = self._store.read_pins(ids)
        except StoreUnavailable:
            return self.last_good.pins(ids), (STORE,)
        self.last_good.keep_pins(ids, read.payloads, read.whole)
        return read, (NEVER_MATERIALIZED,) if read.never_materialized else ()
