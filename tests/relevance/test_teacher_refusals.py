"""What is no teacher's input, through the commands: one clear line, exit status 2, and nothing made meanwhile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_readme import write_catalogue
from tiny_lessons import TINY, rows
from tiny_models import tiny_bert

from enrich import console
from enrich.cli import enrich
from relevance import stages
from relevance.cli import relevance
from relevance.teaching.checkpoint import TeacherSettings, read_record
from relevance.teaching.network import files_fingerprint
from relevance.teaching.training import train_teacher

Damage = Callable[[Path], None]


def imported(catalogue: Path, workspace: Path) -> Path:
    """The workspace with the catalogue's pins and gold levels."""
    at = ["--workspace", str(workspace)]
    for arguments in (["import", "native", str(catalogue)], ["texts"], ["judgments"]):
        assert console.run(enrich, [*arguments, *at]) == 0
    return workspace


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of twenty judged queries with a tiny teacher."""
    folder = tmp_path_factory.mktemp("taught")
    write_catalogue(folder / "catalogue")
    workspace = imported(folder / "catalogue", folder / "workspace")
    settings = TeacherSettings(
        backbone=str(tiny_bert(folder / "backbone")), epochs=1, batch_size=TINY.batch_size, hidden=TINY.hidden
    )

    def work(out: Path) -> None:
        train_teacher(rows(32), rows(8, 1), settings, out)

    stages.make(workspace / "models" / "teacher", "made here", work, taught=frozenset())
    return workspace


def cut(name: str) -> Damage:
    def damage(teacher: Path) -> None:
        whole = (teacher / name).read_bytes()
        (teacher / name).write_bytes(whole[: len(whole) // 2])

    return damage


def of_other_features(teacher: Path) -> None:
    record = json.loads((teacher / "teacher.json").read_text())
    (teacher / "teacher.json").write_text(json.dumps({**record, "feature_service": "0123456789ab"}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut("model.safetensors"), "expected whole weights in"),
        (cut("head.safetensors"), "expected whole weights in"),
        (cut("teacher.json"), "found one that cannot be read"),
        (of_other_features, "was trained from it (0123456789ab)"),
        (shutil.rmtree, "run `relevance train-teacher` first"),
    ],
)
def test_a_teacher_that_is_not_whole_or_read_other_features_labels_nothing(
    taught: Path, tmp_path: Path, damage: Damage, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = taught / "models" / "teacher"
    shutil.copytree(teacher, tmp_path / "whole")
    damage(teacher)
    try:
        assert refused(["label", "--folds", "1"], taught, capsys).startswith("error: expected")
        assert said in refused(["label", "--folds", "1"], taught, capsys)
    finally:
        shutil.rmtree(teacher, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", teacher)
    assert not (taught / "models" / "soft_pairs").exists()


def test_a_teacher_of_other_features_is_not_judged(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = taught / "models" / "teacher"
    whole = (teacher / "teacher.json").read_text()
    of_other_features(teacher)
    try:
        line = refused(["evaluate", "--models", "teacher", "--folds", "1"], taught, capsys)
        assert "models/teacher was trained from it (0123456789ab)" in line
    finally:
        (teacher / "teacher.json").write_text(whole)


def test_a_backbone_whose_files_were_replaced_makes_its_teacher_stale(
    taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = tiny_bert(tmp_path / "backbone")

    def trained() -> bool:
        flags = ["--name", "teacher_tiny", "--backbone", str(backbone), "--epochs", "1", "--folds", "1"]
        assert console.run(relevance, ["train-teacher", *flags, "--workspace", str(taught), "--json"]) == 0
        return bool(json.loads(capsys.readouterr().out.splitlines()[-1])["made"])

    try:
        assert trained() and not trained()
        kept = read_record(taught / "models" / "teacher_tiny").backbone_revision
        assert kept == files_fingerprint(backbone)
        config = backbone / "config.json"
        config.write_text(config.read_text() + "\n")
        assert trained()
        assert read_record(taught / "models" / "teacher_tiny").backbone_revision not in (None, kept)
    finally:
        shutil.rmtree(taught / "models" / "teacher_tiny", ignore_errors=True)


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        ([(query, 3) for query in range(9)], "training judgments of two levels or more, found only 3"),
        ([(0, 5), (1, 1)], "judgments of at least 3 queries, found 2"),
        ([(0, 3)], "judgments of at least 3 queries, found 1"),
        ([], "expected judged pairs in"),
    ],
)
def test_judgments_that_cannot_teach_are_refused(
    tmp_path: Path, judged: list[tuple[int, int]], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = tmp_path / "catalogue"
    write_catalogue(catalogue)
    lines = [f"query {query},p{pin},{level}" for query, level in judged for pin in range(4)]
    (catalogue / "judgments.csv").write_text("\n".join(["query,pin_id,level", *lines]) + "\n")
    workspace = imported(catalogue, tmp_path / "workspace")
    assert said in refused(["train-teacher", "--folds", "1"], workspace, capsys)
    assert not (workspace / "models" / "teacher").exists()


def test_levels_outside_1_to_5_are_counted_and_many_of_them_stop_the_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = tmp_path / "catalogue"
    write_catalogue(catalogue)
    path = catalogue / "judgments.csv"
    good = path.read_text()
    at = ["--workspace", str(tmp_path / "workspace"), "--json"]
    path.write_text(good + "oak table,p1,7,2025-06-01\noak table,p2,0,2025-06-01\n")
    assert console.run(enrich, ["import", "native", str(catalogue), *at]) == 0
    assert "outside-1-5-level" in capsys.readouterr().out.splitlines()[-1]
    path.write_text(good.replace(",1,2025", ",9,2025").replace(",3,2025", ",0,2025"))
    assert console.run(enrich, ["import", "native", str(catalogue), *at]) == 2
    assert "level" in capsys.readouterr().err


def test_flags_that_clash_are_refused_before_anything_is_loaded(
    taught: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        (["train-teacher", "--label-smoothing", "1"], "--label-smoothing of 0 or more and below 1, found 1.0"),
        (["train-teacher", "--fields", "title,colour"], "expected --fields among"),
        (["train-teacher", "--split", "time", "--folds", "3"], "expected no --folds with --split time"),
        (["label", "--engine", "spark"], "'ray'"),
    ):
        assert said in refused(arguments, taught, capsys)


def refused(arguments: list[str], workspace: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command says as it ends with status 2."""
    capsys.readouterr()
    assert console.run(relevance, [*arguments, "--workspace", str(workspace)]) == 2
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert "Traceback" not in said
    return line
