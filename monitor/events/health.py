"""Camera health in the database: what happened to a camera's picture, from when to when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.events.database import explain, reading
from monitor.events.models import CameraHealthRow
from monitor.messages import CameraHealth, HealthCategory, HealthKind

RESTARTED = "the monitor was restarted meanwhile"

_LONGEST_DETAIL = 255


@dataclass(frozen=True, slots=True)
class HealthSpan:
    """Something that happened to a camera's picture; goes on while `ended_at` is None."""

    id: UUID
    camera: str
    kind: HealthKind
    started_at: datetime
    confirmed_at: datetime
    ended_at: datetime | None
    detail: str

    @property
    def category(self) -> HealthCategory:
        """What kind of thing it is."""
        return self.kind.category


def record(session: Session, health: CameraHealth) -> None:
    """Merge one message: idempotent, and an end that comes before its begin makes the row."""
    row = session.get(CameraHealthRow, health.id) or _unwritten(session, health.id)
    if row is None:
        row = CameraHealthRow(
            id=health.id,
            camera=health.camera,
            kind=health.kind,
            started_at=health.at.utc,
            confirmed_at=health.confirmed.utc,
            ended_at=None,
            detail="",
        )
        session.add(row)
    if row.ended_at is None:
        row.detail = health.detail[:_LONGEST_DETAIL]
        if health.ended is not None:
            row.ended_at = max(health.ended.utc, row.started_at)
    if health.ended is None:
        row.confirmed_at = min(row.confirmed_at, health.confirmed.utc)


def _unwritten(session: Session, which: UUID) -> CameraHealthRow | None:
    """The row of a message of the same batch."""
    rows = (row for row in session.new if isinstance(row, CameraHealthRow))
    return next((row for row in rows if row.id == which), None)


def end_all(session: Session, now: datetime) -> None:
    """A new process begins: the old one's guards watch no longer, the new ones begin anew."""
    query = select(CameraHealthRow).where(CameraHealthRow.ended_at.is_(None))
    for row in session.scalars(query):
        row.ended_at = max(now, row.started_at)
        row.detail = f"{row.detail}; {RESTARTED}"[:_LONGEST_DETAIL] if row.detail else RESTARTED


def camera_health(
    engine: Engine,
    *,
    camera: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    open_only: bool = False,
    limit: int = 100,
) -> Sequence[HealthSpan]:
    """The newest first: what began before `until` and had not ended by `since`.

    Raises DatabaseError.
    """
    table = CameraHealthRow
    query = select(table).order_by(table.started_at.desc(), table.id).limit(limit)
    if camera is not None:
        query = query.where(table.camera == camera)
    if since is not None:
        query = query.where(table.ended_at.is_(None) | (table.ended_at >= since))
    if until is not None:
        query = query.where(table.started_at < until)
    if open_only:
        query = query.where(table.ended_at.is_(None))
    try:
        with Session(reading(engine)) as session:
            return [
                HealthSpan(
                    row.id,
                    row.camera,
                    row.kind,
                    row.started_at,
                    row.confirmed_at,
                    row.ended_at,
                    row.detail,
                )
                for row in session.scalars(query)
            ]
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
