"""Doors, badges and grants: who may be where, by REST, MQTT, CSV and command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from monitor.alerts.intake import parse_doors, parse_grants, revoke
from monitor.alerts.models import GrantRow
from monitor.config import MonitorConfig
from monitor.errors import InputError

from .broker import Broker, Listener
from .conftest import HandClock, Line, alerts_in, at, came, configured, left, until

Make = Callable[..., Line]
TOKEN = "0123456789abcdef0123"
DOORS = {"front": {"zone": "dock/gate", "unlock": "10s", "grant": "15m"}}


def setup(**rule: Any) -> MonitorConfig:
    return configured(rules={"rule": {"cooldown": 0, **rule}}, doors=DOORS)


@pytest.fixture
def story(line: Make, clock: HandClock) -> Callable[..., Line]:
    """Tells a story in order: (seconds, change or door event as `kind subject`)."""

    def tell(config: MonitorConfig, *steps: tuple[float, Any], end: float = 3600.0) -> Line:
        running = line(config)
        for seconds, step in steps:
            clock.seconds = seconds
            running.room.tick(clock.now())
            if isinstance(step, str):
                kind, _, subject = step.partition(" ")
                report = {"door": "front", "kind": kind, "subject": subject, "at": at(seconds).utc}
                running.room.intake.doors(parse_doors([report]), "test")
            else:
                running.tell(step)
        clock.seconds = end
        running.room.tick(clock.now())
        return running

    return tell


GRACE = {"on": "occupied_without_grant", "after": "10s"}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(100, came("a", 100))], 1),
        ([(95, "granted b1"), (100, came("a", 100))], 0),
        ([(100, came("a", 100)), (106, "granted b1")], 0),
        ([(100, came("a", 100)), (111, "granted b1")], 1),
        ([(100, came("a", 100)), (103, left("a", 103))], 1),
        ([(95, "denied b1"), (100, came("a", 100))], 1),
        ([(95, "granted b1"), (1000, came("a", 1000))], 1),
    ],
    ids=["nobody", "before", "within grace", "too late", "short visit", "denied", "run out"],
)
def test_an_entry_without_a_grant_in_time_alerts(
    story: Callable[..., Line], engine: Engine, steps: list[Any], expected: int
) -> None:
    story(setup(**GRACE), *steps)
    assert len(alerts_in(engine)) == expected


def test_leaving_uses_a_single_use_grant_up(story: Callable[..., Line], engine: Engine) -> None:
    config = configured(
        rules={"rule": {**GRACE, "cooldown": 0}},
        doors={"front": {**DOORS["front"], "single_use": True}},
    )
    story(
        config,
        (95, "granted b1"),
        (100, came("a", 100)),
        (200, left("a", 200)),
        (300, came("b", 300)),
    )
    (alert,) = alerts_in(engine)
    assert alert.at == at(310).utc


def test_a_revoked_grant_is_none(story: Callable[..., Line], line: Make, engine: Engine) -> None:
    running = line(setup(**GRACE))
    request = {"zone": "dock/gate", "since": at(0).utc, "until": at(900).utc, "subject": "x"}
    (ident,) = running.room.intake.grants(parse_grants([request]), "test", "anna")
    revoke(engine, ident, who="anna", now=at(50).utc)
    running.stop()
    story(setup(**GRACE), (60, came("a", 60)))
    assert len(alerts_in(engine)) == 1


LAST = {"on": "still_occupied_after_exit", "after": "20s"}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(0, "granted b1"), (1, came("a", 1)), (50, "exit b1")], 1),
        ([(0, "granted b1"), (1, came("a", 1)), (50, "exit b1"), (60, left("a", 60))], 0),
        ([(0, "granted b1"), (0.5, "granted b2"), (1, came("a", 1)), (50, "exit b1")], 0),
        ([(0, "granted b1"), (1, came("a", 1)), (50, "exit b1"), (55, "granted b2")], 0),
    ],
    ids=["stays", "leaves", "another badge inside", "another goes in"],
)
def test_somebody_after_the_last_badge_left(
    story: Callable[..., Line], engine: Engine, steps: list[Any], expected: int
) -> None:
    story(setup(**LAST), *steps)
    assert len(alerts_in(engine)) == expected


@pytest.mark.parametrize(
    ("presence", "steps", "expected"),
    [
        ("any", [(10, "opened")], 1),
        ("any", [(5, "granted b1"), (10, "opened")], 0),
        ("any", [(5, "exit"), (10, "opened")], 0),
        ("any", [(5, "granted b1"), (30, "opened")], 1),
        ("occupied", [(10, "opened")], 0),
        ("occupied", [(5, came("a", 5)), (10, "opened")], 1),
        ("vacant", [(5, came("a", 5)), (10, "opened")], 0),
    ],
)
def test_a_forced_door(
    story: Callable[..., Line], engine: Engine, presence: str, steps: list[Any], expected: int
) -> None:
    story(setup(on="door_forced", presence=presence), *steps)
    assert len(alerts_in(engine)) == expected


def test_a_door_held_open_until_it_is_closed(story: Callable[..., Line], engine: Engine) -> None:
    held = setup(on="door_held", after="30s")
    story(held, (0, "opened"), (20, "closed"), (100, "opened"), (140, "closed"))
    (alert,) = alerts_in(engine)
    assert alert.at == at(130).utc
    assert alert.title == "door front: open for 30 s"


def test_the_same_report_twice_is_one(line: Make, engine: Engine) -> None:
    running = line(setup(on="door_forced"))
    report = {"door": "front", "kind": "opened", "at": at(0).utc}
    for expected in (1, 0):
        assert running.room.intake.doors(parse_doors([report]), "test") == expected
    assert len(alerts_in(engine)) == 1


@pytest.fixture
def client(line: Make, tmp_path: Path, ending: ExitStack) -> Callable[..., httpx.Client]:
    from web.fakes import FakeDaemon, doorkeeper

    from monitor.web import StatusReport, WebServer, WorkerStatus, WriterStatus, create_app

    def make(**intake: Any) -> httpx.Client:
        running = line(configured(doors=DOORS, intake=intake))
        report = StatusReport(
            at(0).utc,
            "m",
            (),
            WriterStatus(True, 0.0, 0, 0),
            WorkerStatus(1, 1, 0, 0, 0, 0, 0),
            (),
            0,
        )
        fake = FakeDaemon(report)
        server = WebServer("127.0.0.1", 0)
        ending.callback(server.stop)
        server.start(create_app(fake, fake, doorkeeper(tmp_path), intake=running.room.intake))
        return ending.enter_context(closing(httpx.Client(base_url=server.url)))

    return make


def test_rest_is_closed_without_a_token_and_to_wrong_ones(
    client: Callable[..., httpx.Client],
) -> None:
    shut = client()
    assert shut.post("/api/grants", json={}).status_code == 403
    open_ = client(token=TOKEN)
    for header in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Basic {TOKEN}"}):
        assert open_.post("/api/door-events", json={}, headers=header).status_code == 401


def test_rest_takes_door_events_and_grants(
    client: Callable[..., httpx.Client], engine: Engine
) -> None:
    rest = client(token=TOKEN)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    event = {"door": "front", "kind": "granted", "subject": "b1", "at": "2026-03-01T13:00:00+01:00"}
    answer = rest.post("/api/door-events", json=[event, {**event, "subject": "b2"}], headers=bearer)
    assert answer.json() == {"taken": 2, "new": 2}
    again = rest.post("/api/door-events", json=event, headers=bearer)
    assert again.json() == {"taken": 1, "new": 0}
    grant = {"zone": "lobby/frame", "until": "2026-03-01T14:00:00+00:00", "subject": "guest"}
    assert len(rest.post("/api/grants", json=grant, headers=bearer).json()["ids"]) == 1
    with Session(engine) as session:
        rows = session.scalars(select(GrantRow).order_by(GrantRow.subject)).all()
    assert [(row.subject, row.source) for row in rows] == [
        ("b1", "door"),
        ("b2", "door"),
        ("guest", "rest"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("door-events", {"door": "back", "kind": "opened", "at": "2026-03-01T13:00:00Z"}, "back"),
        ("door-events", {"door": "front", "kind": "kicked", "at": "2026-03-01T13:00:00Z"}, "kind"),
        ("door-events", {"door": "front", "kind": "opened", "at": "2026-03-01T13:00:00"}, "at"),
        ("grants", {"zone": "dock/nowhere", "until": "2030-03-01T13:00:00Z"}, "dock/nowhere"),
        ("grants", {"zone": "dock/gate", "until": "2020-03-01T13:00:00Z"}, "end before"),
        ("grants", [{"zone": "dock/gate"}], "until"),
        ("grants", "nonsense", ""),
    ],
)
def test_rest_says_what_is_wrong(
    client: Callable[..., httpx.Client], path: str, body: Any, said: str
) -> None:
    rest = client(token=TOKEN)
    answer = rest.post(f"/api/{path}", json=body, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 400
    assert said in answer.text
    huge = rest.post(
        f"/api/{path}", content=b"[" * 1_000_001, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert huge.status_code == 413


def test_a_folder_of_csv_files(line: Make, tmp_path: Path, clock: HandClock) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    running = line(configured(doors=DOORS, intake={"folder": str(folder)}))
    good, mixed = folder / "a.csv", folder / "b.csv"
    good.write_text("at,door,kind,subject\n2026-03-01T11:00:00Z,front,granted,b1\n")
    mixed.write_text("at,door,kind\n2026-03-01T11:00:00Z,front,opened\nyesterday,front,opened\n")
    written = at(0).utc.timestamp()
    os.utime(good, (written, written))
    os.utime(mixed, (written, written))
    assert running.room.intake.read_folder() == 0  # they may still be being written
    clock.seconds = 5.0
    assert running.room.intake.read_folder() == 2
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv.done", "b.csv.bad"]


def test_mqtt_brings_door_events(
    line: Make, tmp_path: Path, engine: Engine, ending: ExitStack
) -> None:
    broker = ending.enter_context(Broker(tmp_path))
    channel = {"mqtt": {"host": "127.0.0.1", "port": broker.port, "doors": True}}
    config = configured(
        rules={"rule": {"on": "door_forced"}}, doors=DOORS, channels={"house": channel}
    )
    line(config)
    listener = ending.enter_context(Listener(broker.port))
    until(lambda: listener.latest.get("presence/status") == "online")
    listener.client.publish("presence/doors", b"not json", qos=1)
    event = {"door": "front", "kind": "opened", "at": at(0).utc.isoformat()}
    listener.client.publish("presence/doors", json.dumps(event), qos=1)
    until(lambda: alerts_in(engine))


def test_what_is_no_report_is_refused_in_words() -> None:
    for bad in (b"", b"{", b"[1]", b'{"door": 1}', b"null", b"\xff"):
        with pytest.raises(InputError):
            parse_doors(bad)
