"""Owners' texts as a reader sees them, and the language of those that do not say theirs."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import language, parts
from enrich.job import JobSettings
from enrich.normalise import collapse_space
from enrich.tables import DELETIONS, PIN_TEXT, PINS
from enrich.texts import TextSettings, clean_text, run_texts
from enrich.workspace import Workspace

T0 = datetime(2024, 1, 1, tzinfo=UTC)
T1 = datetime(2024, 2, 1, tzinfo=UTC)


def cleaned(text: str | None) -> str | None:
    return pl.DataFrame({"x": pl.Series([text], dtype=pl.String)}).select(clean_text(pl.col("x"))).item()


def put(workspace: Workspace, *pins: dict) -> None:
    rows = pl.DataFrame([{"created_at": T0, "title": None, **pin} for pin in pins], infer_schema_length=None)
    parts.replace(workspace.folder(PINS), PINS, rows.to_arrow())


def texts(workspace: Workspace) -> pl.DataFrame:
    return parts.latest(workspace.folder(PIN_TEXT), PIN_TEXT).sort("pin_id")


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("salt &amp; pepper&nbsp;mill", "salt & pepper mill"),
        ("<p>Red<br/>shoe</p>", "Red shoe"),
        ("&lt;b&gt;bold&lt;/b&gt; move", "bold move"),
        ("<script>steal()</script>shoe<!-- hidden -->", "shoe"),
        ("5 < 6 > 4, a <3 you", "5 < 6 > 4, a <3 you"),
        ("R&D &unknown; AT&T", "R&D &unknown; AT&T"),
        ("a\x00b\x07 c\u2028d", "ab c d"),
        (" \t\n ", None),
        ("<br>", None),
        (None, None),
    ],
)
def test_a_text_is_what_a_reader_sees(written, seen):
    assert cleaned(written) == seen


@given(st.text(st.characters(exclude_characters="<&", exclude_categories=("Cs",))))
def test_without_markup_it_is_the_shared_collapsing_of_white_space(text):
    assert cleaned(text) == (collapse_space(text) or None)


@given(st.text())
def test_cleaning_what_is_clean_of_markup_changes_nothing(text):
    once = cleaned(text.replace("<", "").replace("&", ""))
    assert cleaned(once) == once


def test_texts_are_dated_by_their_content_and_keep_their_own_language(workspace):
    put(
        workspace,
        {"pin_id": "1", "title": " Red  shoe ", "lang": "xx", "category": "Shoes"},
        {"pin_id": "2", "title": "Ein sehr schöner roter Schuh für den Winter", "updated_at": T1},
        {"pin_id": "3", "description": ""},
    )
    report = run_texts(workspace)
    assert (report.made, report.fresh, dict(report.failed)) == (3, 0, {})
    rows = texts(workspace)
    assert rows.select("title", "description", "lang", "category").rows() == [
        ("Red shoe", None, "xx", "Shoes"),
        ("Ein sehr schöner roter Schuh für den Winter", None, "de", None),
        (None, None, None, None),
    ]
    assert rows["event_timestamp"].to_list() == [T0, T1, T0]
    assert rows["created_timestamp"].to_list() == [T0, T1, T0]
    assert rows["reason"].to_list() == [None] * 3
    assert language.PRODUCER in rows["producer"][0]


def test_a_second_run_does_nothing_and_a_change_makes_one_row(workspace):
    put(workspace, {"pin_id": "1", "title": "shoe"}, {"pin_id": "2", "title": "hat"})
    run_texts(workspace)
    assert run_texts(workspace).made == 0
    put(workspace, {"pin_id": "1", "title": "boot", "updated_at": T1}, {"pin_id": "2", "title": "hat"})
    assert run_texts(workspace).made == 1
    assert texts(workspace)["title"].to_list() == ["boot", "hat"]
    assert parts.count(workspace.folder(PIN_TEXT)) == 3


def test_a_text_changed_and_changed_back_is_the_newest_again(workspace):
    for title, at in (("shoe", T0), ("boot", T1), ("shoe", datetime(2024, 3, 1, tzinfo=UTC))):
        put(workspace, {"pin_id": "1", "title": title, "updated_at": at})
        run_texts(workspace)
    assert texts(workspace)["title"].to_list() == ["shoe"]
    assert parts.count(workspace.folder(PIN_TEXT)) == 3


def test_batches_of_any_size_give_the_same_rows(workspace):
    put(workspace, *({"pin_id": str(i), "title": f"pin {i}"} for i in range(7)))
    run_texts(workspace, TextSettings(job=JobSettings(batch_size=2, limit=3)))  # as if killed after two batches
    run_texts(workspace, TextSettings(job=JobSettings(batch_size=3)))
    assert texts(workspace)["title"].to_list() == [f"pin {i}" for i in range(7)]
    assert parts.count(workspace.folder(PIN_TEXT)) == 7


def test_a_deleted_pin_gets_no_text(workspace):
    put(workspace, {"pin_id": "1", "title": "shoe"})
    gone = pa.table({"kind": ["pin"], "id": ["1"], "deleted_at": pa.array([T1])})
    parts.replace(workspace.folder(DELETIONS), DELETIONS, gone)
    assert run_texts(workspace).made == 0


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("cozy living room ideas", "en"),
        ("ideas para una cocina pequeña", "es"),
        ("gâteau au chocolat", "fr"),
        ("bolo de cenoura", "pt"),
        ("rote Schuhe für den Winter", "de"),
        ("かわいい猫", "ja"),
        ("006R90321", None),
        ("1234", None),
        ("", None),
        (None, None),
    ],
)
def test_languages_are_told_or_left_open(text, lang):
    assert language.identify([text]) == [lang]
