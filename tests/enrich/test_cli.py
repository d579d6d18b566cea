"""The `enrich` command: a command a step, every option known to it, defaults that are the settings' own."""

from __future__ import annotations

from dataclasses import fields

import pytest

from enrich import console
from enrich.cli import enrich
from enrich.commands.flags import Flags, run_settings
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


def test_the_help_names_the_default_of_min_users(capsys: pytest.CaptureFixture[str]) -> None:
    console.run(enrich, ["queries", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"many users issued it. [default: {QuerySettings().min_users}]" in said
