"""Legal holds: events that nobody deletes, whatever their age, until the hold is released."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ColumnExpressionArgument, Engine, exists, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.errors import NotFoundError, UsageError
from monitor.events.database import explain, writing
from monitor.events.models import Hold, OccupancyEvent
from monitor.storage import audit


def is_held(event_id: ColumnExpressionArgument[Any]) -> ColumnElement[bool]:
    """The condition that a hold stands on the event of that id."""
    return exists(select(Hold.event_id).where(Hold.event_id == event_id))


def hold(engine: Engine, event_id: UUID, *, who: str, why: str, now: datetime) -> None:
    """Keep an event and its snapshot from now on; noted in the audit log.

    Raises UsageError when there is no such event, it is held already, or `why` is empty;
    DatabaseError.
    """
    if not why.strip():
        raise UsageError("a hold needs a reason", remedy="say --why TEXT")
    with _transaction(engine) as session:
        if session.get(OccupancyEvent, event_id, with_for_update=True) is None:
            raise NotFoundError(f"there is no event {event_id}", remedy="`events list` shows them")
        standing = session.get(Hold, event_id)
        if standing is not None:
            raise UsageError(
                f"event {event_id} is held already, by {standing.who}: {standing.why}",
                remedy="`events release` ends that hold",
            )
        session.add(Hold(event_id=event_id, at=now, who=who[:64], why=why[:1000]))
        _note(session, "hold", event_id, who=who, why=why, now=now)


def release(engine: Engine, event_id: UUID, *, who: str, why: str, now: datetime) -> None:
    """End a hold; retention may take the event again. Raises UsageError, DatabaseError."""
    if not why.strip():
        raise UsageError("a release needs a reason", remedy="say --why TEXT")
    with _transaction(engine) as session:
        standing = session.get(Hold, event_id)
        if standing is None:
            raise NotFoundError(f"event {event_id} is not held", remedy="`events held` lists holds")
        session.delete(standing)
        _note(session, "release", event_id, who=who, why=why, now=now)


def holds(engine: Engine) -> Sequence[tuple[Hold, OccupancyEvent | None]]:
    """All holds with their events, the oldest hold first. Raises DatabaseError."""
    query = (
        select(Hold, OccupancyEvent)
        .outerjoin(OccupancyEvent, OccupancyEvent.id == Hold.event_id)
        .order_by(Hold.at)
    )
    with _transaction(engine) as session:
        return [(row[0], row[1]) for row in session.execute(query)]


def _note(
    session: Session, action: str, event_id: UUID, *, who: str, why: str, now: datetime
) -> None:
    audit.record(
        session, actor=who, action=action, subject=str(event_id), details={"why": why}, at=now
    )


@contextmanager
def _transaction(engine: Engine) -> Iterator[Session]:
    try:
        with Session(writing(engine), expire_on_commit=False) as session, session.begin():
            yield session
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
