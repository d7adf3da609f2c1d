"""When zones were seen. "Not seen" is an answer of its own: it is not "empty"."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid5

from sqlalchemy import Engine, bindparam, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.events.database import explain, reading
from monitor.events.intervals import Span, difference, union
from monitor.events.models import Coverage
from monitor.events.places import Place, Where, known_places
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


class _Seen(Protocol):
    """What tells until when a span lasts."""

    @property
    def ended_at(self) -> datetime | None: ...
    @property
    def last_seen_at(self) -> datetime: ...


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


def coverage_gaps(engine: Engine, wanted: EventFilter, now: datetime) -> Iterator[Gap]:
    """Where zones were not seen within the filter's span, by camera, zone and time.

    A zone counts from when it was first seen at all, at most until `now`. Raises DatabaseError.
    """
    try:
        with Session(reading(engine)) as session:
            for place in seen_places(session, wanted.where):
                whole = watched_span(session, place, wanted, now)
                if whole is not None:
                    seen = seen_spans(session, place, whole, now)
                    for start, end in difference(whole, seen):
                        yield Gap(*place, start, end)
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def seen_places(session: Session, where: Where) -> list[Place]:
    """The places that were ever seen, in order."""
    rows = session.execute(known_places(Coverage, where.kind), where.values())
    return [(row.camera, row.zone) for row in rows]


def watched_span(session: Session, place: Place, wanted: EventFilter, now: datetime) -> Span | None:
    """The filter's span without the future and without the time before the zone was first seen."""
    first = session.scalar(_FIRST, {"camera": place[0], "zone": place[1]})
    if first is None:
        return None
    start, end = max(wanted.since or first, first), min(wanted.until or now, now)
    return (start, end) if start < end else None


def seen_spans(session: Session, place: Place, whole: Span, now: datetime) -> Iterator[Span]:
    """When the place was seen within a span, in order."""
    start, end = whole
    values = {"camera": place[0], "zone": place[1], "since": start, "until": end}
    rows = session.execute(_SEEN, values)
    cut = ((max(row.started_at, start), min(seen_until(row, now), end)) for row in rows)
    yield from union(cut)


# Built once: they are asked for each zone, and building costs more than asking.
_HERE = (Coverage.camera == bindparam("camera"), Coverage.zone == bindparam("zone"))
_FIRST = select(func.min(Coverage.started_at)).where(*_HERE)
_SINCE, _UNTIL = (bindparam(name, type_=Coverage.started_at.type) for name in ("since", "until"))
_SEEN = (
    select(Coverage.started_at, Coverage.ended_at, Coverage.last_seen_at)
    .where(
        *_HERE,
        Coverage.started_at
        >= func.coalesce(
            select(func.max(Coverage.started_at))
            .where(*_HERE, Coverage.started_at <= _SINCE)
            .scalar_subquery(),
            _SINCE,
        ),
        Coverage.started_at < _UNTIL,
    )
    .order_by(Coverage.started_at)
)


def seen_until(span: _Seen, now: datetime) -> datetime:
    """Up to when the zone was seen: until `now`, while somebody notes that it still is."""
    if span.ended_at is not None:
        return span.ended_at
    return now if now - span.last_seen_at < STALE else span.last_seen_at
