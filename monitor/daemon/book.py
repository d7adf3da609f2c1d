"""The events kept, as the web room may read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from monitor.events.models import OccupancyEvent
from monitor.events.queries import EventFilter, find_events, get_event
from monitor.web.status import EventRow


class DatabaseBook:
    """Implements the web room's `EventBook` on the event database and the snapshot folder."""

    def __init__(self, engine: Engine, snapshots: Path) -> None:
        self._engine = engine
        self._snapshots = snapshots

    def recent(
        self, *, limit: int, camera: str | None, since: datetime | None, open_only: bool
    ) -> Sequence[EventRow]:
        """The newest events first."""
        wanted = EventFilter(camera=camera, since=since, open_only=open_only, limit=limit)
        return [_row(event) for event in find_events(self._engine, wanted).events]

    def snapshot(self, event_id: UUID) -> bytes | None:
        """The JPEG of the event's peak, None if the event or its picture is gone."""
        event = get_event(self._engine, event_id)
        if event is None or event.snapshot is None:
            return None
        try:
            return (self._snapshots / event.snapshot).read_bytes()
        except FileNotFoundError:
            return None


def _row(event: OccupancyEvent) -> EventRow:
    return EventRow(
        id=event.id,
        camera=event.camera,
        zone=event.zone,
        started_at=event.started_at,
        ended_at=event.ended_at,
        peak_score=event.peak_score,
        mean_score=event.mean_score,
        end_reason=event.end_reason,
        has_snapshot=event.snapshot is not None,
        mark=event.mark,
    )
