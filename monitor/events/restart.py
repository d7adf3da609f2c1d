"""What a new process finds of the old one: events still open."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.clock import Stamp
from monitor.events import health
from monitor.events.apply import end
from monitor.events.coverage import end_all
from monitor.events.database import explain, writing
from monitor.events.models import OccupancyEvent
from monitor.messages import EndReason, OpenOccupancy, Summary
from monitor.telemetry import get_logger

log = get_logger(__name__)


def open_occupancies(
    engine: Engine, watched: Collection[tuple[str, str]], now: Stamp
) -> list[OpenOccupancy]:
    """The open events of the watched (camera, zone) pairs; presence resumes or ends them.

    Open events of pairs that are not configured any more end with `config_changed` at the time
    they were last seen. Coverage of the old process ends where it was last noted, what
    happened to its cameras ends now. Monotonic
    seconds are those of this process: `now` less the event's age on the wall clock. Call it
    before the writer is started. Raises DatabaseError.
    """
    try:
        with Session(writing(engine)) as session, session.begin():
            rows = session.scalars(select(OccupancyEvent).where(OccupancyEvent.is_open == 1)).all()
            found = []
            for row in rows:
                if (row.camera, row.zone) in watched:
                    found.append(_occupancy(row, now))
                else:
                    end(row, row.last_seen_at, EndReason.CONFIG_CHANGED, now.utc)
                    log.info("an event of a zone no longer watched ends", camera=row.camera,
                             zone=row.zone, event_id=str(row.id))  # fmt: skip
            end_all(session)
            health.end_all(session, now.utc)
            return found
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def _occupancy(row: OccupancyEvent, now: Stamp) -> OpenOccupancy:
    def stamp(seconds_ago: float) -> Stamp:
        return now.shifted(-seconds_ago)

    return OpenOccupancy(
        event_id=row.id,
        camera=row.camera,
        zone=row.zone,
        started=stamp((now.utc - row.started_at).total_seconds()),
        seen=stamp((now.utc - row.last_seen_at).total_seconds()),
        summary=Summary(row.peak_score, row.mean_score, row.score_count),
    )
