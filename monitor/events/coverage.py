"""When zones were seen. "Not seen" is an answer of its own: it is not "empty"."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID, uuid5

from sqlalchemy import Engine, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.events.database import explain
from monitor.events.models import Coverage
from monitor.events.queries import EventFilter

BEAT_EVERY = 30.0
"""Seconds between two notes that the zones being seen still are."""

STALE = timedelta(seconds=3 * BEAT_EVERY)
"""An open span that was not refreshed for so long belongs to a process that is dead."""

_NAMESPACE = UUID("6f1f9b0e-6b64-4a39-9a0e-0d6d1d3a5c11")


@dataclass(frozen=True, slots=True)
class Gap:
    """A span in which a zone was not seen."""

    camera: str
    zone: str
    start: datetime
    end: datetime


class CoverageLedger:
    """The coverage that a batch of messages concerns; written by the session's flush."""

    def __init__(self, session: Session, cameras: Collection[str]) -> None:
        self._session = session
        query = select(Coverage).where(Coverage.is_open == 1, Coverage.camera.in_(cameras))
        rows = session.scalars(query) if cameras else ()
        self._open = {(row.camera, row.zone): row for row in rows}
        self._freed: set[tuple[str, str]] = set()

    def seen(self, camera: str, zone: str, at: datetime) -> None:
        """The zone was seen at `at`: within a span that is known, or a new one begins."""
        row = self._open.get((camera, zone))
        if row is not None:
            row.last_seen_at = max(row.last_seen_at, at)
            return
        if (camera, zone) in self._freed:
            self._session.flush()  # a flush inserts before it updates, see `apply`
            self._freed.clear()
        if self._known(camera, zone, at):
            return
        name = uuid5(_NAMESPACE, f"{camera}/{zone}/{at.isoformat()}")
        row = Coverage(id=name, camera=camera, zone=zone, started_at=at, last_seen_at=at)
        self._session.add(row)
        self._open[camera, zone] = row

    def lost(self, camera: str, zone: str, at: datetime) -> None:
        """The zone was last seen at `at`. A repeated message finds nothing to end."""
        row = self._open.get((camera, zone))
        if row is not None and row.started_at <= at:
            row.ended_at = at
            row.last_seen_at = at
            del self._open[camera, zone]
            self._freed.add((camera, zone))

    def _known(self, camera: str, zone: str, at: datetime) -> bool:
        """Whether an ended span holds `at`: the message comes again."""
        query = (
            select(Coverage.id)
            .where(
                Coverage.camera == camera,
                Coverage.zone == zone,
                Coverage.started_at <= at,
                Coverage.ended_at >= at,
            )
            .limit(1)
        )
        return self._session.scalar(query) is not None


def refresh(session: Session, now: datetime) -> None:
    """Note that the zones which are being seen still are."""
    session.execute(
        update(Coverage)
        .where(Coverage.is_open == 1, Coverage.last_seen_at < now)
        .values(last_seen_at=now)
        .execution_options(synchronize_session=False)
    )


def end_all(session: Session) -> None:
    """A new process begins: what the old one saw ends where it was last noted."""
    for row in session.scalars(select(Coverage).where(Coverage.is_open == 1)):
        row.ended_at = max(row.last_seen_at, row.started_at)


def coverage_gaps(engine: Engine, wanted: EventFilter, now: datetime) -> list[Gap]:
    """Where zones were not seen within the filter's span, by camera, zone and time.

    A zone counts from when it was first seen at all, at most until `now`. Raises DatabaseError.
    """
    query = select(Coverage).order_by(Coverage.camera, Coverage.zone, Coverage.started_at)
    if wanted.camera is not None:
        query = query.where(Coverage.camera == wanted.camera)
    if wanted.zone is not None:
        query = query.where(Coverage.zone == wanted.zone)
    end = min(wanted.until or now, now)
    query = query.where(Coverage.started_at < end)
    try:
        with Session(engine, expire_on_commit=False) as session:
            spans = session.scalars(query).all()
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
    gaps: list[Gap] = []
    for (camera, zone), group in groupby(spans, key=lambda span: (span.camera, span.zone)):
        for start, until in _between(list(group), wanted.since, end, now):
            gaps.append(Gap(camera, zone, start, until))
    return gaps


def _between(
    spans: list[Coverage], since: datetime | None, end: datetime, now: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """What the spans of one zone leave out."""
    covered = max(since or spans[0].started_at, spans[0].started_at)
    for span in spans:
        if span.started_at > covered:
            yield covered, span.started_at
        covered = max(covered, _seen_until(span, now))
    if covered < end:
        yield covered, end


def _seen_until(span: Coverage, now: datetime) -> datetime:
    if span.ended_at is not None:
        return span.ended_at
    return now if now - span.last_seen_at < STALE else span.last_seen_at
