"""Is somebody there, or was somebody: occupied, vacant, or not seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.errors import UsageError
from monitor.events.coverage import seen_until
from monitor.events.database import explain, reading
from monitor.events.models import Coverage, OccupancyEvent
from monitor.events.places import Place, Where, last_rows

TOLERANCE = timedelta(seconds=5)
"""A moment may lie so far ahead: whoever asks has a clock of their own."""

_EVENT = ("id", "started_at", "ended_at", "peak_score")
_SPAN = ("started_at", "ended_at", "last_seen_at")


class ZoneState(StrEnum):
    """What is known of a zone at a moment. Not seen is not vacant."""

    OCCUPIED = "occupied"
    VACANT = "vacant"
    NOT_SEEN = "not seen"


@dataclass(frozen=True, slots=True)
class ZoneAt:
    """A zone at a moment. `since`: from when on it has been so, None for "never seen".

    `event_id` and `peak_score` are those of the stay, while occupied.
    """

    camera: str
    zone: str
    state: ZoneState
    since: datetime | None
    event_id: UUID | None = None
    peak_score: float | None = None


def zone_states(
    engine: Engine, where: Where, now: datetime, moment: datetime | None = None
) -> list[ZoneAt]:
    """Each zone at `moment` or else `now`, by camera and zone; one statement, however many.

    A zone named by camera and zone is answered even if nothing is known of it. Raises UsageError
    for a moment that has not come, DatabaseError.
    """
    if moment is not None and moment > now + TOLERANCE:
        raise UsageError(
            f"{moment.isoformat()} has not come yet", remedy="ask for now or a moment before"
        )
    at = moment or now
    try:
        with Session(reading(engine)) as session:
            events = session.execute(
                last_rows(OccupancyEvent, where.kind, _EVENT), where.values(at)
            ).all()
            spans = session.execute(last_rows(Coverage, where.kind, _SPAN), where.values(at)).all()
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
    found: dict[Place, tuple[list[Any], list[Any]]] = {}
    for which, rows in enumerate((events, spans)):
        for row in rows:
            found.setdefault((row.camera, row.zone), ([], []))[which].append(row)
    return [_state(place, *found[place], at, now) for place in sorted(found)]


def _state(
    place: Place, events: Iterable[Any], spans: Iterable[Any], at: datetime, now: datetime
) -> ZoneAt:
    """Rows of one place that share the last start: several only if some lasted no time."""
    spans = [span for span in spans if span.started_at is not None]
    seen = max(((seen_until(span, now), span.started_at) for span in spans), default=None)
    if seen is None:
        return ZoneAt(*place, ZoneState.NOT_SEEN, None)
    until, since = seen
    if at > until or (at == until and until < now):
        return ZoneAt(*place, ZoneState.NOT_SEEN, until)
    for event in events:
        if event.started_at is None:
            continue
        if event.ended_at is None or event.ended_at > at:
            return ZoneAt(*place, ZoneState.OCCUPIED, event.started_at, event.id, event.peak_score)
        since = max(since, event.ended_at)
    return ZoneAt(*place, ZoneState.VACANT, since)
