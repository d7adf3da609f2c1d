"""Grants and door events in the database."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.alerts.grants import DoorEvent, DoorKind, Grant, to_use_up
from monitor.alerts.models import DoorRow, GrantRow

LOOK_BACK = timedelta(days=1)
"""How far back door events are looked at to tell who is inside."""


def grants_of(session: Session, camera: str, zone: str, since: datetime) -> list[Grant]:
    """The zone's grants that had not ended at `since`."""
    rows = session.scalars(
        select(GrantRow).where(
            GrantRow.camera == camera, GrantRow.zone == zone, GrantRow.until > since
        )
    )
    return [as_grant(row) for row in rows]


def use_up(session: Session, camera: str, zone: str, since: datetime, left: datetime) -> None:
    """The zone was left after a stay from `since`: that uses up one single-use grant."""
    grant = to_use_up(grants_of(session, camera, zone, since), since, left)
    if grant is not None:
        session.get_one(GrantRow, grant.id).used_at = left


def as_grant(row: GrantRow) -> Grant:
    """The row as the pure functions take it."""
    return Grant(
        row.id, row.subject, row.since, row.until, row.single_use, row.used_at, row.revoked_at
    )


def door_events(session: Session, door: str, until: datetime) -> list[DoorEvent]:
    """What the door reported in the last day up to `until`, in order."""
    rows = session.scalars(
        select(DoorRow)
        .where(DoorRow.door == door, DoorRow.at > until - LOOK_BACK, DoorRow.at <= until)
        .order_by(DoorRow.at)
    )
    return [DoorEvent(DoorKind(row.kind), row.subject, row.at) for row in rows]


def entered_after(session: Session, door: str, at: datetime) -> bool:
    """Whether a badge was let in through the door after `at`."""
    query = select(DoorRow.id).where(
        DoorRow.door == door, DoorRow.at > at, DoorRow.kind == DoorKind.GRANTED.value
    )
    return session.scalar(query.limit(1)) is not None
