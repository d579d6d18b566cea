"""The commands as typed: what they print, and one clear line with exit status 2 for bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich import console
from enrich.cli import enrich
from enrich.workspace import Workspace, Writing
from relevance.cli import relevance


def run(group, *arguments: str | Path) -> int:
    return console.run(group, [str(argument) for argument in arguments])


def test_bad_input_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "catalogue"
    folder.mkdir()
    pins, empty = folder / "pins.csv", tmp_path / "empty"
    pins.write_text("id_of_pin,title\n1,a\n")
    empty.mkdir()
    (empty / "pins.csv").write_text("pin_id,title\n")
    cases = [
        (enrich, ["import", "native", tmp_path / "nowhere"], "nowhere"),
        (enrich, ["import", "native", folder], "pin_id"),
        (enrich, ["import", "parchment", folder], "sample, native, chorus"),
        (enrich, ["import", "native", empty], "at least one pin"),
        (enrich, ["run"], "enrich import"),
        (enrich, ["captions", "--limit", "none"], "--limit"),
        (relevance, ["run"], "enrich import"),
        (relevance, ["train-teacher", "--folds", "0"], "--folds"),
        *((relevance, [stage, "--split", "date"], "'time'") for stage in ("run", "label", "train-student", "evaluate")),
    ]
    for group, arguments, named in cases:
        status = run(group, *arguments, "--workspace", tmp_path / "w")
        error = capsys.readouterr().err.strip()
        assert status == 2, (arguments, error)
        assert named in error and "\n" not in error and "Traceback" not in error, (arguments, error)
    assert not (tmp_path / "w").exists()


def test_an_unknown_command_says_where_help_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(enrich, "imprt") == 2
    assert "--help" in capsys.readouterr().err


@pytest.mark.parametrize("group", [enrich, relevance], ids=["enrich", "relevance"])
def test_every_command_explains_itself(group, capsys: pytest.CaptureFixture[str]) -> None:
    for name in group.commands:
        assert run(group, name, "--help") == 0
        assert "--workspace" in capsys.readouterr().out, name


def test_two_commands_do_not_write_the_same_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue, workspace = tmp_path / "catalogue", tmp_path / "workspace"
    catalogue.mkdir()
    (catalogue / "pins.csv").write_text("pin_id,title\n1,Blue chair\n")
    at = ("--workspace", workspace)
    assert run(enrich, "import", "native", catalogue, *at) == 0
    with Workspace.at(workspace).alone(Writing.TABLES):
        for arguments in (("import", "native", catalogue), ("texts",)):
            assert run(enrich, *arguments, *at) == 1
            assert "found another command at it" in capsys.readouterr().err
        assert run(enrich, "status", *at) == 0
    with Workspace.at(workspace).alone(Writing.MODELS):
        assert run(relevance, "train-teacher", *at) == 1
        assert "alone in writing the models" in capsys.readouterr().err
        assert run(enrich, "texts", *at) == 0
