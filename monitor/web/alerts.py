"""The alerts by REST, newest first. What is done about them is in `monitor.web.acts`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Query, Response
from sqlalchemy import Engine

from monitor.alerts import desk
from monitor.alerts.models import ActionRow, AlertRow
from monitor.alerts.outbox import AlertState, DeliveryState
from monitor.config.alerts import Severity, Trigger
from monitor.errors import UsageError
from monitor.events.moments import parse_moment
from monitor.web.answers import (
    AlertEntry,
    AlertHistory,
    AlertPage,
    Deed,
    Deliveries,
    Gathered,
    answer,
)
from monitor.web.errors import known_filters
from monitor.web.zones import find_zone

Name = Annotated[str | None, Query(max_length=64)]
Moment = Annotated[str | None, Query(max_length=128)]

_AT = "%Y%m%dT%H%M%S.%f"
"""A moment within a page mark."""


def add_alerts(app: FastAPI, engine: Engine) -> None:
    """Add GET /api/alerts and /api/alerts/{alert} on the event database."""

    @app.get(
        "/api/alerts",
        summary="Alerts, newest first, page by page: `next` goes into `after`",
        response_model=AlertPage,
        dependencies=[Depends(known_filters)],
    )
    def alerts(
        *,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        state: AlertState | None = None,
        rule: Name = None,
        camera: Name = None,
        since: Moment = None,
        timezone: Moment = None,
        after: Annotated[str | None, Query(max_length=128)] = None,
    ) -> Response:
        zone = find_zone(timezone)
        moment = parse_moment(since, now=datetime.now(UTC), zone=zone) if since else None
        found = desk.find_alerts(
            engine,
            state=state,
            rule=rule,
            camera=camera,
            since=moment,
            after=_place(after) if after else None,
            limit=limit + 1,
        )
        more, found = len(found) > limit, found[:limit]
        ids = [alert.id for alert in found]
        told, deeds = desk.count_deliveries(engine, ids), desk.last_deeds(engine, ids)
        entries = [_entry(each, told, deeds.get(each.id)) for each in found]
        return answer(AlertPage(entries, _mark(found[-1]) if more else None))

    @app.get(
        "/api/alerts/{alert}",
        summary="One alert: whom it reached, and who did what about it",
        response_model=AlertHistory,
    )
    def alert(alert: UUID) -> Response:
        file = desk.open_file(engine, alert.hex)
        told = desk.count_deliveries(engine, [alert])
        entry = _entry(file.alert, told, desk.last_deeds(engine, [alert]).get(alert))
        actions = [Deed(each.at, each.who, each.action, each.comment) for each in file.actions]
        gathered = [Gathered(each.id, each.at, each.title) for each in file.children]
        known = {each.name: getattr(entry, each.name) for each in fields(entry)}
        return answer(AlertHistory(**known, actions=actions, gathered=gathered))


def _entry(
    alert: AlertRow, told: Mapping[UUID, Counter[str]], deed: ActionRow | None
) -> AlertEntry:
    return AlertEntry(
        id=alert.id,
        rule=alert.rule,
        trigger=Trigger(alert.trigger),
        severity=Severity(alert.severity),
        state=AlertState(alert.state),
        camera=alert.camera,
        zone=alert.zone,
        at=alert.at,
        title=alert.title,
        count=alert.count,
        reasons=alert.reasons,
        event_id=alert.event_id,
        deliveries=Deliveries(**{each.value: told[alert.id][each.value] for each in DeliveryState}),
        acted_by=deed.who if deed else None,
        acted_at=deed.at if deed else None,
        comment=deed.comment if deed else "",
    )


def _mark(alert: AlertRow) -> str:
    """Where the page after this alert begins."""
    return f"{alert.at.astimezone(UTC).strftime(_AT)}-{alert.id.hex}"


def _place(mark: str) -> tuple[datetime, UUID]:
    at, _, ident = mark.partition("-")
    try:
        return datetime.strptime(at, _AT).replace(tzinfo=UTC), UUID(ident)
    except ValueError as error:
        raise UsageError(
            "this is no page mark", where="query after", remedy="give `next` of the page before"
        ) from error
