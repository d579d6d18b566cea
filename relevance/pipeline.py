"""The stages of `relevance run`, each made for a fold of the plan, and only where stale.

    teach      behaviour's and judged pairs' texts       -> FOLD/teacher (or another name, reading fewer fields)
    sample     pairs nobody judged                       -> FOLD/soft_pairs
    label      these, scored by a teacher                -> FOLD/soft_label, or the soft_label table where it serves
    check      soft labels beside what people said       -> drift.json beside the labels
    learn      human labels' features                    -> FOLD/student_human
               human and soft labels' features           -> FOLD/student
    predict    held-out judged pairs, by every model     -> FOLD/predictions/MODEL

FOLD is W/models where the models serve, W/models/folds/K or W/models/splits/NAME (by time or language) where they are
only tested. Held-out queries are in no label that a fold's models see: not in the judgments, and not in the pairs that
its teacher labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich import encoder_choice
from enrich.errors import BadInput
from enrich.job import JobReport
from enrich.tables import ENRICHED, SOFT_LABEL, Kind
from enrich.text_encoder import TextEncoder
from enrich.workspace import Workspace
from relevance import feature_store, query_encoder, soft_labels, stages
from relevance.candidates import CandidateIndex, workspace_index
from relevance.framing.judged import STUDENT_SERVICE, TEACHER_SERVICE, Judged, of_queries, teacher_rows, weak_rows
from relevance.labelling.gate import DriftReport, Gate
from relevance.labelling.log_pairs import Queries, SampleSettings
from relevance.labelling.negatives import Search
from relevance.labelling.sample import SAMPLE_VERSION, SoftSample, inputs_of, write_sample
from relevance.labelling.worker import LabelSettings, Texts
from relevance.learning.pieces import Pieces
from relevance.learning.soft_pairs import SoftPairs
from relevance.learning.training import LESSONS, train_student
from relevance.model_names import HUMAN_STUDENT, STUDENT_MODEL, TEACHER_MODEL
from relevance.plan import SERVING, Fold, PlanSettings, plan
from relevance.student import Student, StudentSettings
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import TeacherSettings, check_weights, producer_of, read_record
from relevance.teaching.freshness import teacher_made_from
from relevance.teaching.network import revision_of
from relevance.teaching.training import TEACHING_VERSION, train_teacher
from relevance.teaching.weak_labels import WeakSettings, weak_pairs
from relevance.training_frame import FrameJoin, refuse_other_features, training_frame

_TEACHER_NAME = re.compile(r"teacher(_[a-z0-9_]+)?")


@dataclass(frozen=True, slots=True)
class RunSettings:
    plan: PlanSettings = field(default_factory=PlanSettings)
    weak: WeakSettings = field(default_factory=WeakSettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    sample: SampleSettings = field(default_factory=SampleSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    student: StudentSettings = field(default_factory=StudentSettings)
    accept_drift: bool = False  # whether soft labels may teach that the gate refuses (labelling/gate.py)


class _Teacher(NamedTuple):
    """One that labels: under which name, how it is loaded, and how pairs are given what it reads."""

    producer: str
    load: Callable[[], Teacher]
    texts: Texts


class Pipeline:
    """One workspace's stages; what several of them read is read once."""

    def __init__(self, workspace: Workspace, settings: RunSettings) -> None:
        """A student whose settings name no text encoder has the one last named to the workspace."""
        self.workspace = workspace
        encoder = settings.student.text_encoder or encoder_choice.last_named(workspace)
        self.settings = replace(settings, student=replace(settings.student, text_encoder=encoder))

    @cached_property
    def judged(self) -> Judged:
        return Judged.of(self.workspace)

    @cached_property
    def folds(self) -> list[Fold]:
        """The plan's folds; the last one's models serve."""
        return plan(self.judged.pairs, self.workspace.models, self.settings.plan)

    @cached_property
    def index(self) -> CandidateIndex:
        return workspace_index(self.workspace)

    @cached_property
    def encoder(self) -> TextEncoder:
        """Of queries: the student's. Raises BadInput where the catalogue was not embedded by it, and it alone."""
        return query_encoder.of_workspace(self.workspace, self.settings.student.text_encoder)

    def teach(self, fold: Fold, name: str = TEACHER_MODEL) -> bool:
        """Train a teacher on the fold's judged texts; whether there was anything to do.

        Raises BadInput for a name that is not a teacher's: a model takes the place of what has its name.
        """
        if not _TEACHER_NAME.fullmatch(name):
            raise BadInput(f"expected --name as teacher, or teacher_ and then a-z, 0-9 or _, found {name!r}")
        chosen = self.settings.teacher
        train, dev = (of_queries(self.judged.texts, side) for side in (fold.split.train, fold.split.dev))
        weak = self._weak(fold)
        service = feature_store.fingerprint(self.workspace, TEACHER_SERVICE)

        def work(out: Path) -> None:
            train_teacher(teacher_rows(train), teacher_rows(dev), chosen, out, service, weak_rows(weak))

        def inputs(settings: TeacherSettings) -> str:
            return stages.fingerprint(train, dev, weak, settings, service, TEACHING_VERSION)

        made_from = teacher_made_from(fold.folder / name, chosen, self._backbone_files, inputs)
        return stages.make(fold.folder / name, made_from, work, _queries(train, dev, weak))

    @cached_property
    def _backbone_files(self) -> str | None:
        """A fingerprint, where a folder was named and is there."""
        named = self.settings.teacher.backbone
        return revision_of(named) if named is not None else None

    def _weak(self, fold: Fold) -> pl.DataFrame:
        """Pairs with levels read off behaviour, and their texts."""
        judged = self.judged.pairs.select("query", "pin_id", "level")
        training = of_queries(judged, fold.split.train)
        pairs = weak_pairs(self.workspace, judged, training, fold.split.held_out, self.settings.weak, fold.split.log)
        return training_frame(self.workspace, pairs, TEACHER_SERVICE) if pairs.height else pairs

    def sample(self, fold: Fold) -> SoftSample:
        """The pairs that the fold's teacher is asked about, drawn where an input changed since."""
        chosen, split = self.settings.sample, fold.split
        queries = Queries(split.train, split.held_out, split.log.before)
        folder, encoder = fold.folder / "soft_pairs", self.encoder
        search = Search(self.index, encoder.encode)
        index = stages.made_from_of(self.workspace.models / "candidates")
        inputs = inputs_of(self.workspace), index, encoder.producer, split.train, split.held_out, split.log.before
        made_from = stages.fingerprint(SAMPLE_VERSION, chosen, *inputs)
        stages.make(folder, made_from, partial(write_sample, self.workspace, queries, search, chosen))
        return SoftSample(folder)

    def label(self, fold: Fold) -> JobReport:
        """Have the fold's teacher label a sample of pairs that nobody judged.

        Raises BadInput where the texts come from other features than it was taught with.
        """
        teacher, into = self._teacher(fold), self._label_folder(fold)  # looked at before a sample is drawn
        sample, settings = self.sample(fold), self.settings.labels
        return soft_labels.label(sample, teacher.load, teacher.producer, teacher.texts, into, settings)

    def drift(self, fold: Fold) -> DriftReport:
        """Whether the fold's soft labels are fit to teach a student; drift.json, made anew where it is stale."""
        teacher, labels, judged = self._teacher(fold), self._label_folder(fold), self.judged.pairs
        gate = Gate(self.workspace, fold.split, SoftSample(fold.folder / "soft_pairs"), labels, judged)
        return gate.report(teacher.producer, teacher.load, lambda: self.judged.texts, teacher.texts)

    def _teacher(self, fold: Fold) -> _Teacher:
        """The fold's. Raises BadInput where there is none, its files are not whole, or other features are stored."""
        path = _model(fold, TEACHER_MODEL, "train-teacher")
        record = read_record(path)
        check_weights(path)
        refuse_other_features(self.workspace, TEACHER_SERVICE, record.feature_service, str(path))
        texts = partial(frame_texts, self.workspace, record.feature_service)
        return _Teacher(producer_of(record), partial(Teacher.load, path), texts)

    def learn(self, fold: Fold, name: str = STUDENT_MODEL) -> bool:
        """Train a student on the fold's human and soft labels, or, as `student_human`, on the human ones alone."""
        human = of_queries(self.judged.features, fold.split.train)
        dev = of_queries(self.judged.features, fold.split.dev)
        chosen, service = self.settings.student, feature_store.fingerprint(self.workspace, STUDENT_SERVICE)
        taught = _queries(human, dev)
        soft = None if name == HUMAN_STUDENT else self.soft_pairs(fold)
        if soft is None or not soft.rows:

            def of_people(out: Path) -> None:
                train_student(human, dev, chosen, out, self.encoder, service)

            made_from = stages.fingerprint(human, dev, chosen, service)
            return stages.make(fold.folder / name, made_from, of_people, taught)

        self.learn(fold, HUMAN_STUDENT)
        peer = fold.folder / HUMAN_STUDENT

        def of_both(out: Path) -> None:
            join = FrameJoin(self.workspace, STUDENT_SERVICE)
            pieces = Pieces.of(human).then(soft.pieces(out / LESSONS / "soft_pairs", join.frame))
            train_student(pieces, dev, chosen, out, self.encoder, service, Student.load(peer))

        joined = self._features_state(), stages.made_from_of(peer)
        made_from = stages.fingerprint(human, dev, soft.made_from, joined, chosen, service)
        taught |= soft.queries | (stages.taught_of(fold.folder / TEACHER_MODEL) or frozenset())
        return stages.make(fold.folder / name, made_from, of_both, taught)

    def _features_state(self) -> str:
        """A fingerprint of the tables that soft pairs' features are joined from, by their files: parts are never
        changed, and cost nothing to name however long they are.
        """
        tables = [table for table in ENRICHED if table.kind in (Kind.CONTENT, Kind.BEHAVIOUR)]
        files = [file for table in tables for file in self.workspace.folder(table).glob("*.parquet")]
        return stages.fingerprint(sorted((f.parent.name, f.name, f.stat().st_size) for f in files))

    def was_asked(self, fold: Fold) -> bool:
        """Whether the fold's teacher was asked about any pair; there is none to label where all is judged."""
        return self._soft_pairs(fold).asked

    def _soft_pairs(self, fold: Fold) -> SoftPairs:
        producer = producer_of(read_record(_model(fold, TEACHER_MODEL, "train-teacher")))
        sample = SoftSample(fold.folder / "soft_pairs")
        if not sample.made_from:
            raise _unlabelled(fold)
        return SoftPairs(self.workspace, self._label_folder(fold), producer, sample)

    def soft_pairs(self, fold: Fold) -> SoftPairs:
        """The pairs of the fold's sample, with its teacher's probabilities; those of pins deleted since left out.

        No rows where there was none to label: all is judged, or has no text. Raises BadInput where they are not
        labelled yet, where one is of a held-out query, and where the gate refuses them: also where the teacher was
        asked and not one of its answers is a distribution.
        """
        pairs = self._soft_pairs(fold)
        if not pairs.asked:
            if pairs.sample.pairs and not pairs.answered:
                raise _unlabelled(fold)
            return pairs
        if held_out := pairs.of_queries(fold.split.held_out):
            raise BadInput(
                f"expected soft labels of training queries alone, found {held_out} of held-out ones; remove "
                f"{self._label_folder(fold)} and run `relevance label` again"
            )
        if not self.settings.accept_drift:
            self.drift(fold).refuse(self._label_folder(fold))
        return pairs

    def _label_folder(self, fold: Fold) -> Path:
        return self.workspace.folder(SOFT_LABEL) if fold.name == SERVING else fold.folder / SOFT_LABEL.name


def frame_texts(workspace: Workspace, trained_from: str | None, pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs with what the teacher reads; on Ray, a worker calls it."""
    return training_frame(workspace, pairs, TEACHER_SERVICE, trained_from=trained_from)


def _unlabelled(fold: Fold) -> BadInput:
    return BadInput(
        f"expected soft labels of {fold.folder / TEACHER_MODEL} for the sample in {fold.folder / 'soft_pairs'}, found "
        "none; run `relevance label`"
    )


def _queries(*frames: pl.DataFrame) -> frozenset[str]:
    return frozenset(query for frame in frames if frame.height for query in frame["query"].unique())


def _model(fold: Fold, name: str, command: str) -> Path:
    folder = fold.folder / name
    if stages.made_from_of(folder) is None:
        raise BadInput(f"expected a model at {folder}, found none; run `relevance {command}` first")
    return folder
