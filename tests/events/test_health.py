"""Camera health: begins, ends, survives the spool, and is listed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.events.apply import Message, apply
from monitor.events.health import RESTARTED, camera_health
from monitor.events.restart import open_occupancies
from monitor.events.spool import Spool
from monitor.events.writer import EventWriter
from monitor.messages import CameraHealth, HealthCategory, HealthKind

from .builders import NOON, at, closing, opening
from .conftest import ALL_BACKENDS

BACKENDS = ALL_BACKENDS


def begun(which: UUID, seconds: float = 0.0, camera: str = "dock") -> CameraHealth:
    kind, since = HealthKind.COVERED, at(seconds)
    return CameraHealth(which, camera, kind, since, at(seconds + 5), detail="nothing is left")


def over(which: UUID, seconds: float = 60.0) -> CameraHealth:
    covered, began = HealthKind.COVERED, at(0)
    return CameraHealth(which, "dock", covered, began, at(seconds + 3), at(seconds), "it is back")


def test_a_span_is_the_same_in_any_order_and_told_twice(engine: Engine) -> None:
    for order in permutations(range(3)):
        which = uuid4()
        messages = [begun(which), over(which), over(which)]
        for each in order:
            with Session(engine) as session, session.begin():
                apply(session, [messages[each]], NOON)
        together = uuid4()
        with Session(engine) as session, session.begin():
            apply(session, [begun(together), over(together)], NOON)
        found = {span.id: span for span in camera_health(engine)}
        for span in (found[which], found[together]):
            assert (span.camera, span.kind, span.detail) == (
                "dock",
                HealthKind.COVERED,
                "it is back",
            )
            assert span.category is HealthCategory.TAMPER
            assert (span.started_at, span.ended_at) == (NOON, NOON + timedelta(seconds=60))
            assert span.confirmed_at in (NOON + timedelta(seconds=5), NOON + timedelta(seconds=63))


def test_it_is_written_among_events_in_their_order(
    engine: Engine, make_writer: Callable[[], EventWriter]
) -> None:
    event, which = uuid4(), uuid4()
    writer = make_writer()
    writer.start()
    for message in (opening(event), begun(which), closing(event, 30.0), over(which)):
        writer.put(message)
    assert writer.flush(30.0)
    (span,) = camera_health(engine, camera="dock")
    assert span.ended_at is not None


def test_the_spool_gives_back_what_it_was_given(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    messages: list[Message] = [begun(UUID(int=1)), over(UUID(int=1)), opening(UUID(int=2))]
    spool.append(messages)
    assert list(Spool(tmp_path / "spool").read()) == messages


def test_a_restart_ends_what_went_on(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        apply(session, [begun(UUID(int=1))], NOON)
    open_occupancies(engine, set(), at(100))
    (span,) = camera_health(engine)
    assert span.ended_at == NOON + timedelta(seconds=100)
    assert RESTARTED in span.detail


def test_it_is_listed_by_camera_and_time(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        early, late = begun(UUID(int=1)), begun(UUID(int=2), 1000.0)
        apply(session, [early, over(UUID(int=1)), late, begun(UUID(int=3), 5.0, "gate")], NOON)

    def numbers(**wanted: object) -> list[int]:
        return [span.id.int for span in camera_health(engine, **wanted)]  # type: ignore[arg-type]

    assert numbers() == [2, 3, 1]
    assert numbers(camera="dock") == [2, 1]
    assert numbers(open_only=True) == [2, 3]
    assert numbers(since=NOON + timedelta(seconds=61)) == [2, 3]
    assert numbers(until=NOON + timedelta(seconds=1)) == [1]
    assert numbers(limit=1) == [2]


@pytest.mark.parametrize("output", ["table", "csv"])
def test_the_command_lists_it(url: str, engine: Engine, output: str) -> None:
    with Session(engine) as session, session.begin():
        apply(session, [begun(UUID(int=1))], NOON)
    arguments = ["cameras", "health", "--db", url, "--timezone", "UTC", "--format", output]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "covered" in result.output
    assert "tamper" in result.output
