"""Soft labels on their way to the student: sorted, in pieces, without what was deleted; a student taught by them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from table_rows import write_rows
from test_label_drift import SPLIT, START, as_it_is, judge, sample_of_labels, write_labels
from tiny_models import tiny_bert

from enrich import parts, tables
from enrich.workspace import Workspace
from relevance import stages
from relevance.learning.network import NetworkSettings, Size
from relevance.learning.soft_pairs import SoftPairs
from relevance.model_names import HUMAN_STUDENT, STUDENT_MODEL
from relevance.pipeline import Pipeline, RunSettings
from relevance.plan import Fold
from relevance.student import Student, StudentSettings
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.rows import TeacherRows
from relevance.teaching.training import train_teacher
from tests.relevance.students import WordEncoder


def delete(workspace: Workspace, pin: str) -> None:
    gone = pl.DataFrame({"kind": ["pin"], "id": [pin], "deleted_at": [START]})
    typed = gone.with_columns(pl.col("deleted_at").cast(pl.Datetime("us", "UTC")))
    parts.append(workspace.folder(tables.DELETIONS), tables.DELETIONS, typed.to_arrow())


def soft_pairs(workspace: Workspace, sampled: int = 240) -> SoftPairs:
    """Of a sample of so many of the labelled pairs."""
    sample = sample_of_labels(workspace, sampled)
    return SoftPairs(workspace, workspace.folder(tables.SOFT_LABEL), "teacher@abc", sample)


def test_pieces_are_sorted_labels_of_one_teacher_and_of_pins_that_are_there(workspace: Workspace, tmp_path) -> None:
    write_labels(workspace, as_it_is)
    delete(workspace, "p3")
    pairs = soft_pairs(workspace)
    assert pairs.rows == 200 and len(pairs.queries) == 40
    assert pairs.of_queries(frozenset({"s1", "q1"})) == 5
    pieces = pairs.pieces(tmp_path / "pieces", lambda frame: frame, rows=64)
    frames = [pieces.frame(number) for number in range(pieces.count)]
    assert [frame.height for frame in frames] == [64, 64, 64, 8]
    whole = pl.concat(frames)
    assert whole.select("query", "pin_id").equals(whole.select("query", "pin_id").sort("query", "pin_id"))
    assert "p3" not in whole["pin_id"].to_list() and set(whole["label_source"]) == {"teacher"}
    assert np.array(whole["probabilities"].to_list()).sum(axis=1) == pytest.approx(np.ones(200), abs=1e-5)
    assert replace(pairs, producer="teacher@other").rows == 0
    other = pairs.pieces(tmp_path / "pieces", lambda frame: frame.head(1), rows=10)
    assert other.count == 4 and other.frame(3).height == 1, "sorted once"
    next((tmp_path / "pieces").glob("piece-*")).unlink()
    assert pairs.pieces(tmp_path / "pieces", lambda frame: frame, rows=150).count == 2, "one was lost"


def test_a_pair_that_people_judged_since_is_theirs(workspace: Workspace, tmp_path) -> None:
    write_labels(workspace, as_it_is)
    pairs = soft_pairs(workspace)
    first = pairs.scan().select("query", "pin_id").sort("query", "pin_id").head(3).collect()
    before = pairs.rows
    write_rows(
        workspace,
        tables.JUDGMENT,
        *({**one, "level": 4, "votes": [4], "event_timestamp": START} for one in first.to_dicts()),
    )
    pairs = soft_pairs(workspace)
    assert pairs.rows == before - 3
    pieces = pairs.pieces(tmp_path / "pieces", lambda frame: frame)
    whole = pl.concat([pieces.frame(number) for number in range(pieces.count)])
    assert whole.height == before - 3 and whole.join(first, on=["query", "pin_id"], how="semi").is_empty()


def test_labels_of_an_earlier_sample_do_not_teach(workspace: Workspace, tmp_path) -> None:
    """240 pairs were labelled, of which the sample now has the first hundred: seventeen queries."""
    write_labels(workspace, as_it_is)
    before, pairs = soft_pairs(workspace).made_from, soft_pairs(workspace, 100)
    assert (pairs.rows, len(pairs.queries), pairs.asked) == (100, 17, True)
    pieces = pairs.pieces(tmp_path / "pieces", lambda frame: frame, rows=64)
    assert [pieces.frame(number).height for number in range(pieces.count)] == [64, 36]
    assert pairs.made_from != before
    none = soft_pairs(workspace, 0)
    assert (none.rows, none.asked, none.answered) == (0, False, False)


class _Learning(Pipeline):
    """With an encoder that costs nothing."""

    encoder = WordEncoder()  # type: ignore[assignment]


def test_a_student_learns_from_people_and_a_teacher_until_one_of_them_says_more(workspace: Workspace) -> None:
    judge(workspace)
    rows = TeacherRows(["table", "rug"] * 8, ["table"] * 16, np.array([5, 1] * 8))
    chosen = TeacherSettings(backbone=str(tiny_bert(workspace.root / "backbone")), epochs=1, hidden=(8,))
    fold = Fold("serving", workspace.models, SPLIT)
    stages.make(fold.folder / "teacher", "f", lambda out: train_teacher(rows, rows, chosen, out))
    write_labels(workspace, as_it_is)
    folder = workspace.folder(tables.SOFT_LABEL)
    labels = parts.scan(folder).collect()
    labels = labels.with_columns(producer=pl.lit(Teacher.load(fold.folder / "teacher").producer))
    parts.replace(folder, tables.SOFT_LABEL, labels.to_arrow())
    sample_of_labels(workspace)
    student = replace(StudentSettings(), network=NetworkSettings(Size.S), epochs=2)
    settings = RunSettings(student=student, accept_drift=True)

    assert _Learning(workspace, settings).learn(fold)
    record = Student.load(fold.folder / STUDENT_MODEL).record
    assert (record.human_rows, record.teacher_rows) == (6, 240)
    assert stages.taught_of(fold.folder / STUDENT_MODEL) >= {"q12", "q0", "s0", "s39"}
    assert stages.made_from_of(fold.folder / HUMAN_STUDENT), "who has a say in the soft labels"
    assert not _Learning(workspace, settings).learn(fold), "fresh"
    more = labels.with_columns(query=pl.col("query") + "x")
    parts.append(folder, tables.SOFT_LABEL, more.to_arrow())
    sample_of_labels(workspace, 480)
    assert _Learning(workspace, settings).learn(fold)
    assert Student.load(fold.folder / STUDENT_MODEL).record.teacher_rows == 480
    assert not list(fold.folder.glob(".student*")), "lessons are gone"
