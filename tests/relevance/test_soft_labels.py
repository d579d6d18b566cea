"""The teacher is asked about each pair once, through kills, later samples and on either engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tiny_models import tiny_bert

from enrich import parts, tables
from enrich.engine import Engine
from enrich.errors import BadInput
from enrich.job import JobReport
from enrich.workspace import Workspace
from relevance import stages
from relevance.labelling.sample import SamplePart, SoftSample, write_parts
from relevance.labelling.worker import NO_DISTRIBUTION, NO_TEXT, LabelSettings, tasks_of
from relevance.soft_labels import label
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.rows import TeacherRows
from relevance.teaching.training import train_teacher
from relevance.text import PinText

START = datetime(2024, 1, 1, tzinfo=UTC)
THINGS = ("table", "chair", "lamp", "rug")
PINS = {f"p{i:03}": f"oak {THINGS[i % 4]}" for i in range(120)}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    rows = TeacherRows(["table", "rug"] * 8, ["table"] * 16, np.array([5, 1] * 8))
    chosen = TeacherSettings(backbone=str(tiny_bert(folder / "backbone")), epochs=1, hidden=(8,))
    train_teacher(rows, rows, chosen, folder / "teacher")
    return folder / "teacher"


def pairs_to_label(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "query": [THINGS[i % 4] for i in range(count)],
            "pin_id": list(PINS)[:count],
            "event_timestamp": [START] * count,
            "lang": ["en"] * count,
            "stratum": ["tail/unknown/en/shown"] * count,
        },
        schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
    )


def sample_of(pairs: pl.DataFrame, folder: Path, rows: int = 4) -> SoftSample:
    """A finished sample of these pairs, so many a part."""
    stages.make(folder, stages.fingerprint(pairs), lambda aside: write_parts(pairs.iter_slices(rows), aside))
    return SoftSample(folder)


def titles(pairs: pl.DataFrame) -> pl.DataFrame:
    """The texts of a batch: every pin's title, except that p005 has none."""
    texts = [None if pin == "p005" else PINS[pin] for pin in pairs["pin_id"]]
    return pairs.with_columns(pin_text__title=pl.Series(texts, dtype=pl.String))


@dataclass(frozen=True)
class Says:
    """Stands where a teacher would: the same answer to all, or none that is a distribution."""

    answer: Sequence[float] = (0.2, 0.2, 0.2, 0.2, 0.2)
    producer: str = "teacher@abc"

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> np.ndarray:
        return np.tile(np.asarray(self.answer, np.float32), (len(queries), 1))


def run(
    workspace: Workspace,
    pairs: pl.DataFrame,
    texts: Callable[[pl.DataFrame], pl.DataFrame] = titles,
    says: Says = Says(),
    frame: int = 10,
    rows: int = 4,
) -> JobReport:
    """Label a sample of these pairs, in the workspace's own table."""
    into = workspace.folder(tables.SOFT_LABEL)
    made = sample_of(pairs, workspace.models / "soft_pairs", rows)
    return label(made, lambda: says, says.producer, texts, into, LabelSettings(pairs_a_frame=frame))


def labelled(workspace: Workspace) -> pl.DataFrame:
    return parts.scan(workspace.folder(tables.SOFT_LABEL)).collect().sort("pin_id")


def test_labels_are_the_teachers_probabilities_of_each_pairs_own_text(workspace: Workspace, teacher: Path) -> None:
    asked, into = Teacher.load(teacher), workspace.folder(tables.SOFT_LABEL)
    made = sample_of(pairs_to_label(20), workspace.models / "soft_pairs")
    report = label(made, lambda: asked, asked.producer, titles, into)
    assert (report.fresh, report.made, dict(report.failed)) == (0, 19, {NO_TEXT: 1})
    rows = labelled(workspace)
    assert rows.height == 20
    for row in rows.iter_rows(named=True):
        if row["pin_id"] == "p005":
            assert row["probabilities"] is None and row["reason"] == NO_TEXT
            continue
        expected = asked.predict([row["query"]], [PinText(title=PINS[row["pin_id"]])])[0]
        np.testing.assert_allclose(row["probabilities"], expected, atol=0.03)  # bfloat16 in batches of other sizes
    assert set(rows["producer"]) == {asked.producer}
    assert set(rows["event_timestamp"]) == {START}
    assert (rows["created_timestamp"] == rows["written_at"]).all()


def test_a_killed_run_goes_on_and_no_pair_is_asked_twice(workspace: Workspace) -> None:
    asked: list[str] = []

    def dying(pairs: pl.DataFrame) -> pl.DataFrame:
        if len(asked) >= 16:
            raise KeyboardInterrupt
        asked.extend(pairs["pin_id"])
        return titles(pairs)

    with pytest.raises(KeyboardInterrupt):
        run(workspace, pairs_to_label(50), dying)
    before = labelled(workspace)
    assert before.height == 16, "two tasks of two parts of four pairs"
    report = run(workspace, pairs_to_label(50))
    assert (report.fresh, report.made + report.failed.total()) == (16, 34)
    rows = labelled(workspace)
    assert rows.height == rows["pin_id"].n_unique() == 50
    assert rows.filter(pl.col("pin_id").is_in(before["pin_id"].to_list())).equals(before)
    again = run(workspace, pairs_to_label(50))
    assert (again.fresh, again.made) == (50, 0)


