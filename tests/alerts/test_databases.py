"""The whole room on SQLite, PostgreSQL and MariaDB: the same answers from each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from events.servers import MariaDB, PostgreSQL
from sqlalchemy import Engine

from monitor.alerts import desk
from monitor.alerts.intake import parse_doors
from monitor.alerts.outbox import AlertState
from monitor.events.schema import migrate
from monitor.storage.database import open_database

from .conftest import (
    HandClock,
    Line,
    alerts_in,
    at,
    came,
    configured,
    deliveries_in,
    hook_channel,
    later,
    left,
    until,
)
from .receivers import Hook


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of each kind with the present schema."""
    kinds = {"postgresql": PostgreSQL, "mariadb": MariaDB}
    if request.param not in kinds:
        url = f"sqlite:///{tmp_path}/monitor.db"
        migrate(url)
        engine = open_database(url)
        yield engine
        engine.dispose()
        return
    with kinds[request.param]() as server:
        url = server.empty_database()
        migrate(url)
        engine = open_database(url)
        yield engine
        engine.dispose()


def test_the_room_does_the_same_on_every_database(
    database: Engine, tmp_path: Path, hook: Hook, ending: ExitStack
) -> None:
    config = configured(
        rules={
            "someone": {
                "on": "occupied",
                "channels": ["hook"],
                "cooldown": "30s",
                "escalate": {"after": "10m", "channels": ["hook"]},
            },
            "stays": {"on": "occupied", "after": "60s"},
            "badge": {"on": "occupied_without_grant", "after": "10s"},
            "together": {"on": "vacated", "coalesce": "10s", "cooldown": 0, "channels": ["hook"]},
        },
        doors={"front": {"zone": "dock/gate"}},
        channels={"hook": hook_channel(hook)},
    )
    clock = HandClock()
    line = Line(database, config, clock, tmp_path)
    ending.callback(line.stop)
    report = {"door": "front", "kind": "granted", "subject": "b1", "at": at(0).utc}
    for expected in (1, 0):
        assert line.room.intake.doors(parse_doors([report]), "test") == expected
    line.tell(came("a", 1), left("a", 5), came("b", 10), came("b", 10), came("c", 12, "yard"))
    for seconds in (15.0, 40.0, 75.0):
        clock.seconds = seconds
        line.room.tick(clock.now())
    line.tell(left("b", 80), left("c", 81, "yard"))
    told = [(row.rule, row.zone, row.state) for row in alerts_in(database)]
    assert sorted(told) == [
        ("badge", "yard", "open"),
        ("someone", "gate", "open"),
        ("someone", "gate", "suppressed"),
        ("someone", "yard", "open"),
        ("stays", "gate", "open"),
        ("stays", "yard", "open"),
        ("together", "gate", "open"),
        ("together", "gate", "open"),
        ("together", "yard", "open"),
    ]
    first = next(row for row in alerts_in(database) if row.rule == "someone")
    acked = desk.act(database, str(first.id)[:8], AlertState.ACKNOWLEDGED, who="a", now=later(90))
    assert acked.id == first.id
    clock.seconds = 800.0
    line.room.tick(clock.now())
    line.room.on_committed()
    until(lambda: all(row.state == "sent" for row in deliveries_in(database)), 20)
    counts = sorted(body["count"] for body in hook.bodies if body["rule"] == "together")
    assert counts == [1, 2]
    assert [body["zone"] for body in hook.bodies if "nobody ack" in str(body["reasons"])] == [
        "yard"
    ]
