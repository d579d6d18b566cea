"""Logged online requests computed again offline: are features and scores the same, to the last bit?

Reads W/requests (`request_log.py`), the enriched tables and the student; writes nothing (`relevance replay`). Of every
logged pin the row of pin_serving that was served is found by its hash and its payload packed anew from the typed tables
(`packed_again.py`), and the request goes through the scorer again with those payloads. What cannot be computed again
has a counted reason. Requests are taken some thousand pins at a time, so that memory does not grow with the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from enrich.errors import BadInput
from enrich.progress import progress
from enrich.serving import pin_payloads, query_payloads
from enrich.tables import PIN_SERVING, QUERY_SERVING
from enrich.workspace import Workspace
from relevance import query_encoder
from relevance.learning.inputs import QueryEncoder
from relevance.model_names import STUDENT_MODEL
from relevance.online import OTHER_ENCODER, QUERY_EMBEDDING, STORE, Scorer
from relevance.serving.lookup import Pins, Presence
from relevance.serving.packed_again import Again, PackedAgain, Served
from relevance.serving.request_log import DAMAGED, Entry, entries_at, folder_of, newest_lines
from relevance.student import Student

ANOTHER_MODEL = "another model answered"
DEGRADED = "answered without the online store"
UNCOMPARED = "answered without text vectors, another encoder's being in the store"
UNENCODED = "answered without the query's vector, the text encoder's weights not being there"
NOT_ENCODED = "the text encoder's weights are not there to compute the query's vector again"
BROKEN = "the online store held no payload but damaged bytes"
FEATURES, SCORES = "features differ", "scores differ"
_LOST = {STORE: DEGRADED, OTHER_ENCODER: UNCOMPARED, QUERY_EMBEDDING: UNENCODED}  # what no replay can do without
PINS_AT_ONCE = 50_000  # whose payloads are held, about 120 MB


@dataclass(slots=True)
class Replay:
    """What a replay found. `requests` and `pins` were compared; `left_out` counts pins that could not be, by reason."""

    requests: int = 0
    pins: int = 0
    equal: int = 0
    differing: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)  # of what differs: time, query, pin, what
    broken_lines: int = 0  # of the log, passed over
    first_broken: str = ""  # where, and what is wrong

    def pass_over(self, fault: str) -> None:
        """Count a line of the log that is none."""
        self.broken_lines, self.first_broken = self.broken_lines + 1, self.first_broken or fault

    @property
    def exact(self) -> bool:
        """Whether something was compared, and nothing differed."""
        return self.pins > 0 and not self.differing


class _Asked(NamedTuple):
    """A request that can be computed again, and what it is given this time."""

    entry: Entry
    query: Again
    pins: list[Again]


class _Answers:
    """Holds the payloads of one request after the other, and keeps the last answer."""

    def __init__(self) -> None:
        self._asked: _Asked | None = None
        self.kept: Entry | None = None

    def take(self, asked: _Asked) -> None:
        self._asked, self._payloads = asked, dict(zip(asked.entry.pins, asked.pins, strict=True))

    def now(self) -> datetime:
        assert self._asked is not None
        return datetime.fromisoformat(self._asked.entry.at)

    def read_pins(self, pin_ids: Sequence[str]) -> Pins:
        payloads = [self._payloads[pin].payload for pin in pin_ids]
        return Pins(payloads, [Presence.MISSING if payload is None else Presence.FOUND for payload in payloads])

    def query(self, query: str) -> bytes | None:
        assert self._asked is not None
        return self._asked.query.payload

    def wants(self) -> bool:
        return True

    def add(self, entry: Entry) -> None:
        self.kept = entry


class _Scorers(dict[int, Scorer]):
    """One for each number of threads, for a scorer keeps the vectors that it made of queries."""

    def __init__(self, student: Student, encoder: QueryEncoder, answers: _Answers) -> None:
        super().__init__()
        self._student, self._encoder, self._answers = student, encoder, answers

    def __missing__(self, threads: int) -> Scorer:
        clock = self._answers.now
        self[threads] = made = Scorer(self._student, self._answers, self._encoder, log=self._answers, clock=clock)
        return made


def replay(
    workspace: Workspace,
    logs: Sequence[Path] = (),
    limit: int | None = None,
    student: Student | None = None,
    encoder: QueryEncoder | None = None,
    pins_at_once: int = PINS_AT_ONCE,
) -> Replay:
    """Compute the requests of `logs` (default: all of W/requests) again; the newest `limit` of them.

    Raises BadInput where nothing was logged.
    """
    places = newest_lines(list(logs) or sorted(folder_of(workspace).glob("*.jsonl")), limit)
    if not places:
        raise BadInput(
            f"expected logged requests in {folder_of(workspace)}, found none; set CORKBOARD_RECORD=1 while "
            "`relevance serve` or `relevance score` runs"
        )
    student = student or Student.load(workspace.models / STUDENT_MODEL)
    found, answers = Replay(), _Answers()
    encodes = encoder or query_encoder.of_student(student)
    scorers = _Scorers(student, encodes, answers)
    pins = PackedAgain(workspace, PIN_SERVING, pin_payloads)
    queries = PackedAgain(workspace, QUERY_SERVING, query_payloads)
    with progress(len(places), "requests", "request") as bar:
        for entries in _at_once(entries_at(places, found.pass_over), pins_at_once):
            comparable = _comparable(entries, student.record.fingerprint, found)
            bar.update(len(entries) - len(comparable))
            for asked in _asked(comparable, pins, queries):
                answers.take(asked)
                _compare(asked, scorers, answers, found)
                bar.update(1)
    if found.broken_lines == len(places):
        raise BadInput(f"expected logged requests, found none on {found.first_broken}")
    return found


def _at_once(entries: Iterable[Entry], pins: int) -> Iterator[list[Entry]]:
    """The entries in lots of about so many pins."""
    some: list[Entry] = []
    held = 0
    for entry in entries:
        some.append(entry)
        held += len(entry.pins)
        if held >= pins:
            yield some
            some, held = [], 0
    if some:
        yield some


def _comparable(entries: Sequence[Entry], model: str, found: Replay) -> list[Entry]:
    """Those that can be computed again by this model; the others' pins are counted."""
    kept = []
    for entry in entries:
        lost = next((reason for name, reason in _LOST.items() if name in entry.lost), None)
        reason = ANOTHER_MODEL if entry.model != model else lost
        if reason is None:
            kept.append(entry)
        else:
            found.left_out[reason] += len(entry.pins)
    return kept


