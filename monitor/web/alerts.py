"""The alerts by REST, to look at only: who acknowledges has to be known, and here is no login."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Query, Response
from sqlalchemy import Engine

from monitor.alerts import desk
from monitor.alerts.models import AlertRow
from monitor.alerts.outbox import AlertState, DeliveryState
from monitor.web.feed import to_json

Name = Annotated[str | None, Query(max_length=64)]


def add_alerts(app: FastAPI, engine: Engine) -> None:
    """Add GET /api/alerts on the event database."""

    @app.get("/api/alerts", summary="Alerts, newest first, and how many deliveries went where")
    def alerts(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        state: AlertState | None = None,
        rule: Name = None,
        camera: Name = None,
    ) -> Response:
        found = desk.find_alerts(engine, state=state, rule=rule, camera=camera, limit=limit)
        told = desk.count_deliveries(engine, [alert.id for alert in found])
        body = to_json({"alerts": [_entry(alert, told) for alert in found]})
        return Response(body, media_type="application/json")


def _entry(alert: AlertRow, told: Mapping[UUID, Counter[str]]) -> dict[str, Any]:
    return {
        "id": alert.id,
        "rule": alert.rule,
        "trigger": alert.trigger,
        "severity": alert.severity,
        "state": alert.state,
        "camera": alert.camera,
        "zone": alert.zone,
        "at": alert.at,
        "title": alert.title,
        "count": alert.count,
        "reasons": alert.reasons,
        "event_id": alert.event_id,
        "deliveries": {state.value: told[alert.id][state.value] for state in DeliveryState},
    }
