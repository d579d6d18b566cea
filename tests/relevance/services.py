"""A service over a tiny student and a store in memory, for tests of what stands around the scorer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from fastapi.testclient import TestClient

from enrich.pin_packing import pack_pins
from relevance.learning.inputs import pin_columns
from relevance.learning.network import NetworkSettings, Size
from relevance.learning.training import train_student
from relevance.online import Scorer
from relevance.service.app import Parts, create_app
from relevance.service.live import Engine, Live
from relevance.service.settings import ServiceSettings
from relevance.student import Student, StudentSettings
from tests.relevance.students import MemoryStore, WordEncoder, labelled_frame

FRAME = labelled_frame(2, 6, 31)
PINS = FRAME["pin_id"].to_list()
QUIET = ServiceSettings(reload_seconds=0, deadline_ms=60_000)


def tiny_student(folder: Path, seed: int = 0) -> Student:
    torch.set_num_threads(1)
    chosen = StudentSettings(network=NetworkSettings(Size.S), epochs=2, seed=seed)
    return train_student(FRAME, FRAME, chosen, folder, WordEncoder())


def memory_store() -> MemoryStore:
    return MemoryStore(dict(zip(PINS, pack_pins(pin_columns(FRAME)), strict=True)), {})


def engine_of(scorer: Scorer) -> Engine:
    return Engine(scorer, lambda query, limit: PINS[:limit], "f1")


@contextmanager
def client_of(parts: Parts) -> Iterator[TestClient]:
    with TestClient(create_app(parts), raise_server_exceptions=False) as client:
        yield client


def parts_of(scorer: Scorer, settings: ServiceSettings = QUIET) -> Parts:
    return Parts(Live(engine_of(scorer)), settings)
