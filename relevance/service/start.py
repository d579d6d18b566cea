"""Starting the service: one process or several, each with a model and a connection of its own (`relevance serve`).

Reads a workspace; writes what its flags ask for (W/requests, W/shadow), and the candidate index where it is stale.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI

from enrich.errors import BadInput
from enrich.text_encoder import TextEncoder
from enrich.workspace import ENVIRONMENT_VARIABLE, Workspace
from relevance import query_encoder
from relevance.candidates import workspace_index
from relevance.service.app import Parts, create_app
from relevance.service.asked_teacher import AskedTeacher
from relevance.service.cards import Cards
from relevance.service.keys import ApiKeys
from relevance.service.live import Live, Loader
from relevance.service.logs import write_json_lines
from relevance.service.meters import Meters, count_together, forget_dead_workers
from relevance.service.pictures import Pictures
from relevance.service.settings import Served, ServiceSettings
from relevance.service.shadow import Shadow, folder_of
from relevance.service.wire import Wire
from relevance.serving.steady_memory import steady_memory
from relevance.student import Student


def serve(workspace: Workspace, settings: ServiceSettings, host: str, port: int, workers: int = 1) -> None:
    """Serve the workspace until stopped. Raises BadInput where a model, a key file or a feature service is missing."""
    workspace_index(workspace)  # made once, before every worker loads it
    Served(workspace.root, settings).publish()
    if workers == 1:
        app = app_of(workspace, settings)
        uvicorn.run(app, host=host, port=port, http=Wire, ws="none", access_log=False, log_config=None)
        return
    _refuse_unfit(workspace, settings)
    with tempfile.TemporaryDirectory() as folder:
        count_together(folder)
        uvicorn.run(
            "relevance.service.start:worker_app",
            factory=True,
            workers=workers,
            host=host,
            port=port,
            http=Wire,
            ws="none",
            access_log=False,
            log_config=None,
        )


def _refuse_unfit(workspace: Workspace, settings: ServiceSettings) -> None:
    """Raises BadInput where a worker would: uvicorn begins one that ends anew, for ever."""
    _keys(settings)
    _shadow_of(workspace, settings, Loader(workspace, settings).first().scorer.student)


def worker_app() -> FastAPI:
    """The app of a worker process, by what its parent published."""
    served = Served.published()
    os.environ[ENVIRONMENT_VARIABLE] = str(served.workspace)
    forget_dead_workers()
    return app_of(Workspace.open(served.workspace), served.settings)


def app_of(workspace: Workspace, settings: ServiceSettings) -> FastAPI:
    """The workspace's app, loaded and ready, the text encoder too. Raises BadInput where something is missing."""
    write_json_lines()
    torch.set_num_threads(1)  # requests are answered side by side; one of them need not take every core
    loader = Loader(workspace, settings)
    live, meters, cards = Live(loader.first(), loader), Meters(), Cards(workspace)
    live.engine.scorer.warm()
    parts = Parts(
        live,
        settings,
        meters,
        keys=_keys(settings),
        cards=cards,
        pictures=Pictures(workspace, settings.image_folders),
        teacher=AskedTeacher(workspace, cards) if settings.teacher else None,
        shadow=_shadow(workspace, settings, meters, live.engine.scorer.student),
    )
    app = create_app(parts)
    steady_memory()
    return app


def _keys(settings: ServiceSettings) -> ApiKeys | None:
    return ApiKeys.read(Path(settings.api_keys)) if settings.api_keys else None


def _shadow(workspace: Workspace, settings: ServiceSettings, meters: Meters, answering: Student) -> Shadow | None:
    """None where none is named. Raises BadInput."""
    found = _shadow_of(workspace, settings, answering)
    return None if found is None else Shadow(*found, folder_of(workspace), meters, settings.shadow_share)


def _shadow_of(
    workspace: Workspace, settings: ServiceSettings, answering: Student
) -> tuple[Student, TextEncoder] | None:
    """The student that is named, and its encoder. Raises BadInput for one that reads vectors of other lengths: the pins
    are unpacked for the model that answers.
    """
    if not settings.shadow:
        return None
    student = Student.load(settings.shadow)
    if student.record.dimensions != answering.record.dimensions:
        raise BadInput(
            f"expected a shadow that reads vectors as the model that answers ({answering.record.dimensions}), found "
            f"{student.record.dimensions} in {settings.shadow}; train it on this workspace's features"
        )
    return student, query_encoder.of_student(student, workspace)
