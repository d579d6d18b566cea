"""A service begins with all that it needs, or ends with one line: no worker finds out later, and no request waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from enrich.errors import BadInput
from enrich.text_encoder import TextEncoder
from enrich.workspace import Workspace
from relevance.learning.training import train_student
from relevance.service.logs import LOGGERS
from relevance.service.settings import VARIABLE, ServiceSettings
from relevance.service.start import app_of, serve
from relevance.serving.request_log import RECORD_VARIABLE
from relevance.student import StudentSettings
from relevance.tuning.chosen import chosen_path
from tests.relevance.services import FRAME, IDS, QUIET, fill, tiny_student
from tests.relevance.students import WordEncoder


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """With a student; what starting a service changes of the process is undone."""
    monkeypatch.setenv(VARIABLE, "")
    before, threads = [(one.handlers, one.propagate, one.level) for one in LOGGERS], torch.get_num_threads()
    tiny_student(tmp_path / "student")
    fill(workspace, tmp_path / "student")
    yield workspace
    torch.set_num_threads(threads)
    for logger, (handlers, propagate, level) in zip(LOGGERS, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_workers_are_not_begun_where_each_would_end_at_once(filled, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr("relevance.service.start.count_together", lambda _: None)  # of the whole process
    monkeypatch.setattr("relevance.service.start.uvicorn.run", lambda *_, **named: begun.append(named["workers"]))

    def start(settings: ServiceSettings = QUIET) -> None:
        serve(filled, settings, "127.0.0.1", 0, workers=2)

    other = FRAME.drop("pin_text_embedding__text_embedding")
    train_student(other, other, StudentSettings(epochs=1), tmp_path / "other", WordEncoder())
    with pytest.raises(BadInput, match="expected a shadow that reads vectors"):
        start(ServiceSettings(shadow=str(tmp_path / "other")))
    monkeypatch.setenv(RECORD_VARIABLE, "2")
    with pytest.raises(BadInput, match="share of requests"):
        start()
    monkeypatch.delenv(RECORD_VARIABLE)
    chosen_path(filled).write_text("{}")
    with pytest.raises(BadInput, match="tune-ranking"):
        start()
    chosen_path(filled).unlink()
    assert begun == []
    start()
    assert begun == [2]


@pytest.mark.parametrize("there", [True, False])
def test_the_encoder_is_loaded_before_the_first_request_or_missed_without_a_stop(filled, monkeypatch, there):
    encoded = []

    def encode(_, texts):
        encoded.extend(texts)
        if not there:
            raise BadInput("no weights")
        return WordEncoder().encode(texts)

    monkeypatch.setattr(TextEncoder, "encode", encode)
    app = app_of(filled, QUIET)
    assert len(encoded) == 1
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 200
        answer = client.post("/score", json={"query": "a new one", "pin_ids": IDS}).json()
    assert answer["degraded"] is not there and encoded[1:] == ["a new one"]
