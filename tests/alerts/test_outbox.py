"""Deliveries: tried again, in order, given up, sent again, and apart from each other."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from monitor.alerts import desk
from monitor.alerts.outbox import AlertState
from monitor.clock import SystemClock
from monitor.config import MonitorConfig
from monitor.errors import UsageError

from .conftest import (
    HandClock,
    Line,
    alerts_in,
    came,
    configured,
    deliveries_in,
    hook_channel,
    later,
    left,
    until,
)
from .receivers import Hook

Make = Callable[..., Line]


def setup(hook: Hook, **channel: object) -> MonitorConfig:
    rules = {"someone": {"on": "occupied", "channels": ["hook"], "cooldown": 0}}
    settings = hook_channel(hook)
    expires = channel.pop("expires", "1d")
    settings["webhook"].update(channel)
    return configured(rules=rules, channels={"hook": {**settings, "expires": expires}})


def visits(count: int, zone: str = "gate", first: int = 0) -> list[object]:
    changes: list[object] = []
    for index in range(first, first + count):
        name = f"{zone}{index}"
        changes += [came(name, index, zone), left(name, index + 0.5, zone)]
    return changes


def test_a_delivery_is_tried_until_it_works_and_keeps_its_key(
    line: Make, hook: Hook, engine: Engine
) -> None:
    hook.status = 503
    running = line(setup(hook), SystemClock())
    running.tell(came("a"))
    until(lambda: len(hook.requests) >= 2)
    assert running.room.stats().channels[0][0].trouble == "HTTP 503"
    hook.status = 200
    (row,) = until(lambda: [row for row in deliveries_in(engine) if row.state == "sent"])
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in hook.requests}
    assert keys == {str(row.key)}
    assert row.attempts == len(hook.requests)
    assert running.room.stats().channels[0][0].trouble == ""


def test_deliveries_of_a_zone_keep_their_order_through_failures(line: Make, hook: Hook) -> None:
    hook.status = 500
    running = line(setup(hook), SystemClock())
    running.tell(*visits(5))
    until(lambda: len(hook.requests) >= 2)
    hook.status = 200
    failed = len(hook.requests)
    until(lambda: len(hook.requests) >= failed + 5, 15)
    order = [body["at"] for body in hook.bodies[-5:]]
    assert order == sorted(order)
    assert len(set(order)) == 5


def test_what_is_refused_is_a_dead_letter_that_can_be_sent_again(
    line: Make, hook: Hook, engine: Engine
) -> None:
    hook.status = 422
    running = line(setup(hook), SystemClock())
    running.tell(came("a"))
    until(lambda: deliveries_in(engine)[0].state == "dead")
    ((letter, title),) = desk.dead_letters(engine)
    assert "HTTP 422" in letter.last_error
    assert title == "dock/gate: somebody is here"
    hook.status = 200
    now = SystemClock().now().utc
    with pytest.raises(UsageError, match="no dead letter"):
        desk.redrive(engine, [letter.id + 1], channel=None, who="me", now=now)
    assert desk.redrive(engine, [letter.id], channel=None, who="me", now=now) == 1
    until(lambda: deliveries_in(engine)[0].state == "sent")
    assert hook.requests[0][2]["Idempotency-Key"] == hook.requests[1][2]["Idempotency-Key"]


def test_what_is_too_old_is_not_sent_but_kept(
    line: Make, hook: Hook, engine: Engine, clock: HandClock
) -> None:
    hook.status = 500
    running = line(setup(hook, expires="60s"))
    running.tell(came("a"))
    until(lambda: deliveries_in(engine)[0].attempts == 1)
    clock.seconds = 61.0
    hook.status = 200
    running.room.on_committed()
    until(lambda: deliveries_in(engine)[0].state == "dead")
    assert deliveries_in(engine)[0].last_error.startswith("expired")
    assert len(hook.requests) == 1


def test_a_slow_channel_slows_no_other(line: Make, engine: Engine) -> None:
    with Hook(delay=1.0) as slow, Hook() as quick:
        rules = {"someone": {"on": "occupied", "channels": ["slow", "quick"], "cooldown": 0}}
        channels = {"slow": hook_channel(slow), "quick": hook_channel(quick)}
        running = line(configured(rules=rules, channels=channels), SystemClock())
        running.tell(*visits(4))
        until(lambda: len(quick.requests) == 4, 3)
        assert len(slow.requests) <= 3


def test_a_rate_spreads_deliveries(line: Make, hook: Hook) -> None:
    config = setup(hook)
    channels = {"hook": {**hook_channel(hook), "per_minute": 120}}
    rules = {"someone": {"on": "occupied", "channels": ["hook"], "cooldown": 0}}
    config = configured(rules=rules, channels=channels)
    running = line(config, SystemClock())
    begun = time.monotonic()
    running.tell(*visits(15))
    until(lambda: len(hook.requests) == 15)
    assert hook.arrivals[14] - begun >= 1.5  # 12 at once, then one each half second


def test_the_breaker_leaves_a_dead_channel_alone(line: Make, hook: Hook) -> None:
    hook.status = 500
    running = line(setup(hook), SystemClock())
    running.tell(*[change for zone in ("gate", "yard") for change in visits(20, zone)])
    until(lambda: len(hook.requests) >= 3, 30)
    time.sleep(1.5)
    assert len(hook.requests) <= 8


def test_a_channel_that_is_back_is_noticed_soon_however_often_it_failed(
    line: Make, hook: Hook, engine: Engine, clock: HandClock
) -> None:
    hook.status = 500
    running = line(setup(hook))
    running.tell(*visits(3))
    for tries in range(1, 12):
        until(lambda: deliveries_in(engine)[0].attempts >= tries)  # noqa: B023
        clock.seconds += 31.0
        running.room.on_committed()
    hook.status = 200
    for _ in range(40):
        clock.seconds += 1.0
        running.room.on_committed()
        time.sleep(0.02)
    until(lambda: all(row.state == "sent" for row in deliveries_in(engine)))


def test_an_unacknowledged_alert_escalates_once(
    line: Make, engine: Engine, clock: HandClock
) -> None:
    with Hook() as guard, Hook() as boss:
        rule = {"on": "occupied", "channels": ["guard"], "cooldown": 0}
        rule["escalate"] = {"after": "10m", "channels": ["boss"]}
        channels = {"guard": hook_channel(guard), "boss": hook_channel(boss)}
        running = line(configured(rules={"someone": rule}, channels=channels))
        running.tell(came("a"), left("a", 5), came("b", 10, "yard"))
        until(lambda: len(guard.requests) == 2)
        first = str(alerts_in(engine)[0].id)
        acked = desk.act(
            engine, first[:8], AlertState.ACKNOWLEDGED, who="anna", now=later(60), comment="on it"
        )
        assert acked.state == "acknowledged"
        for seconds in (500, 611, 700, 2000):
            clock.seconds = seconds
            running.room.tick(clock.now())
        until(lambda: boss.requests)
        (body,) = boss.bodies
        assert body["zone"] == "yard"
        assert "nobody acknowledged in 600 s" in body["reasons"]
        (action,) = desk.open_file(engine, first).actions
        assert (action.who, action.action, action.comment) == ("anna", "acknowledged", "on it")


def test_a_closed_alert_stays_closed(line: Make, engine: Engine) -> None:
    line(configured(rules={"someone": {"on": "occupied"}})).tell(came("a"))
    text = str(alerts_in(engine)[0].id)
    desk.act(engine, text, AlertState.CLOSED, who="anna", now=later(1))
    with pytest.raises(UsageError, match="closed already"):
        desk.act(engine, text, AlertState.ACKNOWLEDGED, who="ben", now=later(2))
    with pytest.raises(UsageError, match="no alert begins"):
        desk.act(engine, "00", None, who="ben", now=later(2))


def test_the_signature_is_over_timestamp_and_body(line: Make, hook: Hook) -> None:
    running = line(setup(hook, secret="open sesame", snapshot=True))
    running.tell(came("a"))
    until(lambda: hook.requests)
    _, _, headers, body = hook.requests[0]
    stamp, signature = (part[2:].lstrip("=") for part in headers["X-Presence-Signature"].split(","))
    stamp = headers["X-Presence-Signature"].split(",")[0].removeprefix("t=")
    expected = hmac.new(b"open sesame", stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert signature == expected
    assert abs(time.time() - int(stamp)) < 60
    assert hook.bodies[0]["snapshot"] == "/9hqcGVn"


def test_private_addresses_need_the_allow_list(line: Make, hook: Hook, engine: Engine) -> None:
    running = line(setup(hook, allow=[]), SystemClock())
    running.tell(came("a"))
    until(lambda: "private" in running.room.stats().channels[0][0].trouble)
    assert hook.requests == []
    assert deliveries_in(engine)[0].state == "pending"


def test_redirects_are_not_followed(line: Make, hook: Hook) -> None:
    hook.status = 302
    running = line(setup(hook), SystemClock())
    running.tell(came("a"))
    until(lambda: "redirects" in running.room.stats().channels[0][0].trouble)
    assert {path for _, path, _, _ in hook.requests} == {"/hook"}


def test_a_template_makes_the_body(line: Make, hook: Hook) -> None:
    template = '{"text": {{ title | tojson }}, "n": {{ count }} }'
    running = line(setup(hook, template=template))
    running.tell(came("a"))
    until(lambda: hook.requests)
    assert hook.bodies == [{"text": "dock/gate: somebody is here", "n": 1}]


@pytest.mark.parametrize(("body", "key"), [("slack", "text"), ("teams", "attachments")])
def test_slack_and_teams_get_their_shapes(line: Make, hook: Hook, body: str, key: str) -> None:
    line(setup(hook, body=body)).tell(came("a"))
    until(lambda: hook.requests)
    assert "somebody is here" in str(hook.bodies[0][key])
