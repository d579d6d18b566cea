"""A service over a tiny student, and a store in memory or a workspace's, for tests of what stands around the scorer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from fastapi.testclient import TestClient
from table_rows import day, write_rows

from enrich import tables
from enrich.pin_packing import pack_pins
from enrich.serving import ServingSettings, run_serving
from enrich.workspace import Workspace
from relevance.candidates import workspace_index
from relevance.feature_store import materialize
from relevance.learning.inputs import pin_columns
from relevance.learning.network import NetworkSettings, Size
from relevance.learning.training import train_student
from relevance.online import Scorer
from relevance.service.app import Parts, create_app
from relevance.service.live import Engine, Found, Live
from relevance.service.settings import ServiceSettings
from relevance.student import Student, StudentSettings
from tests.relevance.students import DIMENSION, MemoryStore, WordEncoder, labelled_frame

FRAME = labelled_frame(2, 6, 31)
PINS = FRAME["pin_id"].to_list()
QUERY, IDS = "red chair", ["a", "b", "c"]  # that `fill` writes
QUIET = ServiceSettings(reload_seconds=0, deadline_ms=60_000)


def tiny_student(folder: Path, seed: int = 0) -> Student:
    torch.set_num_threads(1)
    chosen = StudentSettings(network=NetworkSettings(Size.S), epochs=2, seed=seed)
    return train_student(FRAME, FRAME, chosen, folder, WordEncoder())


def fill(workspace: Workspace, student: Path) -> None:
    """Three pins and a query with a vector, packed and loaded; a student; an index of candidates."""
    at = {"event_timestamp": day(1)}
    write_rows(workspace, tables.PINS, *({"pin_id": pin, "created_at": day(1)} for pin in IDS))
    write_rows(workspace, tables.PIN_TEXT, *({"pin_id": p, "title": f"red chair {p}", "lang": "en", **at} for p in IDS))
    vector = [1.0] + [0.0] * (DIMENSION - 1)
    write_rows(workspace, tables.QUERY_FEATURES, {"query": QUERY, "query_embedding": vector, "lang": "en", **at})
    run_serving(workspace, ServingSettings())
    materialize(workspace)
    shutil.copytree(student, workspace.models / "student")
    workspace_index(workspace)


def memory_store() -> MemoryStore:
    return MemoryStore(dict(zip(PINS, pack_pins(pin_columns(FRAME)), strict=True)), {})


def engine_of(scorer: Scorer) -> Engine:
    return Engine(scorer, lambda query, limit: Found(PINS[:limit]), "f1")


@contextmanager
def client_of(parts: Parts) -> Iterator[TestClient]:
    with TestClient(create_app(parts), raise_server_exceptions=False) as client:
        yield client


def parts_of(scorer: Scorer, settings: ServiceSettings = QUIET) -> Parts:
    return Parts(Live(engine_of(scorer)), settings)
