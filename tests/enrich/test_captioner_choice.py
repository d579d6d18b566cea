"""The captioner last named to a workspace goes on captioning it, until another is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from enrich.caption_settings import DEFAULT_MODEL, CaptionSettings
from enrich.captioner_choice import FILE, in_words, keep, last_named
from enrich.commands.flags import Flags, run_settings
from enrich.engine import Engine
from enrich.errors import BadInput
from enrich.job import JobSettings
from enrich.workspace import Workspace

NAMED = CaptionSettings("org/blip@v2", dtype="float16", beams=3, prompt="a photo of", cut_loops=False, twins=False)


def test_what_decides_what_is_said_is_remembered_and_nothing_else(workspace: Workspace) -> None:
    assert last_named(workspace) == CaptionSettings()
    elsewhere = replace(NAMED, device="cpu", batch_size=3, host_delay=0.0, job=JobSettings(limit=5))
    keep(workspace, elsewhere)
    assert last_named(workspace) == NAMED
    keep(workspace, CaptionSettings(engine=Engine.RAY, workers=2))
    assert last_named(workspace) == CaptionSettings()


def test_a_folder_is_remembered_wherever_the_next_command_is_run(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_blip").mkdir()
    monkeypatch.chdir(tmp_path)
    keep(workspace, CaptionSettings("my_blip"))
    assert last_named(workspace).model == str(tmp_path / "my_blip")
    keep(workspace, CaptionSettings(str(DEFAULT_MODEL)))
    assert str(DEFAULT_MODEL) not in (workspace.root / FILE).read_text()


def test_flags_change_what_was_last_named_and_a_model_begins_anew() -> None:
    def settings(**flags: object) -> CaptionSettings:
        last = None if flags.get("model") else NAMED
        return run_settings(Flags(**flags), last).captions  # type: ignore[arg-type]

    assert settings() == NAMED
    assert settings(dtype="bfloat16", twins=True) == replace(NAMED, dtype="bfloat16", twins=True)
    assert settings(beams=1, prompt="", cut_loops=True) == replace(NAMED, beams=1, prompt="", cut_loops=True)
    assert settings(model="org/git") == CaptionSettings("org/git")


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"model": 3}', '{"model": "a", "beams": true}', "\xff"])
def test_another_file_of_that_name_is_one_line(workspace: Workspace, said: str) -> None:
    (workspace.root / FILE).write_text(said, "latin-1")
    with pytest.raises(BadInput, match=r"expected the captioner last named in .*; remove it, and name --model"):
        last_named(workspace)


def test_it_is_said_as_a_person_would_name_it() -> None:
    assert in_words(NAMED) == "org/blip@v2 --dtype float16 --beams 3 --prompt 'a photo of'"
    assert in_words(CaptionSettings("org/blip")) == "org/blip"
