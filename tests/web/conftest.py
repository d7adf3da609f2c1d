"""The real web server before a daemon made of plain data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from monitor.events.schema import migrate
from monitor.storage.database import open_database
from monitor.web import (
    JobStatus,
    StatusReport,
    WebServer,
    WorkerStatus,
    WriterStatus,
    create_app,
)
from monitor.web.doorkeeper import Doorkeeper

from .fakes import NOON, FakeDaemon, camera, doorkeeper


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of this version, to be copied: migrating takes a second."""
    file = tmp_path_factory.mktemp("template") / "monitor.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def empty(template: Path, tmp_path: Path) -> Iterator[Engine]:
    """An empty database."""
    engine = open_database(f"sqlite:///{shutil.copy(template, tmp_path / 'monitor.db')}")
    yield engine
    engine.dispose()


@pytest.fixture
def daemon() -> FakeDaemon:
    report = StatusReport(
        started=NOON,
        model_id="person_exists-1",
        cameras=(camera("door"), camera("yard")),
        writer=WriterStatus(alive=True, lag=0.1, queued=2, failed=0),
        workers=WorkerStatus(2, 2, 1, 50, 3.5, 0.02, 0.09),
        jobs=(JobStatus("retention", 4, 1, 0, NOON),),
        events_total=7,
    )
    return FakeDaemon(report)


@pytest.fixture
def keeper(tmp_path: Path) -> Doorkeeper:
    """Lets everybody look."""
    return doorkeeper(tmp_path)


@pytest.fixture
def server(daemon: FakeDaemon, keeper: Doorkeeper) -> Iterator[WebServer]:
    """The real server on a free port, looking twenty times a second."""
    server = WebServer("127.0.0.1", 0)
    server.start(create_app(daemon, daemon, keeper, interval=0.05))
    yield server
    assert server.stop()


@pytest.fixture
def client(engine: Engine, daemon: FakeDaemon, keeper: Doorkeeper) -> Iterator[httpx.Client]:
    """Asks a server with the memory of the test file's own fixture `engine`."""
    server = WebServer("127.0.0.1", 0)
    server.start(create_app(daemon, daemon, keeper, memory=engine))
    with httpx.Client(base_url=server.url) as client:
        yield client
    server.stop()
