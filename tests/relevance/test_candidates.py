"""Candidates by BM25 and embedding, fused by reciprocal rank, checked by hand and against a plain BM25."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import bm25s
import numpy as np
import polars as pl
import pytest
from table_rows import day, write_rows

from enrich import job, tables
from enrich.errors import BadInput
from enrich.normalise import terms
from enrich.workspace import Workspace
from relevance.baselines.bm25 import K1, B, Collection, bm25_scores
from relevance.candidates import CandidateIndex, workspace_index
from relevance.lexical_index import lexical_index

TEXTS = {"p1": "oak table", "p2": "red lamp", "p3": "round oak dining table oak", "p4": "", "p5": "desk"}
VECTORS = np.array([[1, 0], [0, 1], [0.8, 0.6], [0, 0], [0.6, 0.8]], dtype=np.float32)


def index() -> CandidateIndex:
    return CandidateIndex.build(list(TEXTS), list(TEXTS.values()), VECTORS)


def test_the_two_lists_are_fused_by_reciprocal_rank() -> None:
    # by terms: p1, p3 (p1 is shorter); by embedding of (0, 1): p2, p5, p3, p1
    # p1: 1/61 + 1/64 = .03202; p3: 1/62 + 1/63 = .03200; p2: 1/61 = .0164; p5: 1/62 = .0161
    assert index().search("oak table", np.array([0, 1], np.float32)) == ["p1", "p3", "p2", "p5"]
    assert index().search("oak table", np.array([0, 1], np.float32), k=1) == ["p1"]


def test_without_an_embedding_the_terms_decide() -> None:
    assert index().search("a lamp", None) == ["p2"]
    assert index().search("sofa", None) == []
    assert index().search("", np.zeros(2, np.float32)) == []


def test_a_pin_without_text_or_embedding_is_never_a_candidate() -> None:
    assert "p4" not in index().search("oak table desk lamp", np.array([1, 0], np.float32))


def test_an_opposite_embedding_is_still_a_candidate_after_all_others() -> None:
    found = CandidateIndex.build(["a", "b"], ["", ""], np.array([[-1, 0], [1, 0]], np.float32))
    assert found.search("x", np.array([1, 0], np.float32)) == ["b", "a"]


def test_the_baseline_scores_as_the_index_does() -> None:
    collection = Collection.of(TEXTS.values())
    query = "round oak table table"
    ours = bm25_scores(collection, [query] * 5, [*TEXTS.values()])
    rival = bm25s.BM25(method="lucene", k1=K1, b=B)  # as the index uses it
    rival.index([text.split() for text in TEXTS.values()], show_progress=False)
    theirs = rival.get_scores(query.split())
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


UNSPACED = ["黑猫的照片", "お茶", "赤い車", "猫", "กาแฟ", "red toy 猫", "red toy", "꽃병", "黑猫和猫咪"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("猫", ["猫", "黑猫和猫咪", "red toy 猫", "黑猫的照片"]),
        ("茶", ["お茶"]),
        ("車", ["赤い車"]),
        ("猫 toy", ["red toy 猫", "red toy", "猫", "黑猫和猫咪", "黑猫的照片"]),
        ("ก", ["กาแฟ"]),
        ("꽃", []),
        ("黑猫", ["黑猫的照片", "黑猫和猫咪"]),
        ("黑的", []),
    ],
)
def test_a_query_of_one_sign_finds_texts_that_hold_it(query: str, found: list[str], tmp_path: Path) -> None:
    made = CandidateIndex.build(UNSPACED, UNSPACED, np.zeros((len(UNSPACED), 0), np.float32))
    assert made.search(query, None) == found
    made.save(tmp_path)
    assert CandidateIndex.load(tmp_path).search(query, None) == found
    scores = bm25_scores(Collection.of(UNSPACED), [query] * len(UNSPACED), UNSPACED)
    assert [UNSPACED[place] for place in np.argsort(-scores, kind="stable") if scores[place] > 0] == found


def test_the_signs_of_texts_change_no_score_of_other_queries() -> None:
    rival = bm25s.BM25(method="lucene", k1=K1, b=B)
    rival.index([terms(text) for text in UNSPACED], show_progress=False)
    index = lexical_index(UNSPACED)
    for query in ("黑猫的照片", "赤い車 red", "toy", "แฟ"):
        assert index is not None and np.array_equal(index.get_scores(terms(query)), rival.get_scores(terms(query)))


def test_the_baseline_scores_signs_as_the_index_does() -> None:
    index, collection = lexical_index(UNSPACED), Collection.of(UNSPACED)
    for query in ("猫", "猫 toy", "車", "黑猫 咪"):
        ours = bm25_scores(collection, [query] * len(UNSPACED), UNSPACED)
        assert index is not None
        np.testing.assert_allclose(ours, index.get_scores(terms(query)), rtol=1e-5)


def test_a_saved_index_finds_the_same(tmp_path: Path) -> None:
    index().save(tmp_path / "index")
    loaded = CandidateIndex.load(tmp_path / "index")
    for query in ("oak table", "desk", ""):
        embedding = np.array([0.6, 0.8], np.float32)
        assert loaded.search(query, embedding) == index().search(query, embedding)
    (tmp_path / "index" / "vectors.safetensors").write_bytes(b"cut")
    with pytest.raises(BadInput, match="candidate index"):
        CandidateIndex.load(tmp_path / "index")


def test_an_empty_catalogue_has_no_candidates(tmp_path: Path) -> None:
    CandidateIndex.build([], [], np.zeros((0, 0), np.float32)).save(tmp_path)
    assert CandidateIndex.load(tmp_path).search("oak", np.ones(2, np.float32)) == []


def test_unequal_inputs_and_a_foreign_embedding_are_refused() -> None:
    with pytest.raises(BadInput, match="2 pins, 1 texts"):
        CandidateIndex.build(["a", "b"], ["x"], np.zeros((2, 2), np.float32))
    with pytest.raises(BadInput, match="embedding of 2 numbers"):
        index().search("oak", np.ones(3, np.float32))


def test_a_workspaces_index_follows_its_texts(workspace: Workspace) -> None:
    put_texts(workspace, {"p1": "oak table", "p2": "red lamp"})
    assert workspace_index(workspace).search("lamp", None) == ["p2"]
    made = (workspace.models / "candidates" / "pins.parquet").stat().st_mtime_ns
    workspace_index(workspace)
    assert (workspace.models / "candidates" / "pins.parquet").stat().st_mtime_ns == made
    put_texts(workspace, {"p3": "blue lamp"})
    assert workspace_index(workspace).search("lamp", None) == ["p2", "p3"]


def put_texts(workspace: Workspace, titles: dict[str, str]) -> None:
    write_rows(workspace, tables.PINS, *({"pin_id": pin, "created_at": day(1)} for pin in titles))
    rows = pl.DataFrame(
        [(pin, title, datetime(2024, 1, 1, tzinfo=UTC), title) for pin, title in titles.items()],
        schema={
            "pin_id": pl.String,
            "title": pl.String,
            "event_timestamp": pl.Datetime("us", "UTC"),
            "input_hash": pl.String,
        },
        orient="row",
    ).with_columns(
        reason=None,
        description=pl.lit(None, pl.String),
        lang=pl.lit(None, pl.String),
        category=pl.lit(None, pl.String),
    )
    job.append(workspace, tables.PIN_TEXT, rows, "test")
