"""Other rules, channels and zones while alerts are watched for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from monitor.alerts.intake import GrantRequest
from monitor.alerts.models import WatchRow, ZoneRow
from monitor.clock import SystemClock
from monitor.config import MonitorConfig
from monitor.errors import InputError
from monitor.messages import PresenceState

from .conftest import (
    HandClock,
    Line,
    alerts_in,
    came,
    configured,
    hook_channel,
    later,
    turned,
    until,
)
from .receivers import Hook

UNKNOWN, VACANT = PresenceState.UNKNOWN, PresenceState.VACANT
RULE = {"on": "occupied", "channels": ["hook"], "cooldown": 0}
LOST = {"on": "camera_lost", "after": "30s"}
Make = Callable[..., Line]


def without(config: MonitorConfig, camera: str, zone: str | None = None) -> MonitorConfig:
    """The same without a camera, or one of its zones."""
    cameras = dict(config.cameras)
    if zone is None:
        del cameras[camera]
    else:
        zones = {name: each for name, each in cameras[camera].zones.items() if name != zone}
        cameras[camera] = cameras[camera].model_copy(update={"zones": zones})
    return config.model_copy(update={"cameras": cameras})


def zones_in(engine: Engine) -> set[tuple[str, str]]:
    with Session(engine) as session:
        return {(row.camera, row.zone) for row in session.scalars(select(ZoneRow))}


def watches_in(engine: Engine) -> list[Any]:
    with Session(engine, expire_on_commit=False) as session:
        return list(session.scalars(select(WatchRow)))


def test_rules_and_channels_are_exchanged_and_what_is_owed_stays_owed(
    line: Make, hook: Hook, engine: Engine
) -> None:
    hook.status = 500
    channels = {"hook": hook_channel(hook)}
    running = line(configured(rules={"someone": RULE}, channels=channels), SystemClock())
    running.tell(came("a"))
    until(lambda: hook.requests)
    with Hook() as other:
        rules = {"someone": {**RULE, "severity": "critical"}}
        moved = configured(rules=rules, channels={"hook": hook_channel(other)})
        running.room.reconfigure(moved)
        until(lambda: other.bodies, 15)
        running.tell(came("b", 10, "yard"))
        until(lambda: len(other.bodies) == 2)
        assert [body["severity"] for body in other.bodies] == ["warning", "critical"]
    tries = len(hook.requests)
    running.room.reconfigure(configured(rules={}, channels={}))
    running.tell(came("c", 20))
    assert len(alerts_in(engine)) == 2
    assert len(hook.requests) == tries


def test_a_channel_that_stays_keeps_its_counters(line: Make, hook: Hook) -> None:
    channels = {"hook": hook_channel(hook)}
    running = line(configured(rules={"someone": RULE}, channels=channels), SystemClock())
    running.tell(came("a"))
    until(lambda: running.room.stats().channels[0][0].sent == 1)
    more = {**channels, "second": hook_channel(hook, body="slack")}
    running.room.reconfigure(configured(rules={"someone": RULE}, channels=more))
    kept, made = (stats for stats, _ in running.room.stats().channels)
    assert (kept.name, kept.sent) == ("hook", 1)
    assert (made.name, made.sent) == ("second", 0)


def test_a_zone_that_goes_is_forgotten_with_what_waits_for_it(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    before = configured(rules={"long": {"on": "occupied", "after": "60s"}, "lost": LOST})
    running = line(before)
    running.tell(came("a"), came("b", 0, "yard"))
    assert {watch.zone for watch in watches_in(engine)} == {"gate", "yard", ""}
    running.room.reconfigure(without(before, "dock", "yard"))
    clock.seconds = 1.0
    running.room.tick(clock.now())
    assert zones_in(engine) == {("dock", "gate"), ("lobby", "frame")}
    clock.seconds = 90.0
    running.room.tick(clock.now())
    assert [alert.zone for alert in alerts_in(engine) if alert.rule == "long"] == ["gate"]


def test_a_camera_that_goes_is_not_lost(line: Make, engine: Engine, clock: HandClock) -> None:
    before = configured(rules={"lost": LOST})
    running = line(before)
    running.tell(turned(UNKNOWN, VACANT, 0, "frame", "lobby"), turned(UNKNOWN, VACANT, 0))
    running.room.reconfigure(without(before, "lobby"))
    running.tell(turned(VACANT, UNKNOWN, 5, "frame", "lobby"))  # presence ends what it watched
    for seconds in (6.0, 60.0):
        clock.seconds = seconds
        running.room.tick(clock.now())
    assert [alert.camera for alert in alerts_in(engine)] == []
    assert ("lobby", "frame") not in zones_in(engine)


def test_a_camera_that_comes_is_watched_from_now_on(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    after = configured(rules={"lost": LOST})
    running = line(without(after, "lobby"))
    with pytest.raises(InputError):
        running.room.intake.grants([GrantRequest(zone="lobby/frame", until=later(60))], "test", "t")
    running.room.reconfigure(after)
    running.room.intake.grants([GrantRequest(zone="lobby/frame", until=later(60))], "test", "t")
    running.tell(turned(UNKNOWN, VACANT, 0))
    for seconds in (10.0, 20.0, 41.0):
        clock.seconds = seconds
        running.room.tick(clock.now())
    assert [(alert.camera, alert.rule) for alert in alerts_in(engine)] == [("lobby", "lost")]
