"""What was answered online, kept so that it can be computed again (`relevance replay`).

Written by a `Scorer` that was opened with `record`, or under CORKBOARD_RECORD (a share of requests, 0..1), as lines of
JSON in W/requests/DATE.jsonl, one write a line, so that a killed process leaves whole lines and several may write. A
line names payloads by the hash of what they say and features by a digest; texts of pins are not in it, queries are.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from enrich.errors import BadInput
from enrich.payload import content_hash, is_whole
from enrich.workspace import Workspace
from relevance.features import Features

RECORD_VARIABLE = "CORKBOARD_RECORD"
DAMAGED = "damaged"  # instead of the hash of bytes that are no payload
_DIGEST_BYTES = 8
_QUIET_SECONDS = 60.0  # between two warnings
_MOST_THREADS = 4_096  # that a line may ask `relevance replay` to compute with
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and its answer; the tuples have an item a pin, in the order asked."""

    at: str  # ISO time
    model: str  # the student's fingerprint
    query: str  # as normalised
    query_payload: str | None  # hash of what the query's payload says; None where there was none
    pins: tuple[str, ...]
    payloads: tuple[str | None, ...]
    features: tuple[str, ...]  # digest of all that the student was given for the pin
    probabilities: tuple[tuple[float, ...], ...]
    lost: tuple[str, ...]  # what the whole request had to do without
    request_id: str | None = None  # as the service's answer and log line had it
    threads: int = 1  # of torch: among more, sums are split otherwise, and their last bits are others


class AnswerLog(Protocol):
    """Where a Scorer leaves its answers."""

    def add(self, entry: Entry) -> None:
        """Keep the entry, or warn that it could not be kept: a full disk must not cost an answer."""

    def wants(self) -> bool: ...


class RequestLog:
    """Appends a share of the entries to W/requests."""

    def __init__(self, workspace: Workspace, share: float) -> None:
        if not 0 <= share <= 1:
            raise BadInput(f"expected a share of requests to record from 0 to 1, found {share}; see {RECORD_VARIABLE}")
        self._folder, self._share = folder_of(workspace), share
        self._lost, self._said = 0, -_QUIET_SECONDS  # answers since it was last said; when that was

    def wants(self) -> bool:
        return self._share > 0 and random.random() < self._share

    def add(self, entry: Entry) -> None:
        try:
            self._append(entry)
        except OSError as error:
            self._lost += 1
            if time.monotonic() - self._said > _QUIET_SECONDS:  # not a line an answer: the disk may be the log's, too
                _LOG.warning("%d requests were answered but not logged: %s", self._lost, error)
                self._lost, self._said = 0, time.monotonic()

    def _append(self, entry: Entry) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(entry), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        path = self._folder / f"{entry.at[:10]}.jsonl"
        append_line(path, line)


def append_line(path: Path, line: bytes) -> None:
    """Add a whole line, or raise OSError and leave the file as it was: a full disk takes part of one, and the next line
    would be lost with it. For several threads and processes.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = os.fstat(file).st_size
        if os.write(file, line) < len(line):
            os.ftruncate(file, before)
            raise OSError(f"only part of a line fitted into {path}")
    finally:
        os.close(file)


def recorded_share(record: float | None) -> float:
    """`record`, else what CORKBOARD_RECORD says, else 0. Raises BadInput for what is no number."""
    said = os.environ.get(RECORD_VARIABLE) if record is None else record
    try:
        return float(said or 0)
    except ValueError as error:
        raise BadInput(f"expected {RECORD_VARIABLE} to be a share from 0 to 1, found {said!r}") from error


def folder_of(workspace: Workspace) -> Path:
    return workspace.root / "requests"


def read_entries(path: Path) -> Iterator[Entry]:
    """The entries of a log file, oldest first. Raises BadInput at a line that is none."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield _entry(line)
            except (ValueError, KeyError, TypeError) as error:
                raise BadInput(f"expected a logged request on line {number} of {path}, found none ({error})") from error


class Place(NamedTuple):
    """A line of a log file."""

    path: Path
    number: int
    start: int  # bytes before it


def newest_lines(paths: Sequence[Path], limit: int | None = None) -> list[Place]:
    """The lines of log files that are given oldest first, or the newest `limit` of them; oldest first."""
    found: list[Place] = []
    for path in reversed(paths):
        here: deque[Place] = deque(maxlen=None if limit is None else limit - len(found))
        start = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                here.append(Place(path, number, start))
                start += len(line)
        found = [*here, *found]
        if limit is not None and len(found) >= limit:
            break
    return found


def entries_at(places: Iterable[Place], broken: Callable[[str], None]) -> Iterator[Entry]:
    """The entries of these lines, read as they are asked for; of a line that is none `broken` is told where and why."""
    for path, group in groupby(places, key=lambda place: place.path):
        with path.open("rb") as lines:
            for place in group:
                lines.seek(place.start)
                try:
                    yield _entry(lines.readline())
                except (ValueError, KeyError, TypeError) as error:
                    broken(f"line {place.number} of {path} ({error})")


def _entry(line: bytes) -> Entry:
    """Raises ValueError, KeyError or TypeError where it is none."""
    raw = json.loads(line)
    lists = {name: tuple(raw[name]) for name in ("pins", "payloads", "features", "lost")}
    probabilities = tuple(tuple(row) for row in raw["probabilities"])
    entry = Entry(**{**raw, **lists, "probabilities": probabilities})
    if {len(entry.pins)} != {len(entry.payloads), len(entry.features), len(entry.probabilities)}:
        raise ValueError("its lists are not of one length")
    datetime.fromisoformat(entry.at)
    if not 1 <= entry.threads <= _MOST_THREADS:
        raise ValueError(f"{entry.threads} threads")
    return entry


def entry_of(
    at: datetime,
    model: str,
    query: str,
    query_payload: bytes | None,
    pins: Sequence[str],
    payloads: Sequence[bytes | None],
    features: Features,
    probabilities: Sequence[Sequence[float]],
    lost: Sequence[str],
    request_id: str | None = None,
) -> Entry:
    """An answer as it is logged."""
    return Entry(
        at=at.isoformat(),
        model=model,
        query=query,
        query_payload=_identity(query_payload),
        pins=tuple(pins),
        payloads=tuple(map(_identity, payloads)),
        features=digests(features),
        probabilities=tuple(tuple(row) for row in probabilities),
        lost=tuple(lost),
        request_id=request_id,
        threads=torch.get_num_threads(),
    )


def _identity(payload: bytes | None) -> str | None:
    if payload is None:
        return None
    return content_hash(payload) if is_whole(payload) else DAMAGED


def digests(features: Features) -> tuple[str, ...]:
    """A digest a pair over every number that the student reads of it, its query's among them."""
    query = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in (features.query_vector, features.query_numbers, features.interests):
        query.update(np.ascontiguousarray(part).tobytes())
    blocks = [np.ascontiguousarray(b) for b in (features.text, features.visual, features.graph, features.numbers)]
    found = []
    for row in range(len(features)):
        digest = query.copy()
        for block in blocks:
            digest.update(block[row].tobytes())
        found.append(digest.hexdigest())
    return tuple(found)
