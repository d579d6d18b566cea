"""What answers now, and how it is replaced without a request noticing.

An `Engine` is everything that an answer follows from; a request takes the one that is there when it begins and keeps it
to its end. `Live` looks now and then at the files behind it (the student's, the candidate index', the tuned weights',
Feast's registry and configuration, what was loaded) and puts a new engine in its place when one of them changed. What
cannot be loaded, because it is being written, damaged or gone, leaves the old one answering; `Live.fault` says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from enrich.errors import CorkboardError
from enrich.workspace import Workspace
from relevance import query_encoder
from relevance.candidates import CandidateIndex
from relevance.feature_store import SCORING_SERVICE, applied_fingerprint, load_state_path
from relevance.learning.inputs import QueryEncoder
from relevance.model_names import STUDENT_MODEL
from relevance.online import Scorer, Work
from relevance.ranking import RankSettings
from relevance.service.fitting import Fit
from relevance.service.logs import LOG
from relevance.service.settings import ServiceSettings
from relevance.serving.kept import CachedStore, LastGood, PayloadStore
from relevance.serving.lookup import OnlineFeatures
from relevance.serving.request_log import RequestLog, recorded_share
from relevance.student import Student
from relevance.tuning.chosen import chosen_path, chosen_settings


class Found(NamedTuple):
    """Candidates of a query."""

    pin_ids: Sequence[str]  # best first
    work: Work | None = None  # for the query's vector; None where they were found without


Candidates = Callable[[str, int], Found]  # (query, how many)


@dataclass(frozen=True, slots=True)
class Engine:
    """One generation of what answers."""

    scorer: Scorer
    candidates: Candidates | None = None  # finds pins for /rank requests that name none
    features: str | None = None  # fingerprint of the feature service that is read
    ranking: RankSettings = field(default_factory=RankSettings)
    fit: Fit = field(default_factory=Fit)  # whether the student fits what the store holds

    @property
    def model(self) -> str:
        return self.scorer.student.record.fingerprint


class _Seen(NamedTuple):
    """What the files were when they were last loaded; None for one that is not there."""

    student: tuple[int, ...] | None
    candidates: tuple[int, ...] | None
    ranking: tuple[int, ...] | None
    store: tuple[tuple[int, ...] | None, ...]
    loaded: tuple[int, ...] | None  # what `relevance` loads into the store, said as a load begins and as it ends


class Live:
    """The engine of a process; `engine` may be read from any thread."""

    def __init__(self, engine: Engine, load: Loader | None = None) -> None:
        """Without a loader the engine never changes."""
        self.engine = engine
        _warn(engine.fit)
        self.fault: str | None = None  # why the newest files are not what answers
        self._load = load
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> bool:
        """Take up what changed since; whether anything did. For one thread at a time."""
        if self._load is None:
            return False
        try:
            fresh = self._load.changed(self.engine)
        except Exception as error:  # noqa: BLE001  # a file being written raises Polars', Feast's or protobuf's own
            if str(error) != self.fault:
                LOG.warning("what changed cannot be loaded; the old stays: %s", error)
            self.fault = str(error)
            return False
        self.fault = None
        if fresh is None:
            return False
        _warn(fresh.fit, self.engine.fit)
        self.engine = fresh
        LOG.info("answers with model %s, features %s", fresh.model, fresh.features)
        return True

    def watch(self, seconds: float, changed: Callable[[bool], None]) -> None:
        """Look every so many seconds until `stop`; `changed` is told of each reload, and of each that failed anew."""

        def run() -> None:
            while not self._stop.wait(seconds):
                before = self.fault
                if self.look() or (self.fault and self.fault != before):
                    changed(self.fault is None)

        self._stop.clear()
        self._thread = threading.Thread(target=run, name="reload", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()


class Loader:
    """Makes engines of a workspace."""

    def __init__(self, workspace: Workspace, settings: ServiceSettings) -> None:
        self._workspace, self._settings = workspace, settings
        share = recorded_share(settings.record)
        self._log = RequestLog(workspace, share) if share else None
        self._store: PayloadStore | None = None
        self._features: str | None = None
        self._index: CandidateIndex | None = None
        self._seen: _Seen | None = None

    def first(self) -> Engine:
        """The engine to begin with. Raises BadInput where there is no student, feature service or candidate index."""
        seen = self._look()
        self._index = CandidateIndex.load(self._index_folder)
        student, store = self._student(), self._open_store()
        fit = Fit.of(self._workspace, student.record)
        engine = self._engine(student, query_encoder.of_student(student), store, fit, LastGood())
        self._seen = seen
        return engine

    def changed(self, now: Engine) -> Engine | None:
        """A new engine where a file behind `now` is another one; None where none is.

        Raises CorkboardError or OSError where it cannot be loaded; the next call tries again.
        """
        seen, before = self._look(), self._seen
        if seen == before or before is None:
            return None
        if gone := [path for path, was, now_is in zip(self._store_files, before.store, seen.store, strict=True)
                    if was is not None and now_is is None]:  # fmt: skip
            raise CorkboardError(f"expected Feast's files where they were, found none at {gone[0]}; restore it")
        scorer, same = now.scorer, seen.student == before.student
        store = self._store if seen.store == before.store and self._store is not None else self._open_store()
        if seen.candidates is not None and seen.candidates != before.candidates:
            self._index = CandidateIndex.load(self._index_folder)
        student, encoder = (scorer.student, scorer.encoder) if same else self._other_student(now.fit)
        stays = same and (seen.store, seen.loaded) == (before.store, before.loaded)
        fit = now.fit if stays else Fit.of(self._workspace, student.record)
        engine = self._engine(student, encoder, store, fit, _last_good(now, student, fit))
        if not same:
            engine.scorer.warm()
        self._seen = seen
        return engine

    def _engine(
        self, student: Student, encoder: QueryEncoder, store: PayloadStore, fit: Fit, last_good: LastGood
    ) -> Engine:
        text_vectors = fit.encoder is None
        scorer = Scorer(student, store, encoder, self._log, last_good=last_good, text_vectors=text_vectors)
        return Engine(scorer, _candidates(scorer, self._index), self._features, chosen_settings(self._workspace), fit)

    def _other_student(self, before: Fit) -> tuple[Student, QueryEncoder]:
        """Raises BadInput for one of another encoder than the store's vectors where the one before fits them."""
        student = self._student()
        return student, query_encoder.of_student(student, self._workspace if before.encoder is None else None)

    def _student(self) -> Student:
        return Student.load(self._workspace.models / STUDENT_MODEL)

    def _open_store(self) -> PayloadStore:
        store: PayloadStore = OnlineFeatures.open(self._workspace)
        if self._settings.pin_cache_seconds:
            store = CachedStore(store, self._settings.pin_cache_seconds)
        self._features = applied_fingerprint(self._workspace, SCORING_SERVICE)
        self._store = store
        return store

    @property
    def _store_files(self) -> tuple[Path, ...]:
        """Whose change may be another store, or other features; a SQL registry has no file."""
        return self._workspace.feature_store_yaml, self._workspace.root / "registry.db"

    @property
    def _index_folder(self) -> Path:
        return self._workspace.models / "candidates"

    def _look(self) -> _Seen:
        student = self._workspace.models / STUDENT_MODEL
        return _Seen(
            mark(student / "student.json", student / "model.safetensors"),
            mark(self._index_folder / "made_from.json"),
            mark(chosen_path(self._workspace)),
            tuple(map(mark, self._store_files)),
            mark(load_state_path(self._workspace)),
        )


