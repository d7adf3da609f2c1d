"""From a committed change to the receiver: once, in order, and never without its event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from monitor.config import MonitorConfig
from monitor.messages import (
    CameraHealth,
    EndReason,
    HealthKind,
    Outage,
    OutageReason,
    PresenceState,
)

from .conftest import (
    HandClock,
    Line,
    alerts_in,
    at,
    came,
    configured,
    deliveries_in,
    hook_channel,
    left,
    turned,
    until,
)
from .receivers import Hook

Make = Callable[[MonitorConfig], Line]
UNKNOWN, VACANT = PresenceState.UNKNOWN, PresenceState.VACANT


def test_a_visit_is_told_with_what_and_why(line: Make, hook: Hook, engine: Engine) -> None:
    rules = {"someone": {"on": "occupied", "channels": ["hook"], "severity": "critical"}}
    line(configured(rules=rules, channels={"hook": hook_channel(hook)})).tell(came("a"))
    until(lambda: hook.requests)
    (body,) = hook.bodies
    assert body["title"] == "dock/gate: somebody is here"
    assert (body["severity"], body["camera"], body["zone"]) == ("critical", "dock", "gate")
    assert body["reasons"] == ["always armed"]
    assert body["at"] == at(0).utc.isoformat()
    until(lambda: deliveries_in(engine)[0].state == "sent")


def test_the_same_change_twice_alerts_once(line: Make, hook: Hook, engine: Engine) -> None:
    rules = {"someone": {"on": "occupied", "channels": ["hook"], "cooldown": 0}}
    running = line(configured(rules=rules, channels={"hook": hook_channel(hook)}))
    running.tell(came("a"))
    running.tell(came("a"), came("a"))
    running.tell(left("a", 10), came("b", 20))
    assert [row.rule for row in alerts_in(engine)] == ["someone", "someone"]
    until(lambda: len(hook.requests) == 2)


def test_alert_and_event_commit_together_or_not_at_all(
    line: Make, hook: Hook, engine: Engine
) -> None:
    rules = {"someone": {"on": "occupied", "channels": ["hook"]}}
    running = line(configured(rules=rules, channels={"hook": hook_channel(hook)}))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE deliveries RENAME TO deliveries_away"))
    running.writer.put(came("a"))
    until(lambda: running.writer.stats().failed)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM occupancy_events")) == 0
        assert connection.scalar(text("SELECT count(*) FROM alerts")) == 0
        connection.execute(text("ALTER TABLE deliveries_away RENAME TO deliveries"))
    assert running.writer.flush(15.0)
    assert len(alerts_in(engine)) == 1
    until(lambda: hook.requests)


def test_an_error_of_the_rules_costs_the_alert_not_the_event(
    line: Make, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = line(configured(rules={"someone": {"on": "occupied"}}))

    def broken(*_args: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(running.room.watching, "on_transition", broken)
    running.tell(came("a"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM occupancy_events")) == 1
    assert running.room.stats().failures == 1


def test_a_dwell_alerts_when_it_is_over_and_not_before(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    running = line(configured(rules={"stays": {"on": "occupied", "after": "30s"}}))
    running.tell(came("a"))
    for seconds, expected in ((29.5, 0), (30.1, 1), (90.0, 1)):
        clock.seconds = seconds
        running.room.tick(clock.now())
        assert len(alerts_in(engine)) == expected
    assert alerts_in(engine)[0].title == "dock/gate: somebody is here for 30 s"


def test_a_short_visit_is_no_dwell_even_if_news_come_late(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    running = line(configured(rules={"stays": {"on": "occupied", "after": "30s"}}))
    running.tell(came("a"), left("a", 10), came("b", 100), left("b", 140))
    clock.seconds = 500
    running.room.tick(clock.now())
    (alert,) = alerts_in(engine)
    assert alert.at == at(130).utc


def test_a_long_absence_alerts_and_not_seeing_is_no_absence(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    running = line(configured(rules={"guard": {"on": "vacant", "after": "60s"}}))
    running.tell(turned(UNKNOWN, VACANT, 0), turned(VACANT, UNKNOWN, 30))
    clock.seconds = 100
    running.room.tick(clock.now())
    assert alerts_in(engine) == []
    running.tell(turned(UNKNOWN, VACANT, 110))
    clock.seconds = 171
    running.room.tick(clock.now())
    assert [row.trigger for row in alerts_in(engine)] == ["vacant"]


def test_a_camera_is_lost_when_none_of_its_zones_is_seen(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    rules = {"blind": {"on": "camera_lost", "after": "20s", "cameras": ["dock"]}}
    running = line(configured(rules=rules))
    running.tell(turned(UNKNOWN, VACANT, 1), turned(UNKNOWN, VACANT, 1, "yard"))
    running.tell(turned(VACANT, UNKNOWN, 5))
    clock.seconds = 40
    running.room.tick(clock.now())
    assert alerts_in(engine) == []
    running.tell(turned(VACANT, UNKNOWN, 41, "yard"))
    clock.seconds = 62
    running.room.tick(clock.now())
    assert [(row.camera, row.zone) for row in alerts_in(engine)] == [("dock", "")]


def test_a_camera_never_seen_since_the_start_is_lost(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    running = line(configured(rules={"blind": {"on": "camera_lost", "after": "20s"}}))
    clock.seconds = 21
    running.room.tick(clock.now())
    assert [row.camera for row in alerts_in(engine)] == ["dock", "lobby"]


def test_cooldown_and_maintenance_record_but_tell_nobody(
    line: Make, engine: Engine, hook: Hook
) -> None:
    rules = {"someone": {"on": "occupied", "channels": ["hook"], "cooldown": "5m"}}
    silence = {"since": at(1000).utc, "until": at(2000).utc, "cameras": ["dock"]}
    running = line(
        configured(rules=rules, maintenance=[silence], channels={"hook": hook_channel(hook)})
    )
    for event, seconds in (("a", 0), ("b", 100), ("c", 400), ("d", 1500)):
        running.tell(came(event, seconds), left(event, seconds + 10))
    states = [row.state for row in alerts_in(engine)]
    assert states == ["open", "suppressed", "open", "suppressed"]
    assert "cooling down" in alerts_in(engine)[1].reasons[-1]
    assert "maintenance" in alerts_in(engine)[3].reasons[-1]
    assert len(deliveries_in(engine)) == 2


def test_seven_cameras_within_ten_seconds_are_one_alert_that_counts(
    line: Make, engine: Engine, hook: Hook, clock: HandClock
) -> None:
    rules = {"someone": {"on": "occupied", "channels": ["hook"], "coalesce": "10s", "cooldown": 0}}
    running = line(configured(rules=rules, channels={"hook": hook_channel(hook)}))
    for index in range(7):
        clock.seconds = float(index)
        camera, zone = (("dock", "gate"), ("dock", "yard"), ("lobby", "frame"))[index % 3]
        running.tell(came(str(index), index, zone, camera), left(str(index), index, zone, camera))
    assert hook.requests == []
    clock.seconds = 10.1
    running.room.on_committed()
    until(lambda: hook.requests)
    (body,) = hook.bodies
    assert body["count"] == 7
    assert body["members"] == ["dock/gate", "dock/yard", "lobby/frame"]
    assert "and 6 more" in body["title"]


def restarted(line: Make, config: MonitorConfig, clock: HandClock, seconds: float) -> Line:
    """A new process on the same database, `seconds` after noon."""
    clock.seconds = seconds
    return line(config)


def test_a_dwell_outlives_a_restart_and_alerts_on_time(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    config = configured(rules={"stays": {"on": "occupied", "after": "60s"}})
    line(config).tell(came("a"))
    again = restarted(line, config, clock, 30)
    for seconds, expected in ((50, 0), (61, 1)):
        clock.seconds = seconds
        again.room.tick(clock.now())
        assert len(alerts_in(engine)) == expected


def test_what_a_dead_process_left_occupied_is_no_dwell(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    config = configured(rules={"stays": {"on": "occupied", "after": "8h"}})
    line(config).tell(came("a"))
    # presence ends what it does not resume at the time it was last seen, before the rules start
    line(config).tell(replace(left("a", 300), end_reason=EndReason.RESTART, current=UNKNOWN))
    again = restarted(line, config, clock, 12 * 3600)
    again.room.tick(clock.now())
    assert alerts_in(engine) == []


def test_time_without_a_monitor_is_no_absence(line: Make, engine: Engine, clock: HandClock) -> None:
    config = configured(rules={"guard": {"on": "vacant", "after": "10m"}})
    line(config).tell(turned(UNKNOWN, VACANT, 0))
    again = restarted(line, config, clock, 3600)
    again.room.tick(clock.now())
    assert alerts_in(engine) == []
    again.tell(turned(UNKNOWN, VACANT, 3605))
    clock.seconds = 3605 + 601
    again.room.tick(clock.now())
    assert [row.at for row in alerts_in(engine)] == [at(3605 + 600).utc]


def test_signs_of_tampering_alert_with_their_reason(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    running = line(configured(rules={"hands": {"on": "tamper"}}))
    running.room.on_outage(Outage("dock", at(0), OutageReason.FROZEN, "the same picture for 10 s"))
    running.room.on_outage(Outage("lobby", at(0), OutageReason.TIMEOUT))
    running.room.tick(clock.now())
    (alert,) = alerts_in(engine)
    assert alert.camera == "dock"
    assert alert.reasons[-1] == "frozen: the same picture for 10 s"


def test_a_covered_camera_alerts_once_and_darkness_does_not(line: Make, engine: Engine) -> None:
    running = line(configured(rules={"hands": {"on": "tamper"}}))
    covered = CameraHealth(
        UUID(int=1), "dock", HealthKind.COVERED, at(0), at(5), detail="nothing is left"
    )
    running.tell(covered, covered, replace(covered, ended=at(60)))
    for number, kind in enumerate((HealthKind.DARK, HealthKind.IR_SWITCHED, HealthKind.FROZEN), 2):
        running.tell(CameraHealth(UUID(int=number), "dock", kind, at(0), at(5)))
    (alert,) = alerts_in(engine)
    assert (alert.camera, alert.at) == ("dock", at(0).utc)
    assert alert.reasons[-1] == "covered: nothing is left"


def test_a_flood_becomes_fewer_and_fewer_messages(
    line: Make, engine: Engine, hook: Hook, clock: HandClock
) -> None:
    rules = {"someone": {"on": "occupied", "channels": ["hook"], "coalesce": "10s", "cooldown": 0}}
    running = line(configured(rules=rules, channels={"hook": hook_channel(hook)}))
    for index in range(70):
        clock.seconds = float(index)
        running.tell(came(str(index), index), left(str(index), index + 0.5))
    parents = [row for row in alerts_in(engine) if row.parent_id is None]
    assert [row.count for row in parents] == [10, 20, 40]
