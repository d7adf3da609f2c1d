"""Real databases, receivers and rooms for the tests of alerts."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from monitor.alerts.models import AlertRow, DeliveryRow
from monitor.alerts.room import AlertRoom
from monitor.clock import Stamp
from monitor.config import MonitorConfig
from monitor.events.schema import migrate
from monitor.events.writer import EventWriter
from monitor.messages import CameraHealth, EndReason, PresenceState, Summary, Transition
from monitor.storage.database import open_database

from .receivers import Hook

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENTS = UUID("00000000-0000-4000-8000-000000000000")


class HandClock:
    """A clock that tests move by hand; starts at noon."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Stamp:
        return Stamp(1000.0, NOON).shifted(self.seconds)


def at(seconds: float) -> Stamp:
    return Stamp(1000.0, NOON).shifted(seconds)


def came(event: str, seconds: float = 0.0, zone: str = "gate", camera: str = "dock") -> Transition:
    """Somebody came."""
    return Transition(
        camera=camera,
        zone=zone,
        previous=PresenceState.VACANT,
        current=PresenceState.OCCUPIED,
        at=at(seconds),
        confirmed=at(seconds + 0.6),
        event_id=uuid5(EVENTS, event),
        summary=Summary(0.9, 0.85, 3),
    )


def left(event: str, seconds: float, zone: str = "gate", camera: str = "dock") -> Transition:
    """Everybody left."""
    return Transition(
        camera=camera,
        zone=zone,
        previous=PresenceState.OCCUPIED,
        current=PresenceState.VACANT,
        at=at(seconds),
        confirmed=at(seconds + 5.0),
        event_id=uuid5(EVENTS, event),
        summary=Summary(0.99, 0.9, 50),
        end_reason=EndReason.VACATED,
    )


def turned(
    previous: PresenceState,
    current: PresenceState,
    seconds: float,
    zone: str = "gate",
    camera: str = "dock",
) -> Transition:
    """A change without an event: between UNKNOWN and VACANT."""
    return Transition(camera, zone, previous, current, at(seconds), at(seconds), None)


def configured(**alerts: Any) -> MonitorConfig:
    """Two cameras, dock with gate and yard, and lobby; the given section `alerts`."""
    corner = [[0, 0], [1, 0], [1, 1]]
    zones = {"gate": {"polygon": corner}, "yard": {"polygon": corner}}
    cameras = {
        "dock": {"source": {"url": "rtsp://127.0.0.1/1"}, "zones": zones},
        "lobby": {"source": {"url": "rtsp://127.0.0.1/2"}},
    }
    return MonitorConfig.model_validate({"cameras": cameras, "alerts": alerts})


def hook_channel(hook: Hook, **more: Any) -> dict[str, Any]:
    return {"webhook": {"url": hook.url, "allow": ["127.0.0.1"], **more}}


def alerts_in(engine: Engine) -> list[AlertRow]:
    """All alerts, oldest first."""
    with Session(engine, expire_on_commit=False) as session:
        return list(session.scalars(select(AlertRow).order_by(AlertRow.at, AlertRow.rule)))


def deliveries_in(engine: Engine) -> list[DeliveryRow]:
    """All deliveries in their order."""
    with Session(engine, expire_on_commit=False) as session:
        return list(session.scalars(select(DeliveryRow).order_by(DeliveryRow.id)))


def until(what: Callable[[], Any], seconds: float = 8.0) -> Any:
    """The first true answer within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s")
        time.sleep(0.02)
    return answer


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


PATIENCE = 5.0
"""Seconds in which threads that were told to end must have ended."""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread outlives its test, failed or not: it would log and hold ports in later ones."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE
    while left := [each.name for each in threading.enumerate() if each not in before]:
        if time.monotonic() > deadline:
            pytest.fail(f"threads are left behind: {', '.join(sorted(left))}")
        time.sleep(0.02)


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    """Ends what a test started, the latest first, however the test ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file; the tests work on copies."""
    path = tmp_path_factory.mktemp("template") / "monitor.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(template: Path, tmp_path: Path) -> str:
    shutil.copy(template, tmp_path / "monitor.db")
    return f"sqlite:///{tmp_path}/monitor.db"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A real HTTP server that keeps what it is sent."""
    with Hook() as hook:
        yield hook


class Line:
    """Writer and alert room on one database, as the daemon wires them."""

    def __init__(self, engine: Engine, config: MonitorConfig, clock: Any, folder: Path) -> None:
        self.room = AlertRoom(engine, config, clock=clock, picture=lambda _id: b"\xff\xd8jpeg")
        self.writer = EventWriter(
            engine,
            spool=folder / "events.spool",
            snapshots=None,
            clock=clock,
            on_committed=lambda _commit: self.room.on_committed(),
            in_transaction=self.room.in_transaction,
        )
        self.room.start(pulse=False)
        self.writer.start()

    def tell(self, *changes: Transition | CameraHealth) -> None:
        """Put the changes and wait for their commit."""
        for change in changes:
            self.writer.put(change)
        assert self.writer.flush(30.0)

    def stop(self) -> None:
        """End both threads and channels; a second time changes nothing."""
        try:
            self.writer.stop(5.0)
        finally:
            assert self.room.stop(5.0)


@pytest.fixture
def line(
    engine: Engine, clock: HandClock, tmp_path: Path, ending: ExitStack
) -> Callable[[MonitorConfig], Line]:
    def make(config: MonitorConfig, using: Any = None) -> Line:
        made = Line(engine, config, using or clock, tmp_path)
        ending.callback(made.stop)
        return made

    return make
