"""Fixtures shared by all tests: an empty workspace, and the real data that may stand beside the project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from redis_server import RedisServer

from enrich.workspace import ENVIRONMENT_VARIABLE, Catalogue, Workspace

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

hypothesis.settings.register_profile("unhurried", deadline=None)  # a busy machine makes no claim false
hypothesis.settings.load_profile("unhurried")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace in which every table exists and none has rows."""
    workspace = Workspace.at(tmp_path / "workspace")
    workspace.create(Catalogue("native", "inline"))
    return workspace


@pytest.fixture
def two_pins(tmp_path: Path) -> Path:
    """A folder to import: a catalogue of two pins, 1 and 2, to which a test adds its log."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    (folder / "pins.csv").write_text("pin_id,title\n1,shoe\n2,hat\n")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; the test skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data for tests is not at ../shared/data")
    return SHARED_DATA


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A running Redis; the test skips where redis-server is not installed."""
    server = RedisServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command points the environment at its workspace; no test sees another's."""
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")  # so that whatever the test sets is undone
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
