"""Queries are embedded by what the workspace's pins and known queries were; a mix is refused in a line."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from table_rows import day, write_rows

from enrich import job
from enrich.embeddings import EmbeddingSettings, run_embeddings
from enrich.errors import BadInput
from enrich.queries import QuerySettings, run_queries
from enrich.query_features import QueryFeatureSettings
from enrich.serving import ServingSettings, run_serving
from enrich.snapshots import SnapshotSettings
from enrich.tables import ENGAGEMENTS, JUDGMENT, PIN_TEXT, PINS
from enrich.text_encoder import TextEncoder
from enrich.workspace import Catalogue, Workspace
from relevance import feature_store
from relevance.candidates import workspace_index
from relevance.commands.scoring import served_workspace
from relevance.feature_store import materialize
from relevance.judging.predictions import Predictor
from relevance.learning.network import NetworkSettings, Size
from relevance.model_names import HUMAN_STUDENT, STUDENT_MODEL
from relevance.online import OTHER_ENCODER, Scorer
from relevance.pipeline import Pipeline, RunSettings
from relevance.plan import Fold
from relevance.query_encoder import of_student, of_workspace
from relevance.service.app import Parts
from relevance.service.fitting import Fit
from relevance.service.live import Live, Loader
from relevance.service.settings import ServiceSettings
from relevance.serving.lookup import OnlineFeatures
from relevance.splits import Split
from relevance.student import Student, StudentSettings
from tests.enrich.tiny_encoder import tiny_encoder
from tests.relevance.services import QUIET, client_of

TITLES = {"a": "red vase", "b": "oak table", "c": "kitchen lamp", "d": "blue boots"}
KNOWN, NEW = "vase", "garden decor"  # a query of the log, and one that was never asked
SPLIT = Split(frozenset({"vase", "lamp"}), frozenset({"table", "boots"}), frozenset({NEW}))
SETTINGS = RunSettings(student=StudentSettings(network=NetworkSettings(Size.S), epochs=2))


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two of 16 dimensions, and other weights."""
    return [tiny_encoder(tmp_path_factory.mktemp("encoders") / f"e{seed}", seed=seed) for seed in (0, 1)]


def judged(query: str, pin: str) -> dict[str, object]:
    level = 5 if query in TITLES[pin] else 1
    at = datetime(2025, 2, 1, tzinfo=UTC)
    return {"query": query, "pin_id": pin, "level": level, "votes": [float(level)], "lang": "en", "event_timestamp": at}


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    """Four pins, a log with one query, and judgments."""
    fill(workspace)
    return workspace


def fill(workspace: Workspace) -> None:
    write_rows(workspace, PINS, *({"pin_id": pin, "created_at": day(1)} for pin in TITLES))
    titles = [{"pin_id": pin, "title": title, "event_timestamp": day(1)} for pin, title in TITLES.items()]
    write_rows(workspace, PIN_TEXT, *titles)
    event = {"query": KNOWN, "pin_id": "a", "event": "click", "user_hash": "u", "event_timestamp": day(1, 1)}
    write_rows(workspace, ENGAGEMENTS, event)
    rows = [judged(query, pin) for query in ("vase", "lamp", "table", "boots", NEW) for pin in TITLES]
    frame = pl.DataFrame(rows, schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")})
    frame = frame.with_columns(reason=pl.lit(None, pl.String), input_hash=pl.lit("x"))
    job.append(workspace, JUDGMENT, frame, "test")


def embed(workspace: Workspace, pins: str | None, queries: str | None) -> None:
    run_embeddings(workspace, EmbeddingSettings(pins))
    daily = SnapshotSettings(cadence_days=1, as_of=day(9))
    run_queries(workspace, QuerySettings(features=QueryFeatureSettings(queries), snapshots=daily))


def learned(workspace: Workspace) -> tuple[Pipeline, Fold]:
    """The stages, and the fold of a student that was taught by people and serves."""
    torch.set_num_threads(1)
    run_serving(workspace, ServingSettings())
    materialize(workspace)
    pipeline, fold = Pipeline(workspace, SETTINGS), Fold("serving", workspace.models, SPLIT)
    pipeline.learn(fold, HUMAN_STUDENT)
    (workspace.models / HUMAN_STUDENT).rename(workspace.models / STUDENT_MODEL)
    return pipeline, fold


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, encoders: list[str]) -> Workspace:
    """A workspace that named its encoder once, to the pins, with a student."""
    workspace = Workspace.at(tmp_path_factory.mktemp("w") / "workspace")
    workspace.create(Catalogue("native", "inline"))
    fill(workspace)
    embed(workspace, encoders[0], None)
    learned(workspace)
    return workspace


def test_a_student_learns_and_scores_with_the_workspaces_encoder(made: Workspace, encoders: list[str]) -> None:
    encoder = TextEncoder(encoders[0])
    scorer = Scorer.open(made)
    record = scorer.student.record
    assert (record.settings.text_encoder, record.encoder) == (encoders[0], encoder.producer)
    assert record.dimensions.query == record.dimensions.text == encoder.dimension == 16
    for query in (KNOWN, NEW):  # read from the store, and encoded
        expected = encoder.encode([query])[0]
        np.testing.assert_allclose(scorer.query_vector(query), expected, atol=2e-3)
    answer = scorer.answer(NEW, list(TITLES))
    assert answer.work.recalled and not any("text_embedding" in pin.missing for pin in answer.scored_pins())


