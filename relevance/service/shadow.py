"""A second student in the shadow: it scores what was answered, is logged and counted, and is never returned.

Reads answers as they go out; writes W/shadow/DATE.jsonl, a line an answer: time, request, both models' fingerprints,
the query, the pins and both expected levels of each. One thread works at it beside the requests; answers that come
faster than it can score are dropped and counted, never waited for. It reads the vectors that were unpacked for the
student that answers: while that one reads others, the shadow rests.
"""

from __future__ import annotations

import json
import queue
import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from enrich.tables import LEVELS
from enrich.workspace import Workspace
from relevance.features import Floats
from relevance.learning.inputs import QueryEncoder, rounded
from relevance.online import Answer
from relevance.service.logs import LOG
from relevance.service.meters import Meters
from relevance.serving.request_log import append_line
from relevance.student import Student

_AT_MOST = 4  # answers that wait for it; each holds its pins' vectors, 5 MB of 1,000 pins


class _Waiting(NamedTuple):
    request_id: str
    model: str
    answer: Answer


class Shadow:
    """Runs from `start` to `stop`."""

    def __init__(
        self, student: Student, encoder: QueryEncoder, folder: Path, meters: Meters, share: float = 1.0
    ) -> None:
        self.student = student
        self._encoder, self._folder, self._meters, self._share = encoder, folder, meters, share
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(_AT_MOST)
        self._thread: threading.Thread | None = None
        self._unfit = ""  # the answering model that was last found to read other vectors

    @property
    def model(self) -> str:
        return self.student.record.fingerprint

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Score what waits, then end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def saw(self, request_id: str, answering: Student, answer: Answer) -> None:
        """Never waits and never raises."""
        if not self._fits(answering) or random.random() >= self._share:
            return
        try:
            self._queue.put_nowait(_Waiting(request_id, answering.record.fingerprint, answer))
        except queue.Full:
            self._meters.shadow_dropped.inc()

    def _fits(self, answering: Student) -> bool:
        """Whether it reads vectors as the model that answers; that it does not is said once a model."""
        record, own = answering.record, self.student.record.dimensions
        if record.dimensions == own:
            return True
        if self._unfit != record.fingerprint:
            self._unfit = record.fingerprint
            LOG.warning(
                "the shadow rests: expected to read vectors as model %s, which answers now (%s), found %s; train it on "
                "this workspace's features",
                *(record.fingerprint, record.dimensions, own),
            )
        return False

    def _run(self) -> None:
        while (waiting := self._queue.get()) is not None:
            try:
                self._score(waiting)
            except Exception:  # noqa: BLE001  # whatever a second model does to itself, the first one's answers go on
                LOG.exception("the shadow model failed at request %s", waiting.request_id)

    def _score(self, waiting: _Waiting) -> None:
        levels = self._levels(waiting.answer)
        known = waiting.answer.pins.present
        self._meters.shadow_pins.inc(len(levels))
        for apart in np.abs(levels - waiting.answer.relevance)[known].tolist():
            self._meters.shadow_apart.observe(apart)
        _append(self._folder, _line(waiting, self.model, levels.tolist()))

    def _levels(self, answer: Answer) -> Floats:
        query = answer.query
        if query.embedding is None or len(query.embedding) != self.student.record.dimensions.query:
            query = replace(query, embedding=rounded(self._encoder.encode([query.query])[0]))
        features = self.student.features(query, answer.pins, answer.rates, answer.has_rates)
        probabilities = self.student.predict(features)
        probabilities[~answer.pins.present] = self.student.record.prior
        levels: Floats = (probabilities * np.asarray(LEVELS, np.float32)).sum(axis=1)
        return levels


def folder_of(workspace: Workspace) -> Path:
    return workspace.root / "shadow"


def _line(waiting: _Waiting, shadow: str, levels: Sequence[float]) -> bytes:
    said = {
        "at": datetime.now(UTC).isoformat(),
        "request_id": waiting.request_id,
        "model": waiting.model,
        "shadow": shadow,
        "query": waiting.answer.query.query,
        "pins": waiting.answer.pin_ids,
        "levels": waiting.answer.relevance.tolist(),
        "shadow_levels": levels,
        "lost": waiting.answer.lost,
    }
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _append(folder: Path, line: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    append_line(folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl", line)
