"""Which schedules are armed, and how people hear of it when that changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from monitor.alerts import desk
from monitor.alerts.armament import Armament
from monitor.alerts.models import OverrideRow
from monitor.config.alerts import AlertConfig
from monitor.storage.audit import find_entries

from .conftest import configured, later


@pytest.fixture
def config() -> AlertConfig:
    schedules = {"nights": {"windows": ["daily 20:00-06:00"]}}
    return configured(schedules=schedules).alerts


def override(
    engine: Engine, since: datetime, until: datetime | None, *, armed: bool, schedule: str = ""
) -> None:
    with desk.transaction(engine) as session:
        session.add(
            OverrideRow(
                id=uuid4(), schedule=schedule, armed=armed, since=since, until=until, who="ann"
            )
        )


def look(armament: Armament, config: AlertConfig, now: datetime) -> tuple[bool, list[Any]]:
    with capture_logs() as lines:
        armed = armament.look(config, now)
    return armed["nights"], [(line["event"], line["schedule"]) for line in lines]


def test_a_window_and_a_hand_are_told_when_they_change_something(
    engine: Engine, config: AlertConfig
) -> None:
    armament, noon = Armament(engine), later(0)
    assert look(armament, config, noon) == (False, [("not armed", "nights")])
    assert look(armament, config, noon + timedelta(seconds=5)) == (False, [])
    override(engine, later(10), later(3600), armed=True, schedule="nights")
    assert look(armament, config, later(15)) == (True, [("armed", "nights")])
    assert look(armament, config, later(20)) == (True, [])
    over = look(armament, config, later(3601))
    assert over == (False, [("the time is over", "nights"), ("not armed", "nights")])
    assert look(armament, config, later(9 * 3600)) == (True, [("armed", "nights")])
    entry = find_entries(engine)[0]
    assert (entry.action, entry.subject, entry.actor) == ("expired", "nights", "monitor")
    assert "armed by ann" in entry.details


def test_everything_disarmed_by_hand_is_every_schedule_disarmed(
    engine: Engine, config: AlertConfig
) -> None:
    armament = Armament(engine)
    night = later(10 * 3600)
    assert look(armament, config, night)[0]
    override(engine, night, night + timedelta(minutes=30), armed=False)
    assert look(armament, config, night + timedelta(seconds=5)) == (
        False,
        [("not armed", "nights")],
    )
    again = look(armament, config, night + timedelta(minutes=31))
    assert again == (True, [("the time is over", "everything"), ("armed", "nights")])


def test_what_ran_out_before_the_start_is_not_told(engine: Engine, config: AlertConfig) -> None:
    override(engine, later(-7200), later(-3600), armed=True)
    assert look(Armament(engine), config, later(0)) == (False, [("not armed", "nights")])
    assert not find_entries(engine)
