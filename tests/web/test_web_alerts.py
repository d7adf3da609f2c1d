"""The alerts by REST, from a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from monitor.alerts.models import AlertRow, DeliveryRow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST, SECOND, CHILD = UUID(int=1), UUID(int=2), UUID(int=3)


def alert(ident: UUID, minutes: int, state: str, parent: UUID | None = None) -> AlertRow:
    at = NOON + timedelta(minutes=minutes)
    return AlertRow(
        id=ident, rule="burglar", trigger="occupied", severity="critical", camera="dock",
        zone="gate", at=at, raised_at=at, title="dock/gate: somebody is here",
        reasons=["armed: nights"], state=state, count=2, parent_id=parent, updated_at=at,
    )  # fmt: skip


def delivery(owner: UUID, state: str) -> DeliveryRow:
    return DeliveryRow(
        alert_id=owner, channel="hook", key=uuid4(), place="dock/gate", state=state, attempts=0,
        next_attempt_at=NOON, expires_at=NOON, last_error="", created_at=NOON,
    )  # fmt: skip


@pytest.fixture
def engine(empty: Engine) -> Engine:
    with Session(empty) as session, session.begin():
        session.add_all([alert(FIRST, 0, "closed"), alert(SECOND, 5, "open")])
        session.add(alert(CHILD, 6, "open", parent=SECOND))
        session.flush()
        states = ("sent", "sent", "pending", "dead")
        session.add_all(delivery(SECOND, state) for state in states)
    return empty


def test_the_newest_comes_first_with_what_became_of_it(client: httpx.Client) -> None:
    second, first = client.get("/api/alerts").raise_for_status().json()["alerts"]
    assert (second["id"], first["id"]) == (str(SECOND), str(FIRST))
    assert second["deliveries"] == {"pending": 1, "sent": 2, "dead": 1}
    assert first["deliveries"] == {"pending": 0, "sent": 0, "dead": 0}
    assert (second["count"], second["reasons"]) == (2, ["armed: nights"])


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("state=open", [SECOND]),
        ("state=closed", [FIRST]),
        ("limit=1", [SECOND]),
        ("rule=other", []),
        ("camera=dock", [SECOND, FIRST]),
    ],
)
def test_filters(client: httpx.Client, query: str, ids: list[UUID]) -> None:
    alerts = client.get(f"/api/alerts?{query}").raise_for_status().json()["alerts"]
    assert [UUID(each["id"]) for each in alerts] == ids


def test_what_makes_no_sense_is_refused_and_nothing_can_be_changed(client: httpx.Client) -> None:
    assert client.get("/api/alerts?state=angry").status_code == 400
    assert client.get("/api/alerts?limit=0").status_code == 400
    assert client.post("/api/alerts", json={}).status_code == 403


def test_alerts_are_paged_and_bounded_in_time(client: httpx.Client) -> None:
    first = client.get("/api/alerts?limit=1").json()
    second = client.get("/api/alerts", params={"limit": 1, "after": first["next"]}).json()
    assert [page["alerts"][0]["id"] for page in (first, second)] == [str(SECOND), str(FIRST)]
    assert second["next"] is None
    since = {"since": "2026-03-01 13:02", "timezone": "Europe/Berlin"}
    assert len(client.get("/api/alerts", params=since).json()["alerts"]) == 1
    for wrong in ({"after": "x"}, {"since": "soonish"}, {"timezone": "Mars"}):
        assert client.get("/api/alerts", params=wrong).status_code == 400
