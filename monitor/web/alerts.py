"""The alerts by REST, newest first. What is done about them is in `monitor.web.acts`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Query, Response
from sqlalchemy import Engine

from monitor.alerts import desk
from monitor.alerts.models import ActionRow, AlertRow
from monitor.alerts.outbox import AlertState, DeliveryState
from monitor.web.errors import known_filters
from monitor.web.feed import to_json

Name = Annotated[str | None, Query(max_length=64)]


def add_alerts(app: FastAPI, engine: Engine) -> None:
    """Add GET /api/alerts and /api/alerts/{alert} on the event database."""

    @app.get(
        "/api/alerts",
        summary="Alerts, newest first, and how many deliveries went where",
        dependencies=[Depends(known_filters)],
    )
    def alerts(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        state: AlertState | None = None,
        rule: Name = None,
        camera: Name = None,
    ) -> Response:
        found = desk.find_alerts(engine, state=state, rule=rule, camera=camera, limit=limit)
        ids = [alert.id for alert in found]
        told, deeds = desk.count_deliveries(engine, ids), desk.last_deeds(engine, ids)
        return _answer({"alerts": [_entry(each, told, deeds.get(each.id)) for each in found]})

    @app.get("/api/alerts/{alert}", summary="One alert: whom it reached, and who did what about it")
    def alert(alert: UUID) -> Response:
        file = desk.open_file(engine, alert.hex)
        told = desk.count_deliveries(engine, [alert])
        entry = _entry(file.alert, told, desk.last_deeds(engine, [alert]).get(alert))
        actions = [
            {"at": each.at, "who": each.who, "action": each.action, "comment": each.comment}
            for each in file.actions
        ]
        gathered = [{"id": each.id, "at": each.at, "title": each.title} for each in file.children]
        return _answer(entry | {"actions": actions, "gathered": gathered})


def _entry(
    alert: AlertRow, told: Mapping[UUID, Counter[str]], deed: ActionRow | None
) -> dict[str, Any]:
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
        "acted_by": deed.who if deed else None,
        "acted_at": deed.at if deed else None,
        "comment": deed.comment if deed else "",
    }


def _answer(data: dict[str, Any]) -> Response:
    return Response(to_json(data), media_type="application/json")
