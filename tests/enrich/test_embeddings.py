"""Content texts as vectors: which texts, when they became true, and only what is stale."""

from __future__ import annotations

import numpy as np
import pytest
from table_rows import day, write_rows
from tiny_encoder import tiny_encoder

from enrich import parts
from enrich.embeddings import EmbeddingSettings, content_texts, join_texts, run_embeddings
from enrich.job import JobReport
from enrich.tables import DELETIONS, PIN_CAPTION, PIN_LINK, PIN_TEXT, PIN_TEXT_EMBEDDING, PINS
from enrich.text_encoder import FLOAT32, TextEncoder
from enrich.workspace import Workspace


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def fill(workspace: Workspace) -> None:
    write_rows(workspace, PINS, *({"pin_id": pin, "created_at": day(1)} for pin in "abc"))
    write_rows(
        workspace, PIN_TEXT,
        {"pin_id": "a", "title": "red vase", "description": "oak.", "event_timestamp": day(1)},
        {"pin_id": "b", "event_timestamp": day(1)},
    )  # fmt: skip
    write_rows(workspace, PIN_CAPTION, {"pin_id": "a", "caption": "a lamp", "event_timestamp": day(3)})
    write_rows(workspace, PIN_LINK, {"pin_id": "c", "link_title": "boots", "event_timestamp": day(2)})


def test_the_fields_in_their_order_at_the_time_of_the_latest(workspace: Workspace) -> None:
    fill(workspace)
    rows = content_texts(workspace).select("pin_id", "text", "event_timestamp").rows()
    assert rows == [("a", "red vase. oak. a lamp", day(3)), ("b", "", day(1)), ("c", "boots", day(2))]


@pytest.mark.parametrize(
    ("texts", "joined"),
    [([], ""), ([None, " "], ""), (["...", "b"], "b"), ([" a ", None, "b."], "a. b")],
)
def test_absent_texts_leave_no_trace(texts: list[str | None], joined: str) -> None:
    assert join_texts(texts) == joined


def test_each_pin_with_a_text_has_its_vector_and_the_others_a_reason(workspace: Workspace, encoder: str) -> None:
    fill(workspace)
    assert run_embeddings(workspace, EmbeddingSettings(encoder, FLOAT32)).failed == {"no-text": 1}
    rows = parts.latest(workspace.folder(PIN_TEXT_EMBEDDING), PIN_TEXT_EMBEDDING).sort("pin_id")
    assert rows.select("pin_id", "reason", "event_timestamp").rows() == [
        ("a", None, day(3)), ("b", "no-text", day(1)), ("c", None, day(2)),
    ]  # fmt: skip
    expected = TextEncoder(encoder).encode(["red vase. oak. a lamp", "boots"])
    np.testing.assert_allclose(rows["text_embedding"].drop_nulls().to_list(), expected, atol=1e-6)


def test_pins_are_embedded_in_bulk_and_what_was_made_in_float32_stays_fresh(workspace: Workspace, encoder: str) -> None:
    fill(workspace)
    write_rows(workspace, PIN_TEXT, {"pin_id": "b", "title": "blue lamp", "event_timestamp": day(2)})
    assert run_embeddings(workspace, EmbeddingSettings(encoder)).made == 3
    rows = parts.latest(workspace.folder(PIN_TEXT_EMBEDDING), PIN_TEXT_EMBEDDING).sort("pin_id")
    texts = ["red vase. oak. a lamp", "blue lamp", "boots"]
    np.testing.assert_array_equal(rows["text_embedding"].to_list(), TextEncoder(encoder).encode_in_bulk(texts))
    for dtype in (FLOAT32, None):
        assert run_embeddings(workspace, EmbeddingSettings(encoder, dtype)).made == 0


def test_only_what_changed_is_encoded_again(workspace: Workspace, encoder: str) -> None:
    fill(workspace)
    run_embeddings(workspace, EmbeddingSettings(encoder))
    write_rows(workspace, PIN_CAPTION, {"pin_id": "c", "caption": "shoes", "event_timestamp": day(2)})
    report = run_embeddings(workspace, EmbeddingSettings(encoder))
    assert (report.made, report.fresh) == (1, 2)


def test_a_deleted_pin_is_not_embedded(workspace: Workspace) -> None:
    fill(workspace)
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "a", "deleted_at": day(9)})
    assert content_texts(workspace)["pin_id"].to_list() == ["b", "c"]


def test_no_texts_are_no_work(workspace: Workspace, encoder: str) -> None:
    assert run_embeddings(workspace, EmbeddingSettings(encoder)) == JobReport("pin_text_embedding", 0, 0)
