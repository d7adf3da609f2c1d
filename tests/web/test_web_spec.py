"""Every answer is as `/openapi.json` describes it: all routes, asked of the real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from monitor.alerts.models import ActionRow
from monitor.alerts.room import AlertRoom
from monitor.clock import SystemClock
from monitor.config import MonitorConfig, WebConfig
from monitor.events.marks import Mark
from monitor.events.models import Coverage, OccupancyEvent
from monitor.messages import EndReason, HealthCategory, HealthKind, OutageReason
from monitor.storage import audit
from monitor.web import (
    AlertStatus,
    ChannelStatus,
    HealthStatus,
    HistoryStatus,
    WebServer,
    ZoneStatus,
    create_app,
)
from monitor.web.doorkeeper import Doorkeeper
from monitor.web.sessions import Sessions

from .fakes import NOON, PASSWORD, PEOPLE, FakeDaemon, camera, event, zone
from .test_web_alerts import CHILD, FIRST, SECOND, alert, delivery

HOUR = timedelta(hours=1)
EARLY = NOON.replace(year=2026)
EVENT, CONTROLLER = UUID(int=7), "pm_of-the-controller"
CONFIG = {
    "cameras": {"dock": {"source": {"url": "rtsp://127.0.0.1/1"}}},
    "alerts": {
        "doors": {"front": {"zone": "dock/frame"}},
        "schedules": {"nights": {"windows": ["daily 20:00-06:00"]}, "vault": {}},
        "rules": {"burglar": {"on": "occupied", "armed": ["nights"]}},
        "intake": {"token": CONTROLLER},
    },
}


def stay(ident: UUID, camera: str, start: datetime, end: datetime | None) -> OccupancyEvent:
    return OccupancyEvent(
        id=ident, camera=camera, zone="gate", started_at=start, confirmed_at=start,
        last_seen_at=end or start, ended_at=end, end_reason=EndReason.VACATED if end else None,
        peak_score=0.9, mean_score=0.8, score_count=9, model_id="m", mark=Mark.CORRECT,
        settings={"enter_threshold": 0.7}, created_at=start, updated_at=start,
    )  # fmt: skip


@pytest.fixture
def engine(empty: Engine) -> Engine:
    with Session(empty) as session, session.begin():
        for name in ("dock", "hall"):
            seen = {"started_at": EARLY, "last_seen_at": EARLY + HOUR}
            session.add(Coverage(id=uuid4(), camera=name, zone="gate", **seen))
            session.add(stay(uuid4(), name, EARLY, EARLY + HOUR / 2))
        session.add(stay(EVENT, "dock", EARLY + HOUR, None))
        session.add_all([alert(FIRST, 0, "open"), alert(SECOND, 5, "acknowledged")])
        session.add(alert(CHILD, 6, "open", parent=SECOND))
        deed = {"who": "anna", "action": "acknowledged", "subject": str(SECOND), "comment": "ok"}
        session.add(ActionRow(at=EARLY, **deed))
        session.flush()
        session.add(delivery(SECOND, "sent"))
    return empty


@pytest.fixture
def client(engine: Engine, daemon: FakeDaemon, tmp_path: Path) -> Iterator[httpx.Client]:
    """An operator at a daemon of which everything is told that can be."""
    health = HealthStatus(HealthKind.COVERED, HealthCategory.TAMPER, NOON, "nothing is left")
    unseen = ZoneStatus("gate", zone().state, "entering", None, None, None, 0.8, 0.4, None, 0.7)
    channel = ChannelStatus("hook", "webhook", "", 1, 0, 2.5, 7, 1, 0, 0.1, 0.4)
    gone = replace(camera("yard"), outage=OutageReason.TIMEOUT, frame_age=None, fps=None)
    daemon.change(
        cameras=(replace(camera(), health=(health,), zones=(zone(), unseen)), gone),
        alerts=AlertStatus((channel,)),
        history=HistoryStatus(enabled=True, trouble="locked"),
    )
    daemon.rows = [event(1), event(2, is_open=True)]
    note, clock = partial(audit.record, engine), SystemClock()
    sessions = Sessions(tmp_path / "monitor.db.logins")
    keeper = Doorkeeper(WebConfig.model_validate(PEOPLE), sessions, note=note, clock=clock)
    room = AlertRoom(engine, MonitorConfig.model_validate(CONFIG), clock=clock)
    server = WebServer("127.0.0.1", 0)
    server.start(
        create_app(
            daemon, daemon, keeper, memory=engine, intake=room.intake, alerts=lambda: room.config
        )
    )
    with httpx.Client(base_url=server.url, auth=("anna", PASSWORD), timeout=10.0) as client:
        yield client
    server.stop()


REPORT = {"door": "front", "kind": "granted", "at": "2026-03-01T22:04:05+01:00"}
GRANT = {"zone": "dock/frame", "until": "2100-01-01T00:00:00Z"}
ASKED: list[tuple[str, str, str, Any]] = [
    ("get", "/api/session", "", None),
    ("post", "/api/session", "", {"name": "anna", "password": PASSWORD}),
    ("delete", "/api/session", "", None),
    ("get", "/healthz", "", None),
    ("get", "/readyz", "", None),
    ("get", "/metrics", "", None),
    ("get", "/api/cameras", "", None),
    ("get", "/api/cameras/{name}/picture.jpg", "/api/cameras/door/picture.jpg", None),
    ("get", "/api/events", "", None),
    (
        "get", "/api/events/{event_id}/snapshot.jpg",
        f"/api/events/{event(1).id}/snapshot.jpg", None,
    ),
    ("post", "/api/door-events", "", [REPORT]),
    ("post", "/api/grants", "", GRANT),
    ("get", "/api/memory/events", "/api/memory/events?limit=1", None),
    ("get", "/api/memory/longest", "", None),
    ("get", "/api/memory/overlaps", "", None),
    ("get", "/api/memory/zones", f"/api/memory/zones?at={EARLY:%FT%TZ}", None),
    ("get", "/api/memory/ratio", f"/api/memory/ratio?since={EARLY:%FT%TZ}&limit=2", None),
    ("get", "/api/memory/days", f"/api/memory/days?until={EARLY + 48 * HOUR:%FT%TZ}", None),
    ("get", "/api/memory/gaps", "", None),
    ("get", "/api/alerts", "/api/alerts?limit=1", None),
    ("get", "/api/alerts/{alert}", f"/api/alerts/{SECOND}", None),
    ("post", "/api/alerts/{alert}/acknowledge", f"/api/alerts/{FIRST}/acknowledge", None),
    ("post", "/api/alerts/{alert}/close", f"/api/alerts/{FIRST}/close", {"comment": "a fox"}),
    ("post", "/api/alerts/{alert}/comment", f"/api/alerts/{FIRST}/comment", {"comment": "a fox"}),
    ("get", "/api/arming", "", None),
    ("post", "/api/arm", "", {"schedule": "nights", "for": "2h"}),
    ("post", "/api/disarm", "", {}),
    ("post", "/api/as-scheduled", "", {"schedule": None}),
    ("put", "/api/events/{event}/mark", f"/api/events/{EVENT}/mark", {"mark": "false_alarm"}),
    ("post", "/api/events/{event}/hold", f"/api/events/{EVENT}/hold", {"why": "a theft"}),
    ("post", "/api/events/{event}/release", f"/api/events/{EVENT}/release", {"why": "over"}),
]  # fmt: skip
"""Method, route, the path that is asked if that is another, and the body."""


def strict(schema: Any) -> Any:
    """The schema, in which objects have no fields but those described."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {key: strict(value) for key, value in schema.items()}
    return inside | ({"additionalProperties": False} if "properties" in inside else {})