def _asked(entries: Sequence[Entry], pins: PackedAgain, queries: PackedAgain) -> Iterator[_Asked]:
    """The entries with what was served to each, packed anew."""
    of_queries = _again(queries, [(entry, entry.query, entry.query_payload) for entry in entries])
    of_pins = _again(pins, [(e, pin, said) for e in entries for pin, said in zip(e.pins, e.payloads, strict=True)])
    for entry, query in zip(entries, of_queries, strict=True):
        yield _Asked(entry, query, list(islice(of_pins, len(entry.pins))))


def _again(packed: PackedAgain, said: Sequence[tuple[Entry, str, str | None]]) -> Iterator[Again]:
    """What was served to each entry by each key, in the order given; `said` has the logged hash."""
    served = [
        Served(key, hash, datetime.fromisoformat(e.at)) for e, key, hash in said if hash is not None and hash != DAMAGED
    ]
    made = iter(packed.of(served))
    for _, _, hash in said:
        yield Again(None, None) if hash is None else Again(None, BROKEN) if hash == DAMAGED else next(made)


def _compare(asked: _Asked, scorers: _Scorers, answers: _Answers, found: Replay) -> None:
    """Answer the request again, and count what is not the same."""
    entry = asked.entry
    found.requests += 1
    if asked.query.reason:
        found.left_out[asked.query.reason] += len(entry.pins)
        return
    with _threads(entry.threads):
        scorers[entry.threads].answer(entry.query, entry.pins)
    again = answers.kept
    assert again is not None
    if QUERY_EMBEDDING in again.lost:
        found.left_out[NOT_ENCODED] += len(entry.pins)
        return
    for i, (pin, packed) in enumerate(zip(entry.pins, asked.pins, strict=True)):
        if packed.reason is not None:
            found.left_out[packed.reason] += 1
            continue
        found.pins += 1
        wrong = FEATURES if entry.features[i] != again.features[i] else None
        wrong = wrong or (SCORES if entry.probabilities[i] != again.probabilities[i] else None)
        if wrong is None:
            found.equal += 1
            continue
        found.differing[wrong] += 1
        if len(found.examples) < 10:
            found.examples.append(f"{entry.at} {entry.query!r} {pin}: {wrong}")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with as many of torch's threads as the answer was computed with."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            torch.set_num_threads(before)


def render(found: Replay) -> str:
    """The result as plain text."""
    lines = [
        f"{found.requests:,} requests computed again: {found.equal:,} of {found.pins:,} pins equal to the last bit"
    ]
    lines += [f"    {reason}: {count:,}" for reason, count in found.differing.most_common()]
    lines += [f"    {example}" for example in found.examples]
    if found.broken_lines:
        lines.append(f"    passed over, {found.broken_lines:,} lines that are no logged request; {found.first_broken}")
    lines += [f"    not compared, {reason}: {count:,}" for reason, count in found.left_out.most_common()]
    return "\n".join(lines)
