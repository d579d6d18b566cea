"""Stages: made once from the same inputs, again from others, and never half."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from relevance import stages

FRAME = pl.DataFrame({"query": ["a", "b"], "vector": [[0.5, 1.0], None], "votes": [[1], [2, 3]]})


def test_a_stage_runs_once_for_the_same_inputs(tmp_path: Path) -> None:
    work = lambda folder: (folder / "model").write_text("x")  # noqa: E731
    assert stages.make(tmp_path / "teacher", "f1", work)
    assert not stages.make(tmp_path / "teacher", "f1", work)
    assert stages.make(tmp_path / "teacher", "f2", work)
    assert stages.made_from_of(tmp_path / "teacher") == "f2"
    assert stages.taught_of(tmp_path / "teacher") is None


def test_a_model_remembers_the_queries_it_learned_from(tmp_path: Path) -> None:
    stages.make(tmp_path / "teacher", "f1", lambda _: None, frozenset({"椅子", "chair"}))
    assert stages.taught_of(tmp_path / "teacher") == {"chair", "椅子"}


def test_a_stage_killed_half_way_leaves_the_old_artefact_and_finds_its_work_again(tmp_path: Path) -> None:
    stages.make(tmp_path / "m", "old", lambda folder: (folder / "weights").write_text("old"))

    def killed(folder: Path) -> None:
        (folder / "checkpoint").write_text("step 5")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.make(tmp_path / "m", "new", killed)
    assert (tmp_path / "m" / "weights").read_text() == "old"
    found: list[str] = []
    stages.make(tmp_path / "m", "new", lambda folder: found.append((folder / "checkpoint").read_text()))
    assert found == ["step 5"]
    assert not list(tmp_path.glob(".m.*"))


def test_unfinished_work_on_other_inputs_goes_when_what_is_asked_for_is_fresh(tmp_path: Path) -> None:
    stages.make(tmp_path / "m", "f", lambda _: None)
    (tmp_path / ".m.other").mkdir()
    assert stages.unfinished(tmp_path / "m") == [tmp_path / ".m.other"]
    assert not stages.make(tmp_path / "m", "f", lambda _: None)
    assert not stages.unfinished(tmp_path / "m")


def test_work_whose_removal_was_killed_is_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = lambda folder: (folder / "weights").write_text("x")  # noqa: E731
    begun = tmp_path / ".m.old"
    begun.mkdir()
    (begun / "half").touch()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "rmtree", killed)
        stages.make(tmp_path / "m", "new", work)
    assert not begun.exists()
    stages.make(tmp_path / "m", "new", work)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_fingerprint_sees_values_order_and_settings() -> None:
    same = stages.fingerprint(FRAME, {"b", "a"}, 1)
    assert same == stages.fingerprint(FRAME.clone(), {"a", "b"}, 1)
    others = [
        stages.fingerprint(FRAME.reverse(), {"a", "b"}, 1),
        stages.fingerprint(FRAME, {"a"}, 1),
        stages.fingerprint(FRAME.with_columns(votes=pl.lit([1])), {"a", "b"}, 1),
    ]
    assert same not in others


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "import polars as pl; from relevance import stages;"
        "print(stages.fingerprint(pl.DataFrame({'query': ['a', 'b'], 'n': [1, None]})))"
    )
    here = stages.fingerprint(pl.DataFrame({"query": ["a", "b"], "n": [1, None]}))
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == here


def test_a_stage_killed_after_its_work_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(stages, "_put", killed)
        stages.make(tmp_path / "m", "new", lambda folder: (folder / "weights").write_text("x"))
    assert stages.make(tmp_path / "m", "new", killed)
    assert (tmp_path / "m" / "weights").read_text() == "x"
