"""The commands as typed: what they print, and one clear line with exit status 2 for bad input."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from enrich import console
from enrich.cli import enrich
from enrich.workspace import Catalogue, Workspace, Writing
from relevance.cli import relevance
from relevance.commands.scoring import _scored_line
from relevance.online import ScoredPin


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
        (relevance, ["train-student", "--size", "XL"], "'XL'"),
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
    for name, command in group.commands.items():
        for own in getattr(command, "commands", {}) if name == "experiment" else [None]:
            assert run(group, *filter(None, (name, own)), "--help") == 0
            assert "--workspace" in capsys.readouterr().out, (name, own)


@pytest.mark.parametrize("name", ["run", "train-teacher", "label", "train-student"])
def test_every_flag_of_the_stages_says_its_default(name: str) -> None:
    options = [one for one in relevance.commands[name].params if isinstance(one, click.Option) and not one.is_flag]
    assert not [one.name for one in options if not (one.show_default or "[default: " in str(one.help))]


@pytest.mark.parametrize("path", [("train-teacher",), ("experiment", "ablation")])
def test_the_help_of_fields_names_them(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(relevance, *path, "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "of title, description, caption, link, boards, queries" in said


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


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": "native"}'])
def test_damaged_records_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    workspace = Workspace.at(tmp_path / "w")
    workspace.create(Catalogue("native", "inline"))
    for record, command, status in (
        ("import.json", (enrich, "status"), 2),
        ("feature_store.yaml", (relevance, "run"), 2),
        ("workspace.json", (enrich, "status"), 2),
    ):
        (workspace.root / record).write_text(damage)
        assert run(*command, "--workspace", workspace.root) == status, record
        error = capsys.readouterr().err.strip()
        assert record in error and "\n" not in error and "Traceback" not in error, error


def test_scoring_without_a_student_says_what_makes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Workspace.at(tmp_path / "w").create(Catalogue("native", "inline"))
    for arguments in (("score", "--query", "oak table", "--pins", "p1"), ("rank", "--query", "oak table"), ("serve",)):
        assert run(relevance, *arguments, "--workspace", tmp_path / "w") == 2
        assert "relevance run" in capsys.readouterr().err


def test_what_the_system_refuses_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    @click.group()
    def group() -> None: ...

    @group.command()
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "pins.parquet")

    assert run(group, "full") == 1
    assert capsys.readouterr().err == "error: No space left on device: pins.parquet\n"


def test_a_pin_that_nobody_knows_is_not_shown_as_graded() -> None:
    prior = (0.2, 0.2, 0.2, 0.2, 0.2)
    assert _scored_line(ScoredPin("p9", prior, 3.0, ("pin",))).startswith(
        "p9  not known: the student's prior, level 3.00"
    )
    assert _scored_line(ScoredPin("p1", prior, 3.0, ("caption",))) == (
        "p1  3.00  0.200 0.200 0.200 0.200 0.200  without caption"
    )


def commands_of(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, *path, name)
        else:
            yield (*path, name), command


REQUIRED = {"format": "beir", "path": "nowhere", "folder": "out", "query": "oak table", "first": "p1"}


@pytest.mark.parametrize("group", [enrich, relevance])
def test_every_command_refuses_a_workspace_that_is_not_there(
    group: click.Group, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, command in commands_of(group):
        given = list[str]()
        for parameter in command.params:
            if parameter.required:
                option = [] if isinstance(parameter, click.Argument) else parameter.opts[:1]
                given += [*option, REQUIRED[str(parameter.name)]]
        assert run(group, *path, *given, "--workspace", tmp_path / "w") == 2, path
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1 and said[0].startswith("error: expected"), path
    assert not list(tmp_path.iterdir())
