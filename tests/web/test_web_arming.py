"""Arming and disarming by REST, into the real database and the real audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from monitor.clock import SystemClock
from monitor.config import WebConfig
from monitor.config.alerts import AlertConfig
from monitor.storage import audit
from monitor.web import WebServer, create_app
from monitor.web.doorkeeper import Doorkeeper
from monitor.web.sessions import Sessions

from .fakes import PASSWORD, PEOPLE, TOKEN, FakeDaemon

OPERATOR, VIEWER = ("anna", PASSWORD), ("victor", PASSWORD)
PANEL = {"Authorization": f"Bearer {TOKEN}2"}
ALERTS = {
    "schedules": {"always": {"windows": ["daily 00:00-24:00"]}, "vault": {}},
    "rules": {
        "hall": {"on": "occupied", "armed": ["always"]},
        "vault": {"on": "occupied", "armed": ["vault"]},
        "all": {"on": "occupied"},
    },
}
Serve = Callable[..., httpx.Client]


@pytest.fixture
def serve(empty: Engine, daemon: FakeDaemon, tmp_path: Path) -> Iterator[Serve]:
    """Starts servers on the same database."""

    def start(web: dict[str, Any] = PEOPLE) -> httpx.Client:
        note, sessions = partial(audit.record, empty), Sessions(tmp_path / "monitor.db.logins")
        config = WebConfig.model_validate(web)
        keeper = Doorkeeper(config, sessions, note=note, clock=SystemClock())
        alerts = AlertConfig.model_validate(ALERTS)
        server = WebServer("127.0.0.1", 0)
        server.start(create_app(daemon, daemon, keeper, memory=empty, alerts=lambda: alerts))
        stack.callback(server.stop)
        client = httpx.Client(base_url=server.url, auth=OPERATOR, timeout=10.0)
        return stack.enter_context(client)

    with ExitStack() as stack:
        yield start


def armed(answer: httpx.Response) -> set[str]:
    """The rules that are armed."""
    assert answer.status_code == 200, answer.text
    return {rule["name"] for rule in answer.json()["rules"] if rule["armed"]}


def test_what_a_hand_does_lasts_over_a_restart_and_is_in_the_audit_log(
    serve: Serve, empty: Engine
) -> None:
    client = serve()
    assert armed(client.get("/api/arming")) == {"hall", "all"}
    assert armed(client.post("/api/arm", json={"schedule": "vault"})) == {"hall", "all", "vault"}
    disarmed = client.post("/api/disarm", headers=PANEL, auth=None, json={"for": "30m"})
    assert armed(disarmed) == set()
    assert "disarmed by token desk until" in disarmed.json()["rules"][0]["why"]
    again = serve()
    assert armed(again.get("/api/arming")) == set()
    assert armed(again.post("/api/arm", json={"schedule": "always"})) == {"hall"}
    over = again.post("/api/as-scheduled", json={})
    assert armed(over) == {"hall", "all"}
    schedules = {each["name"]: each["why"] for each in over.json()["schedules"]}
    assert schedules["vault"] == "not armed: outside vault"
    entries = [each for each in audit.find_entries(empty) if "login" not in each.action]
    assert [(each.actor, each.action, each.subject) for each in reversed(entries)] == [
        ("anna", "arm", "vault"),
        ("token desk", "disarm", "everything"),
        ("anna", "arm", "always"),
        ("anna", "as-scheduled", "everything"),
    ]


def test_only_operators_arm_and_only_known_people_disarm(serve: Serve) -> None:
    client = serve()
    for path in ("/api/arm", "/api/disarm", "/api/as-scheduled"):
        assert client.post(path, json={}, auth=VIEWER).status_code == 403
        assert httpx.post(f"{client.base_url}{path}", json={}).status_code == 401
    assert armed(client.get("/api/arming", auth=VIEWER)) == {"hall", "all"}
    everybody_looks = serve({})
    refused = everybody_looks.post("/api/disarm", json={}, auth=None)
    assert (refused.status_code, refused.json()["where"]) == (403, "web.users")
    assert armed(everybody_looks.get("/api/arming", auth=None)) == {"hall", "all"}


NONSENSE: list[tuple[str, Any, int, str]] = [
    ("/api/arm", {"schedule": "days"}, 404, "there is no schedule 'days'"),
    ("/api/arm", {"schedule": "vault", "for": "soon"}, 400, "this is no duration"),
    ("/api/disarm", {"for": 0}, 400, "greater than 0"),
    ("/api/disarm", {"for": "99w"}, 400, "less than or equal"),
    ("/api/as-scheduled", {"for": "2h"}, 400, "Extra inputs"),
    ("/api/disarm", None, 400, "Field required"),
]


def test_what_makes_no_sense_is_refused(serve: Serve) -> None:
    client = serve()
    for path, body, status, said in NONSENSE:
        answer = client.post(path, json=body)
        assert answer.status_code == status, answer.text
        assert said in answer.json()["what"]
    assert armed(client.get("/api/arming")) == {"hall", "all"}
