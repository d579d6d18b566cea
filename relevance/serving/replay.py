"""Logged online requests computed again offline: are features and scores the same, to the last bit?

Reads W/requests (`request_log.py`), the enriched tables and the student; writes nothing (`relevance replay`). Of every
logged pin the row of pin_serving that was served is found by its hash; its payload is packed anew from the typed tables
as they stood at that row's packing (by both clocks and by when their rows were written), and the request goes through
the scorer again with those payloads. What cannot be computed again has a counted reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich import parts
from enrich.errors import BadInput
from enrich.payload import content_hash
from enrich.progress import progress
from enrich.serving import pin_payloads, query_payloads
from enrich.tables import PIN_SERVING, QUERY_SERVING, Table
from enrich.text_encoder import TextEncoder
from enrich.workspace import Workspace
from relevance.model_names import STUDENT_MODEL
from relevance.online import Scorer
from relevance.serving.lookup import Pins, Presence
from relevance.serving.request_log import DAMAGED, Entry, folder_of, read_entries
from relevance.student import Student
from relevance.student_inputs import QueryEncoder

ANOTHER_MODEL = "another model answered"
DEGRADED = "answered without the online store"
NOT_KEPT = "its payload is in no table any more"
BROKEN = "the online store held no payload but damaged bytes"
REWRITTEN = "the rows it was made from were rewritten or deleted since"
FEATURES, SCORES = "features differ", "scores differ"

_Pack = Callable[[Workspace, pl.DataFrame, datetime, datetime], pl.DataFrame]


@dataclass(slots=True)
class Replay:
    """What a replay found. `requests` and `pins` were compared; `left_out` counts pins that could not be, by reason."""

    requests: int = 0
    pins: int = 0
    equal: int = 0
    differing: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)  # of what differs: time, query, pin, what

    @property
    def exact(self) -> bool:
        """Whether something was compared, and nothing differed."""
        return self.pins > 0 and not self.differing


class _Found(NamedTuple):
    payload: bytes | None
    reason: str | None  # why there is none where one was served


class _Answers:
    """Holds the payloads of one request, and keeps the answer."""

    def __init__(self, query: bytes | None, pins: dict[str, bytes | None]) -> None:
        self._query, self._payloads = query, pins
        self.kept: list[Entry] = []

    def read_pins(self, pin_ids: Sequence[str]) -> Pins:
        payloads = [self._payloads[pin] for pin in pin_ids]
        return Pins(payloads, [Presence.MISSING if payload is None else Presence.FOUND for payload in payloads])

    def query(self, query: str) -> bytes | None:
        return self._query

    def wants(self) -> bool:
        return True

    def add(self, entry: Entry) -> None:
        self.kept.append(entry)


def replay(
    workspace: Workspace,
    logs: Sequence[Path] = (),
    limit: int | None = None,
    student: Student | None = None,
    encoder: QueryEncoder | None = None,
) -> Replay:
    """Compute the requests of `logs` (default: all of W/requests) again; the newest `limit` of them.

    Raises BadInput where nothing was logged.
    """
    files = list(logs) or sorted(folder_of(workspace).glob("*.jsonl"))
    entries = [entry for path in files for entry in read_entries(path)]
    if not entries:
        raise BadInput(
            f"expected logged requests in {folder_of(workspace)}, found none; set CORKBOARD_RECORD=1 while "
            "`relevance serve` or `relevance score` runs"
        )
    student = student or Student.load(workspace.models / STUDENT_MODEL)
    encoder = encoder or TextEncoder(student.record.settings.text_encoder)
    found = Replay()
    chosen = entries[-limit:] if limit else entries
    with progress(len(chosen), "requests") as bar:
        for entry in chosen:
            _replay_one(workspace, entry, student, encoder, found)
            bar.update(1)
    return found


def _replay_one(workspace: Workspace, entry: Entry, student: Student, encoder: QueryEncoder, found: Replay) -> None:
    whole = ANOTHER_MODEL if entry.model != student.record.fingerprint else DEGRADED if "store" in entry.lost else None
    if whole:
        found.left_out[whole] += len(entry.pins)
        return
    served = dict(zip(entry.pins, entry.payloads, strict=True))
    pins = _payloads(workspace, PIN_SERVING, served, entry.at, pin_payloads)
    query = _payloads(workspace, QUERY_SERVING, {entry.query: entry.query_payload}, entry.at, query_payloads)
    found.requests += 1
    if query[entry.query].reason:
        found.left_out[str(query[entry.query].reason)] += len(entry.pins)
        return
    answers = _Answers(query[entry.query].payload, {pin: pins[pin].payload for pin in entry.pins})
    then = datetime.fromisoformat(entry.at)
    Scorer(student, answers, encoder, log=answers, clock=lambda: then).answer(entry.query, entry.pins)
    again = answers.kept[0]
    for i, pin in enumerate(entry.pins):
        if (reason := pins[pin].reason) is not None:
            found.left_out[reason] += 1
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


def _payloads(
    workspace: Workspace, table: Table, served: dict[str, str | None], at: str, pack: _Pack
) -> dict[str, _Found]:
    """Of each key what was served, packed anew from the typed tables."""
    key = table.key[0]
    asked = pl.DataFrame(
        {key: list(served), "input_hash": list(served.values())}, {key: pl.String, "input_hash": pl.String}
    )
    rows = parts.scan(workspace.folder(table)).select(key, "input_hash", "event_timestamp")
    packed = (
        rows.filter(pl.col("event_timestamp") <= datetime.fromisoformat(at))
        .join(asked.lazy(), on=[key, "input_hash"], how="semi")
        .group_by(key)
        .agg(pl.col("event_timestamp").max())
        .collect()
    )
    made: dict[str, bytes] = {}
    for (moment,), some in packed.group_by("event_timestamp"):
        assert isinstance(moment, datetime)
        made.update(pack(workspace, some.select(key).sort(key), moment, moment).select(key, "payload").iter_rows())
    kept = set(packed[key].to_list())
    return {name: _found(wanted, made.get(name), name in kept) for name, wanted in served.items()}


def _found(wanted: str | None, made: bytes | None, kept: bool) -> _Found:
    if wanted is None:
        return _Found(None, None)
    if wanted == DAMAGED:
        return _Found(None, BROKEN)
    if not kept:
        return _Found(None, NOT_KEPT)
    if made is None or content_hash(made) != wanted:
        return _Found(None, REWRITTEN)
    return _Found(made, None)


def render(found: Replay) -> str:
    """The result as plain text."""
    lines = [
        f"{found.requests:,} requests computed again: {found.equal:,} of {found.pins:,} pins equal to the last bit"
    ]
    lines += [f"    {reason}: {count:,}" for reason, count in found.differing.most_common()]
    lines += [f"    {example}" for example in found.examples]
    lines += [f"    not compared, {reason}: {count:,}" for reason, count in found.left_out.most_common()]
    return "\n".join(lines)
