"""Real databases for the tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from monitor.clock import SystemClock
from monitor.events.commit import Commit
from monitor.events.database import open_database
from monitor.events.models import OccupancyEvent
from monitor.events.schema import migrate
from monitor.events.snapshots import SnapshotStore
from monitor.events.writer import EventWriter

from .servers import MariaDB, PostgreSQL, Server

ALL_BACKENDS = ("sqlite", "postgresql", "mariadb")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of modules that say `BACKENDS = ALL_BACKENDS` on each of them."""
    backends = getattr(metafunc.module, "BACKENDS", None)
    if backends and "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", backends, indirect=True)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file; the tests work on copies."""
    path = tmp_path_factory.mktemp("template") / "monitor.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server."""
    with MariaDB() as server:
        yield server


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """Which database; SQLite unless the test's module names `BACKENDS`."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database with the present schema."""
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("template"), tmp_path / "monitor.db")
        return f"sqlite:///{tmp_path}/monitor.db"
    server: Server = request.getfixturevalue(backend)
    return server.empty_database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def commits() -> list[Commit]:
    """What the writer reported as committed."""
    return []


@pytest.fixture
def make_writer(
    engine: Engine, tmp_path: Path, commits: list[Commit]
) -> Iterator[Callable[[], EventWriter]]:
    """Writers on the database; what is still running is stopped at the end."""
    made: list[EventWriter] = []

    def make() -> EventWriter:
        writer = EventWriter(
            engine,
            spool=tmp_path / "events.spool",
            snapshots=SnapshotStore(tmp_path / "snapshots"),
            clock=SystemClock(),
            on_committed=commits.append,
        )
        made.append(writer)
        return writer

    yield make
    for writer in made:
        writer.stop(timeout=60.0)


def rows(engine: Engine) -> list[OccupancyEvent]:
    """All events, oldest first."""
    with Session(engine, expire_on_commit=False) as session:
        query = select(OccupancyEvent).order_by(OccupancyEvent.started_at, OccupancyEvent.zone)
        return list(session.scalars(query))
