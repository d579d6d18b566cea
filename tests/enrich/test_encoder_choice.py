"""The text encoder last named to a workspace goes on embedding it, and who made its vectors can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from table_rows import day, write_rows
from tiny_encoder import tiny_encoder

from enrich.embeddings import EmbeddingSettings, run_embeddings
from enrich.encoder_choice import FILE, chosen, encoder_in, last_named, of_pins, others
from enrich.errors import BadInput
from enrich.tables import PIN_TEXT, PIN_TEXT_EMBEDDING, PINS, QUERY_FEATURES
from enrich.text_encoder import TextEncoder, default_model_path
from enrich.workspace import Workspace

A, B = "one@0123456789ab", "my model@ba9876543210"
OF_QUERIES = f"query-features/2 window=365d cadence=7d {B} py3langid 0.3, shares of the log, p >= 0.9"


def test_the_last_named_goes_on_wherever_the_next_command_is_run(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_encoder(tmp_path / "mine")
    assert chosen(workspace, None).model is None and not (workspace.root / FILE).exists()
    monkeypatch.chdir(tmp_path)
    named = chosen(workspace, "mine")
    assert last_named(workspace) == named.model == str(tmp_path / "mine")
    monkeypatch.chdir("/")
    assert chosen(workspace, None).producer == named.producer
    assert chosen(workspace, str(default_model_path())).producer == TextEncoder().producer
    assert last_named(workspace) is None


def test_pins_are_embedded_by_the_last_named_without_a_word(workspace: Workspace, tmp_path: Path) -> None:
    write_rows(workspace, PINS, {"pin_id": "a", "created_at": day(1)})
    write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": "red vase", "event_timestamp": day(1)})
    encoder = tiny_encoder(tmp_path / "mine")
    assert run_embeddings(workspace, EmbeddingSettings(encoder)).made == 1
    assert run_embeddings(workspace, EmbeddingSettings()).made == 0
    assert of_pins(workspace) == [TextEncoder(encoder).producer]


def test_an_encoder_that_is_not_there_is_not_remembered(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="found no such folder"):
        chosen(workspace, str(tmp_path / "nowhere"))
    assert last_named(workspace) is None


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"model": 3}', "\xff"])
def test_another_file_of_that_name_is_one_line(workspace: Workspace, said: str) -> None:
    (workspace.root / FILE).write_text(said, "latin-1")
    with pytest.raises(BadInput, match=r"expected the text encoder last named in .*; remove it, and name --encoder"):
        last_named(workspace)


@pytest.mark.parametrize(
    ("producer", "encoder"),
    [(A, A), (B, B), (OF_QUERIES, B), (f"query-features/1 {A}", A), ("test", None), ("words@test", None)],
)
def test_the_encoder_is_read_off_a_rows_producer(producer: str, encoder: str | None) -> None:
    assert encoder_in(producer) == encoder


def test_only_vectors_that_count_now_speak(workspace: Workspace) -> None:
    """A pin's older row, and a row without a vector, are of whomever they like."""
    pin, late = {"pin_id": "a", "event_timestamp": day(1)}, {"created_timestamp": day(2)}
    write_rows(
        workspace, PIN_TEXT_EMBEDDING,
        {**pin, "text_embedding": [1.0], "producer": B}, {**pin, **late, "text_embedding": [1.0], "producer": A},
        {"pin_id": "b", "event_timestamp": day(1), "reason": "no-text", "producer": B},
    )  # fmt: skip
    assert of_pins(workspace) == [A] and others(workspace, A) == []
    write_rows(workspace, QUERY_FEATURES, {"query": "q", "event_timestamp": day(1), "producer": OF_QUERIES})
    assert others(workspace, A) == [f"query_features by {B}"]
    assert others(workspace, B) == [f"pin_text_embedding by {A}"]
    assert others(workspace, "words@test") == []