def _candidates(scorer: Scorer, index: CandidateIndex | None) -> Candidates:
    """By terms alone while the index holds vectors of another encoder than the student's, which changes after it."""
    record = scorer.student.record
    by_vector = index is None or index.compares(record.encoder, record.dimensions.query)
    if not by_vector:
        LOG.warning("candidates are found by their terms alone: the index is of another text encoder than the student")

    def candidates(query: str, limit: int) -> Found:
        if index is None:
            return Found([])
        vector, work = scorer.vector_and_work(query) if by_vector else (None, None)
        return Found(index.search(query, vector, limit), work)

    return candidates


def _last_good(before: Engine, student: Student, fit: Fit) -> LastGood:
    """The payloads that were kept, unless text vectors of another encoder than the student's may be among them."""
    same = before.scorer.student.record.encoder == student.record.encoder
    return before.scorer.last_good if fit.encoder or (same and not before.fit.encoder) else LastGood()


def _warn(fit: Fit, before: Fit | None = None) -> None:
    """Say what does not fit, where that was not said before."""
    for line in fit.reasons:
        if before is None or line not in before:
            LOG.warning("%s", line)


def mark(*files: Path) -> tuple[int, ...] | None:
    """What tells files from those that replace them; None where one is not there."""
    try:
        found = [file.stat() for file in files]
    except FileNotFoundError:
        return None
    return tuple(n for one in found for n in (one.st_ino, one.st_size, one.st_mtime_ns))
