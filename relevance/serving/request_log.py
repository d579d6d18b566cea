"""What was answered online, kept so that it can be computed again (`relevance replay`).

Written by a `Scorer` that was opened with `record`, or under CORKBOARD_RECORD (a share of requests, 0..1), as lines of
JSON in W/requests/DATE.jsonl, one write a line, so that a killed process leaves whole lines and several may write. A
line names payloads by the hash of what they say and features by a digest; texts of pins are not in it, queries are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from enrich.errors import BadInput
from enrich.payload import content_hash, is_whole
from enrich.workspace import Workspace
from relevance.features import Features

RECORD_VARIABLE = "CORKBOARD_RECORD"
DAMAGED = "damaged"  # instead of the hash of bytes that are no payload
_DIGEST_BYTES = 8
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

    def wants(self) -> bool:
        return self._share > 0 and random.random() < self._share

    def add(self, entry: Entry) -> None:
        try:
            self._append(entry)
        except OSError as error:
            _LOG.warning("a request was answered but not logged: %s", error)

    def _append(self, entry: Entry) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(entry), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        path = self._folder / f"{entry.at[:10]}.jsonl"
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.write(file, line) < len(line):
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
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                raw = json.loads(line)
                lists = {name: tuple(raw[name]) for name in ("pins", "payloads", "features", "lost")}
                probabilities = tuple(tuple(row) for row in raw["probabilities"])
                yield Entry(**{**raw, **lists, "probabilities": probabilities})
            except (ValueError, KeyError, TypeError) as error:
                raise BadInput(f"expected a logged request on line {number} of {path}, found none ({error})") from error


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