def described(spec: dict[str, Any], schema: Any) -> Draft202012Validator:
    """What tells whether an answer is as described."""
    whole = strict(schema) | {"components": strict(spec["components"])}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_every_answer_is_as_described(client: httpx.Client) -> None:
    spec = client.get("/openapi.json").json()
    routes = {(method, path) for path, each in spec["paths"].items() for method in each}
    assert {(method, route) for method, route, *_ in ASKED} == routes - {("get", "/api/stream")}
    for method, route, path, body in ASKED:
        headers = {}
        if "controller" in str(spec["paths"][route][method].get("security")):
            headers = {"Authorization": f"Bearer {CONTROLLER}"}
        auth = None if headers else client.auth
        sent = {} if body is None else {"json": body}
        answer = client.request(method, path or route, headers=headers, auth=auth, **sent)
        known = spec["paths"][route][method]["responses"][str(answer.status_code)]
        assert answer.is_success, (route, answer.text)
        if "content" not in known:
            assert not answer.content, route
            continue
        kind = answer.headers["content-type"].partition(";")[0]
        assert list(known["content"]) == [kind], route
        if kind == "application/json":
            check = described(spec, known["content"][kind]["schema"])
            faults = [f"{route}: {each.message}" for each in check.iter_errors(answer.json())]
            assert faults == []


def test_lists_that_are_checked_are_not_empty(client: httpx.Client) -> None:
    """What is empty would be as described, whatever that says."""
    for method, route, path, _ in ASKED:
        if method == "get" and route.startswith(("/api/memory", "/api/alerts", "/api/events")):
            answer = client.get(path or route)
            if answer.headers["content-type"] == "application/json":
                lists = [each for each in answer.json().values() if isinstance(each, list)]
                assert all(lists), route


def test_refusals_are_as_described(client: httpx.Client) -> None:
    spec = client.get("/openapi.json").json()
    for path, status in (("/api/events?limit=0", 400), (f"/api/alerts/{UUID(int=99)}", 404)):
        answer = client.get(path)
        assert answer.status_code == status
        schema = {"$ref": "#/components/schemas/Refusal"}
        described(spec, schema).validate(answer.json())


def test_bodies_are_described(client: httpx.Client) -> None:
    spec = client.get("/openapi.json").json()
    for method, route, _, body in ASKED:
        if body is not None:
            content = spec["paths"][route][method]["requestBody"]["content"]
            check = described(spec, content["application/json"]["schema"])
            assert list(check.iter_errors(body)) == []
            assert list(check.iter_errors({"nonsense": 1})) != []