@given(first=st.sets(st.integers(0, 39)), second=st.sets(st.integers(0, 39)), rows=st.integers(1, 9))
@example(first={5, 6}, second={5, 6}, rows=1)  # one sample, labelled already
@example(first={4, 5}, second={5, 6}, rows=2)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_later_sample_asks_about_what_is_new_in_it(
    first: set[int], second: set[int], rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, everything = tmp_path_factory.mktemp("two"), pairs_to_label(40)
    into = folder / "soft_label"
    again = first & second if first == second else first & second - {5}  # p005 has no text: the next sample asks anew
    for number, chosen in enumerate((first, second)):
        made = sample_of(everything[sorted(chosen)], folder / f"sample{number}", rows)
        report = label(made, Says, Says().producer, titles, into)
        assert report.fresh == (0 if number == 0 else len(again))
    found = parts.scan(into).collect()
    assert sorted(found["pin_id"]) == [list(PINS)[i] for i in sorted(first | second)]


def test_a_pair_that_failed_is_asked_about_again_and_failing_alike_adds_no_row(workspace: Workspace) -> None:
    """p005 has no text until the last sample; the first answers are no distributions."""
    run(workspace, pairs_to_label(6), says=Says((np.nan,) * 5))
    report = run(workspace, pairs_to_label(7), says=Says((np.nan,) * 5))
    assert (report.fresh, report.made, dict(report.failed)) == (0, 0, {NO_DISTRIBUTION: 6, NO_TEXT: 1})
    assert labelled(workspace).height == 7
    report = run(workspace, pairs_to_label(8))
    assert (report.fresh, report.made, dict(report.failed)) == (0, 7, {NO_TEXT: 1})
    assert labelled(workspace).height == 14
    report = run(workspace, pairs_to_label(9), lambda pairs: pairs.with_columns(pin_text__title=pl.lit("oak")))
    assert (report.fresh, report.made, report.failed.total()) == (7, 2, 0)
    done = labelled(workspace).filter(pl.col("probabilities").is_not_null())
    assert done["pin_id"].to_list() == list(PINS)[:9]


def test_another_teacher_is_asked_about_all(workspace: Workspace) -> None:
    run(workspace, pairs_to_label(10))
    report = run(workspace, pairs_to_label(10), says=Says(producer="teacher@def"))
    assert (report.fresh, report.made) == (0, 9)
    assert labelled(workspace).height == 20


@pytest.mark.parametrize("answer", [(np.nan,) * 5, (np.inf, 0, 0, 0, 0), (1.5, -0.5, 0, 0, 0), (0.1,) * 5])
def test_an_answer_that_is_no_distribution_is_a_row_with_a_reason(workspace: Workspace, answer: list[float]) -> None:
    report = run(workspace, pairs_to_label(5), says=Says(answer))
    assert (report.made, dict(report.failed)) == (0, {NO_DISTRIBUTION: 5})
    assert labelled(workspace)["probabilities"].null_count() == 5


def test_texts_of_other_pairs_are_refused(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match="in their order"):
        run(workspace, pairs_to_label(4), lambda pairs: titles(pairs).reverse())


def test_ray_is_not_loaded_where_pairs_are_labelled_here() -> None:
    code = "import sys, relevance.pipeline, relevance.soft_labels; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("workers", "tasks"), [(1, [5, 5]), (2, [1] * 10), (8, [1] * 10)])
def test_each_worker_has_several_tasks_where_there_are_parts_enough(workers: int, tasks: list[int]) -> None:
    """Cut into frames of 20,000 pairs alone, two workers would have one task each, and six of eight none."""
    todo = [SamplePart(number, Path(), 4_000) for number in range(10)]
    cut = tasks_of(todo, LabelSettings().pairs_a_frame, workers)
    assert [len(task) for task in cut] == tasks
    assert [part for task in cut for part in task] == todo


def dies_once(marker: Path, pairs: pl.DataFrame) -> pl.DataFrame:
    """As `titles`, but the first process that is asked is gone before it answers."""
    if not marker.exists():
        marker.touch()
        os._exit(1)
    return titles(pairs)


def test_ray_labels_what_this_process_labels_though_a_worker_dies(workspace: Workspace, teacher: Path) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    load, into = partial(Teacher.load, teacher), workspace.folder(tables.SOFT_LABEL)
    made = sample_of(pairs_to_label(40), workspace.models / "soft_pairs")
    producer = load().producer
    here = workspace.models / "here"
    label(made, load, producer, titles, here)
    texts = partial(dies_once, workspace.root / "died")
    on_ray = LabelSettings(pairs_a_frame=8, engine=Engine.RAY, workers=2)
    importable = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {"env_vars": {"PYTHONPATH": importable}}  # so that a worker finds this module
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    try:
        report = label(made, load, producer, texts, into, on_ray)
        with pytest.raises(BadInput, match="--gpus"):
            label(made, load, producer, texts, workspace.models / "x", LabelSettings(engine=Engine.RAY, gpus=1))
    finally:
        ray.shutdown()
    assert (report.fresh, report.made, dict(report.failed)) == (0, 39, {NO_TEXT: 1})
    ours, theirs = (parts.scan(folder).collect().sort("pin_id") for folder in (here, into))
    kept = ["query", "pin_id", "stratum", "event_timestamp", "producer", "input_hash", "reason"]
    assert theirs.select(kept).equals(ours.select(kept))
    said = [frame["probabilities"].drop_nulls().to_list() for frame in (ours, theirs)]
    np.testing.assert_allclose(*said, atol=1e-6)
    assert sorted(part.name for part in into.glob("*")) == sorted(part.name for part in here.glob("*"))
