"""The `enrich` command: a command a step, every option known to it, defaults that are the settings' own."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from enrich import console
from enrich.cli import enrich
from enrich.commands.flags import Flags, run_settings
from enrich.errors import BadInput, CorkboardError
from enrich.queries import QuerySettings
from enrich.steps import RunSettings, Step


def test_every_step_has_a_command() -> None:
    assert set(enrich.commands) == {*(step.value for step in Step), "import", "run", "status"}


@pytest.mark.parametrize("name", [*(step.value for step in Step), "run"])
def test_every_option_is_a_flag_of_the_steps(name: str) -> None:
    options = {parameter.name for parameter in enrich.commands[name].params} - {"workspace", "as_json"}
    assert options <= {field.name for field in fields(Flags)}


def test_without_flags_every_step_runs_by_its_own_defaults() -> None:
    assert run_settings(Flags()) == RunSettings()


def test_as_of_is_a_time_of_any_zone() -> None:
    """Without one it is UTC's."""
    option = next(one for one in enrich.commands["queries"].params if one.name == "as_of")
    times = ("2024-03-01T00:00:00Z", "2024-03-01T02:00+02:00", "2024-03-01T00:00:00.000", "2024-03-01")
    for text in times:
        read = option.type.convert(text, option, None)
        assert run_settings(Flags(as_of=read)).boards.snapshots.as_of == datetime(2024, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "0001-01-01T00:00+05:00", ""])
def test_what_is_no_time_is_one_line_with_an_example(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(enrich, ["queries", "--as-of", text]) == 2
    assert f"as 2025-01-31 or 2025-01-31T12:00+01:00, found '{text}'" in capsys.readouterr().err


@pytest.mark.parametrize("error", [BadInput, CorkboardError, OSError, click.UsageError])
def test_an_error_that_repeats_a_hostile_text_steers_no_terminal(error, capsys: pytest.CaptureFixture[str]) -> None:
    @click.group()
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise error("found arms \x1b]0;owned\x07 and \x9bother\n\u0007")

    assert console.run(group, ["fail"]) != 0
    assert capsys.readouterr().err.startswith("error: found arms ]0;owned and other")


def test_the_help_names_the_default_of_min_users(capsys: pytest.CaptureFixture[str]) -> None:
    console.run(enrich, ["queries", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"many users issued it. [default: {QuerySettings().min_users}]" in said


def test_run_leaves_out_the_steps_that_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "pins.csv").write_text("pin_id,title,link_url\np1,a chair,https://shop.invalid/1\n")
    where = ["--workspace", str(tmp_path / "w"), "--json"]
    assert console.run(enrich, ["import", "native", str(tmp_path / "shop"), *where]) == 0
    left_out = ["links", "captions", "embeddings"]
    capsys.readouterr()
    assert console.run(enrich, ["run", *where, *(f"--without={step}" for step in left_out)]) == 0
    tables = {table["table"] for table in json.loads(capsys.readouterr().out.splitlines()[-1])["tables"]}
    assert {"pin_text", "pin_serving"} <= tables
    assert not {"pin_link", "pin_caption", "pin_text_embedding"} & tables


@pytest.mark.parametrize("table", ["sources/pins", "enriched/pin_text"])
def test_a_damaged_part_is_one_line_whatever_engine_meets_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "pins.csv").write_text("pin_id,title\np1,a chair\n")
    where = ["--workspace", str(tmp_path / "w")]
    assert console.run(enrich, ["import", "native", str(tmp_path / "shop"), *where]) == 0
    assert console.run(enrich, ["texts", *where]) == 0
    damaged = next(part for part in (tmp_path / "w" / table).glob("part-*.parquet") if "schema" not in part.name)
    damaged.write_bytes(damaged.read_bytes()[:-20])
    capsys.readouterr()
    assert console.run(enrich, ["status", *where]) == 1
    assert f"error: expected a whole parquet file at {damaged}, found it damaged" in capsys.readouterr().err
