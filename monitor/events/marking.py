"""What operators say of events, noted in the row and in the audit log."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.errors import NotFoundError
from monitor.events.database import explain, writing
from monitor.events.marks import Mark
from monitor.events.models import OccupancyEvent
from monitor.storage import audit


def set_mark(
    engine: Engine, event_id: UUID, mark: Mark | None, *, who: str, now: datetime
) -> OccupancyEvent:
    """Mark an event, or with None take the mark back; returns the event.

    Raises NotFoundError when there is no such event, DatabaseError.
    """
    try:
        with Session(writing(engine), expire_on_commit=False) as session, session.begin():
            event = session.get(OccupancyEvent, event_id, with_for_update=True)
            if event is None:
                raise NotFoundError(
                    f"there is no event {event_id}", remedy="`events list` shows them"
                )
            if event.mark is not mark:
                before = event.mark.value if event.mark else None
                event.mark, event.updated_at = mark, now
                audit.record(
                    session,
                    actor=who,
                    action="mark",
                    subject=str(event_id),
                    details={"mark": mark.value if mark else None, "before": before},
                    at=now,
                )
            return event
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