def test_evaluation_and_candidates_are_of_the_same_encoder(made: Workspace, encoders: list[str]) -> None:
    pipeline, fold = Pipeline(made, SETTINGS), Fold("serving", made.models, SPLIT)
    assert pipeline.encoder.producer == TextEncoder(encoders[0]).producer == workspace_index(made).encoder
    with pytest.raises(BadInput, match=r"expected queries embedded by e0@\w+, .* found all-MiniLM-L6-v2@"):
        Predictor(pipeline.judged, TextEncoder()).predictions(STUDENT_MODEL, [fold])
    predicted = Predictor(pipeline.judged, pipeline.encoder).predictions(STUDENT_MODEL, [fold])
    assert len(predicted.rows) == len(TITLES)


def test_pins_and_queries_of_two_encoders_are_refused_in_a_line(filled: Workspace, encoders: list[str]) -> None:
    embed(filled, encoders[0], encoders[1])
    with pytest.raises(BadInput) as error:
        Pipeline(filled, SETTINGS).encoder  # noqa: B018  # made when it is first asked for
    pins, queries = (TextEncoder(one).producer for one in encoders)
    assert str(error.value) == (
        f"expected pins and queries embedded by {queries}, the text encoder last named, found pin_text_embedding by "
        f"{pins}; run `enrich run`, with --encoder MODEL where another one is meant"
    )
    embed(filled, None, None)  # as it says: both by the last named
    assert of_workspace(filled, encoders[1]).producer == queries


def test_a_workspace_of_the_default_says_nothing(filled: Workspace) -> None:
    assert Pipeline(filled, SETTINGS).encoder.producer == TextEncoder().producer
    assert Pipeline(filled, SETTINGS).settings == SETTINGS


def test_a_student_of_another_encoder_than_the_tables_is_refused_in_a_line(
    filled: Workspace, made: Workspace, encoders: list[str]
) -> None:
    embed(filled, encoders[1], None)
    student = Student.load(made.models / STUDENT_MODEL)
    student.save(filled.models / STUDENT_MODEL)
    materialize(filled)
    for opened in (lambda: Scorer.open(filled), lambda: of_student(student, filled)):
        with pytest.raises(
            BadInput, match=r"found pin_text_embedding by e1@\w+, query_features by e1@\w+; run"
        ) as error:
            opened()
        assert "\n" not in str(error.value)


def test_an_encoder_that_changed_in_its_folder_is_refused(made: Workspace, tmp_path: Path) -> None:
    student = Student.load(made.models / STUDENT_MODEL)
    other = tiny_encoder(tmp_path / "e0", seed=5)
    moved = replace(student.record, settings=replace(student.record.settings, text_encoder=other))
    with pytest.raises(BadInput, match=r"expected queries embedded by e0@\w+, .* found e0@"):
        of_student(Student(moved, student.statistics, student.network))


def test_a_service_finds_candidates_by_terms_where_the_index_is_of_another_encoder(
    made: Workspace, encoders: list[str]
) -> None:
    workspace_index(made)
    loader = Loader(made, ServiceSettings(reload_seconds=0))
    both = loader.first().candidates
    assert both and set(both(KNOWN, 10).pin_ids) == set(TITLES)
    index = workspace_index(made)
    index.encoder = TextEncoder(encoders[1]).producer
    index.save(made.models / "candidates")
    terms = loader.first().candidates
    assert terms and terms(KNOWN, 10) == (["a"], None)


def serve_with(workspace: Workspace, student: Path) -> Live:
    """A service over a student of another workspace."""
    shutil.copytree(student, workspace.models / STUDENT_MODEL)
    run_serving(workspace, ServingSettings())
    materialize(workspace)
    workspace_index(workspace)
    loader = Loader(workspace, ServiceSettings(reload_seconds=0))
    return Live(loader.first(), loader)


def test_a_running_service_leaves_vectors_of_another_encoder_out_and_says_so(
    filled: Workspace, made: Workspace, encoders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(filled, encoders[0], None)
    live = serve_with(filled, made.models / STUDENT_MODEL)
    before = live.engine.scorer.score(KNOWN, [*TITLES])
    embed(filled, encoders[1], None)
    run_serving(filled, ServingSettings())
    assert not live.look() and live.engine.fit == Fit()  # the store holds what it held
    load, begun = feature_store._load, list[bool]()

    def looked(*named: object) -> None:
        begun.append(live.look())
        load(*named)

    monkeypatch.setattr(feature_store, "_load", looked)
    materialize(filled)
    assert begun[0] and live.engine.fit.encoder  # as the first of them was about to be loaded
    live.look()
    with client_of(Parts(live, QUIET)) as client:
        (reason,) = client.get("/readyz").json()["reasons"]
        answer = client.post("/score", json={"query": KNOWN, "pin_ids": [*TITLES]}).json()
    assert "found pin_text_embedding by e1@" in reason and "`relevance run`" in reason
    assert answer["degraded"] and all({OTHER_ENCODER, "text_embedding"} < set(pin["missing"]) for pin in answer["pins"])
    np.testing.assert_allclose(
        live.engine.scorer.query_vector(KNOWN), TextEncoder(encoders[0]).encode([KNOWN])[0], atol=2e-3
    )
    embed(filled, encoders[0], None)
    run_serving(filled, ServingSettings())
    materialize(filled)
    assert live.look() and live.engine.fit.encoder is None
    assert live.engine.scorer.score(KNOWN, [*TITLES]) == before


def test_a_command_refuses_another_encoder_before_the_store_is_loaded(
    filled: Workspace, made: Workspace, encoders: list[str]
) -> None:
    embed(filled, encoders[0], None)
    serve_with(filled, made.models / STUDENT_MODEL)
    held = OnlineFeatures.open(filled).pins([*TITLES])
    embed(filled, encoders[1], None)
    run_serving(filled, ServingSettings())
    with pytest.raises(BadInput, match="found pin_text_embedding by e1@"):
        served_workspace(filled.root)
    assert OnlineFeatures.open(filled).pins([*TITLES]) == held
