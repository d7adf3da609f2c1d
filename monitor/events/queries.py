"""Questions to the memory, asked with one filter by command line, Python and web alike."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, bindparam, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.errors import UsageError
from monitor.events.database import explain
from monitor.events.models import OccupancyEvent

LARGEST_PAGE = 10_000

LOOK_BACK = 4
"""Events of a zone looked at to find the one that goes on at a moment."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events. Moments are aware; the span is [since, until).

    Events that start within the span are meant, or with `overlapping` those that share at
    least a moment with it; `moment` asks for those that were going on then. Raises UsageError
    for spans and combinations that make no sense.
    """

    camera: str | None = None
    zone: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    moment: datetime | None = None
    open_only: bool = False
    overlapping: bool = False
    limit: int = 100
    after: str | None = None
    """`Page.next` of the page before."""

    def __post_init__(self) -> None:
        for value in (self.since, self.until, self.moment):
            if value is not None and value.tzinfo is None:
                raise ValueError("an EventFilter needs aware datetimes")
        if self.since and self.until and self.since >= self.until:
            raise UsageError(
                f"the span is empty: since {self.since.isoformat()} is not before "
                f"until {self.until.isoformat()}",
                remedy="exchange the two",
            )
        if self.moment and (self.since or self.until):
            raise UsageError("a moment and a span exclude each other", remedy="give only one")
        if not 1 <= self.limit <= LARGEST_PAGE:
            raise UsageError(
                f"limit {self.limit} is not within 1 to {LARGEST_PAGE}", remedy="choose another"
            )


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first, and where the next page begins (None: this is the last)."""

    events: Sequence[OccupancyEvent]
    next: str | None


def find_events(engine: Engine, wanted: EventFilter) -> Page:
    """One page of events, newest start first.

    Costs about the page and one look-up a zone, however many events there are. Raises
    UsageError for a broken `after`, DatabaseError when the database is away.
    """
    try:
        with Session(engine, expire_on_commit=False) as session:
            query = (
                select(OccupancyEvent)
                .where(*_conditions(session, wanted))
                .order_by(OccupancyEvent.started_at.desc(), OccupancyEvent.id.desc())
                .limit(wanted.limit + 1)
            )
            found = session.scalars(query).all()
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
    events, more = found[: wanted.limit], len(found) > wanted.limit
    return Page(events, _cursor(events[-1]) if more else None)


def all_events(engine: Engine, wanted: EventFilter) -> Iterator[OccupancyEvent]:
    """Every event of the filter, newest first, read page by page; `limit` is the page's size."""
    while True:
        page = find_events(engine, wanted)
        yield from page.events
        if page.next is None:
            return
        wanted = replace(wanted, after=page.next)


def get_event(engine: Engine, event_id: UUID) -> OccupancyEvent | None:
    """One event, or None. Raises DatabaseError."""
    try:
        with Session(engine, expire_on_commit=False) as session:
            return session.get(OccupancyEvent, event_id)
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def known_zones(engine: Engine, camera: str | None = None) -> list[tuple[str, str]]:
    """The (camera, zone) pairs that have events, in order. Raises DatabaseError."""
    try:
        with Session(engine) as session:
            return list(_zones(session.connection(), camera, None))
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def _conditions(session: Session, wanted: EventFilter) -> list[ColumnElement[bool]]:
    table = OccupancyEvent
    conditions: list[ColumnElement[bool]] = []
    if wanted.camera is not None:
        conditions.append(table.camera == wanted.camera)
    if wanted.zone is not None:
        conditions.append(table.zone == wanted.zone)
    if wanted.open_only:
        conditions.append(table.is_open == 1)
    if wanted.moment is not None:
        conditions += _going_on(session, wanted, wanted.moment)
        conditions.append(table.started_at <= wanted.moment)
    elif wanted.overlapping and wanted.since is not None:
        conditions += _going_on(session, wanted, wanted.since)
    elif wanted.since is not None:
        conditions.append(table.started_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(table.started_at < wanted.until)
    if wanted.after is not None:
        started, event_id = _read_cursor(wanted.after)
        conditions += [
            table.started_at <= started,  # lets the index be entered at the cursor
            or_(
                table.started_at < started,
                and_(table.started_at == started, table.id < event_id),
            ),
        ]
    return conditions


def _going_on(session: Session, wanted: EventFilter, moment: datetime) -> list[ColumnElement[bool]]:
    """Not over at `moment`, with a bound that keeps the search from reaching back for ever.

    Events of one zone do not overlap, so of those that started before the moment only the last
    one of each zone can still go on (LOOK_BACK allows for some that lasted no time and began
    together with it): the earliest such start bounds all of them.
    """
    table = OccupancyEvent
    connection = session.connection()
    bound = moment
    for camera, zone in _zones(connection, wanted.camera, wanted.zone):
        last = connection.execute(_LAST, {"camera": camera, "zone": zone, "moment": moment})
        starts = [row.started_at for row in last if row.ended_at is None or row.ended_at > moment]
        bound = min([bound, *starts])
    return [table.started_at >= bound, or_(table.ended_at.is_(None), table.ended_at > moment)]


# Built once: they are asked many times a question, and building costs more than asking.
_CAMERAS = select(func.min(OccupancyEvent.camera)).where(OccupancyEvent.camera > bindparam("after"))
_ZONES = select(func.min(OccupancyEvent.zone)).where(
    OccupancyEvent.camera == bindparam("camera"), OccupancyEvent.zone > bindparam("after")
)
_LAST = (
    select(OccupancyEvent.started_at, OccupancyEvent.ended_at)
    .where(
        OccupancyEvent.camera == bindparam("camera"),
        OccupancyEvent.zone == bindparam("zone"),
        OccupancyEvent.started_at < bindparam("moment"),
    )
    .order_by(OccupancyEvent.started_at.desc())
    .limit(LOOK_BACK)
)


def _zones(
    connection: Connection, camera: str | None, zone: str | None
) -> Iterator[tuple[str, str]]:
    """The (camera, zone) pairs with events, by hopping through the index (camera, zone, …)."""
    if camera is not None and zone is not None:
        yield camera, zone
        return
    for name in [camera] if camera is not None else _hop(connection, _CAMERAS, {}):
        for place in _hop(connection, _ZONES, {"camera": name}):
            if zone is None or place == zone:
                yield name, place


def _hop(connection: Connection, step: Select[Any], given: dict[str, str]) -> Iterator[str]:
    """The distinct values of a column in order, each found by one step down an index."""
    value = connection.execute(step, given | {"after": ""}).scalar()
    while value is not None:
        yield value
        value = connection.execute(step, given | {"after": value}).scalar()


def _cursor(event: OccupancyEvent) -> str:
    text = f"{event.started_at.isoformat()} {event.id.hex}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        started, _, event_id = text.partition(" ")
        moment = datetime.fromisoformat(started)
        if moment.tzinfo is None:
            raise ValueError("naive")
        return moment, UUID(event_id)
    except (ValueError, binascii.Error) as error:
        raise UsageError(
            "the page mark cannot be read", remedy="use the `next` of the page before"
        ) from error
