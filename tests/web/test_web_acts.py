"""What operators do by REST, into the real database and the real audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from monitor.clock import SystemClock
from monitor.config import WebConfig
from monitor.events.marks import Mark
from monitor.events.models import OccupancyEvent
from monitor.events.queries import get_event
from monitor.storage import audit
from monitor.web import WebServer, create_app
from monitor.web.doorkeeper import Doorkeeper
from monitor.web.sessions import Sessions

from .fakes import NOON, PASSWORD, PEOPLE, TOKEN, FakeDaemon
from .test_web_alerts import CHILD, FIRST, SECOND, alert

EVENT, NONE = UUID(int=7), UUID(int=99)
OPERATOR, VIEWER = ("anna", PASSWORD), ("victor", PASSWORD)


@pytest.fixture
def engine(empty: Engine) -> Engine:
    with Session(empty) as session, session.begin():
        session.add_all([alert(FIRST, 0, "closed"), alert(SECOND, 5, "open")])
        session.add(alert(CHILD, 6, "open", parent=SECOND))
        session.add(
            OccupancyEvent(
                id=EVENT, camera="dock", zone="gate", started_at=NOON, confirmed_at=NOON,
                last_seen_at=NOON + timedelta(seconds=9), peak_score=0.9, mean_score=0.8,
                score_count=9, model_id="m", settings={}, created_at=NOON, updated_at=NOON,
            )
        )  # fmt: skip
    return empty


@pytest.fixture
def marked() -> list[tuple[UUID, Mark | None]]:
    return []


@pytest.fixture
def client(
    engine: Engine, daemon: FakeDaemon, tmp_path: Path, marked: list[tuple[UUID, Mark | None]]
) -> Iterator[httpx.Client]:
    keeper = Doorkeeper(
        WebConfig.model_validate(PEOPLE),
        Sessions(tmp_path / "monitor.db.logins"),
        note=partial(audit.record, engine),
        clock=SystemClock(),
    )
    server = WebServer("127.0.0.1", 0)
    app = create_app(
        daemon,
        daemon,
        keeper,
        memory=engine,
        on_mark=lambda event: marked.append((event.id, event.mark)),
    )
    server.start(app)
    with httpx.Client(base_url=server.url, auth=OPERATOR, timeout=10.0) as client:
        yield client
    server.stop()


def done(engine: Engine) -> list[tuple[str, str, str]]:
    """The audit log without logins."""
    entries = reversed(audit.find_entries(engine))
    return [(e.actor, e.action, e.subject) for e in entries if "login" not in e.action]


def test_an_alert_is_acknowledged_commented_and_closed(
    client: httpx.Client, engine: Engine
) -> None:
    path = f"/api/alerts/{SECOND}"
    taken = client.post(f"{path}/acknowledge", json={"comment": " guard is on the way "})
    assert taken.json() == {"id": str(SECOND), "state": "acknowledged"}
    row = client.get("/api/alerts?state=acknowledged").json()["alerts"][0]
    assert (row["acted_by"], row["comment"]) == ("anna", "guard is on the way")
    assert client.post(f"{path}/comment", json={"comment": "a fox"}).status_code == 200
    desk = {"Authorization": f"Bearer {TOKEN}2"}
    assert httpx.post(f"{client.base_url}{path}/close", headers=desk).json()["state"] == "closed"
    file = client.get(path).json()
    assert [(a["who"], a["action"], a["comment"]) for a in file["actions"]] == [
        ("anna", "acknowledged", "guard is on the way"),
        ("anna", "comment", "a fox"),
        ("token desk", "closed", ""),
    ]
    assert [each["id"] for each in file["gathered"]] == [str(CHILD)]
    assert (file["state"], file["acted_by"]) == ("closed", "token desk")
    assert done(engine) == [
        ("anna", "acknowledged", str(SECOND)),
        ("anna", "comment", str(SECOND)),
        ("token desk", "closed", str(SECOND)),
    ]


def test_an_event_is_marked_and_the_mark_taken_back(
    client: httpx.Client, engine: Engine, marked: list[tuple[UUID, Mark | None]]
) -> None:
    path = f"/api/events/{EVENT}/mark"
    assert client.put(path, json={"mark": "false_alarm"}).json()["mark"] == "false_alarm"
    event = get_event(engine, EVENT)
    assert event is not None
    assert event.mark is Mark.FALSE_ALARM
    assert client.put(path, json={"mark": None}).json() == {"id": str(EVENT), "mark": None}
    assert marked == [(EVENT, Mark.FALSE_ALARM), (EVENT, None)]
    assert done(engine) == [("anna", "mark", str(EVENT))] * 2


def test_an_event_is_held_and_released(client: httpx.Client, engine: Engine) -> None:
    path = f"/api/events/{EVENT}"
    assert client.post(f"{path}/hold", json={"why": "case 7"}).json()["held"] is True
    again = client.post(f"{path}/hold", json={"why": "case 8"})
    assert (again.status_code, "by anna: case 7" in again.json()["what"]) == (409, True)
    assert client.post(f"{path}/release", json={"why": "closed"}).json()["held"] is False
    assert client.post(f"{path}/release", json={"why": "closed"}).status_code == 404
    assert done(engine) == [("anna", "hold", str(EVENT)), ("anna", "release", str(EVENT))]


ACTS = [
    ("POST", f"/api/alerts/{SECOND}/acknowledge", {}),
    ("POST", f"/api/alerts/{SECOND}/close", {}),
    ("POST", f"/api/alerts/{SECOND}/comment", {"comment": "x"}),
    ("PUT", f"/api/events/{EVENT}/mark", {"mark": "correct"}),
    ("POST", f"/api/events/{EVENT}/hold", {"why": "x"}),
    ("POST", f"/api/events/{EVENT}/release", {"why": "x"}),
]


def test_viewers_and_strangers_change_nothing(client: httpx.Client, engine: Engine) -> None:
    evil = {"Origin": "http://evil.example"}
    for method, path, body in ACTS:
        answer = client.request(method, path, json=body, auth=VIEWER)
        assert (answer.status_code, answer.json()["what"]) == (403, "victor may look, not act")
        assert httpx.request(method, f"{client.base_url}{path}", json=body).status_code == 401
        assert client.request(method, path, json=body, headers=evil).status_code == 403
    assert done(engine) == []


def test_these_are_all_the_acts(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    writing = {
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if method != "get" and path != "/api/session"
    }
    known = {
        (method, path.replace(str(SECOND), "{alert}").replace(str(EVENT), "{event}"))
        for method, path, _ in ACTS
    }
    assert writing == known


REFUSED: list[tuple[str, str, dict[str, str] | None, int, str]] = [
    ("POST", f"/api/alerts/{NONE}/close", {}, 404, "no alert begins"),
    ("POST", f"/api/alerts/{FIRST}/acknowledge", {}, 409, "closed already"),
    ("POST", "/api/alerts/7d0a/close", {}, 400, "UUID"),
    ("POST", f"/api/alerts/{SECOND}/close", {"coment": "x"}, 400, "not permitted"),
    ("POST", f"/api/alerts/{SECOND}/close", {"comment": "x" * 1001}, 400, "at most 1000"),
    ("POST", f"/api/alerts/{SECOND}/comment", {"comment": "  "}, 400, "at least 1"),
    ("POST", f"/api/alerts/{SECOND}/comment", None, 400, "required"),
    ("PUT", f"/api/events/{NONE}/mark", {"mark": "correct"}, 404, "no event"),
    ("PUT", f"/api/events/{EVENT}/mark", {"mark": "maybe"}, 400, "false_alarm"),
    ("PUT", f"/api/events/{EVENT}/mark", {}, 400, "required"),
    ("POST", f"/api/events/{NONE}/hold", {"why": "x"}, 404, "no event"),
    ("DELETE", f"/api/events/{EVENT}", None, 404, "/api/events/"),
    ("POST", "/api/cameras", {}, 405, "method not allowed"),
    ("GET", f"/api/alerts/{NONE}", None, 404, "no alert begins"),
    ("GET", "/api/alerts?camra=dock", None, 400, "no such filter; after, camera"),
]


def test_every_refusal_says_what_is_wrong(client: httpx.Client, engine: Engine) -> None:
    for method, path, body, status, said in REFUSED:
        answer = client.request(method, path, json=body)
        assert answer.status_code == status, (path, answer.text)
        assert set(answer.json()) == {"what", "where", "remedy"}
        assert said in json.dumps(answer.json()), path
    assert done(engine) == []
