"""Questions to the memory, asked with one filter by command line, Python and web alike."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Engine,
    Select,
    and_,
    bindparam,
    column,
    exists,
    func,
    or_,
    select,
    table,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.errors import UsageError
from monitor.events.columns import UTCDateTime
from monitor.events.database import explain, reading
from monitor.events.models import Coverage, OccupancyEvent
from monitor.events.places import Place, Where, known_places, last_rows

LARGEST_PAGE = 10_000

_GRANTS = table(
    "grants",
    column("camera"),
    column("zone"),
    *(column(name, UTCDateTime()) for name in ("since", "until", "used_at", "revoked_at")),
)
"""The permissions of the alerts room, as far as a question to the memory needs them."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events. Moments are aware; the span is [since, until).

    Events that start within the span are meant, or with `overlapping` those that share at
    least a moment with it; `moment` asks for those that were going on then. `ungranted`: only
    those for which no grant was valid at any moment of the stay. Raises UsageError for spans and
    combinations that make no sense.
    """

    camera: str | None = None
    zone: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    moment: datetime | None = None
    open_only: bool = False
    overlapping: bool = False
    ungranted: bool = False
    oldest_first: bool = False
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

    @property
    def where(self) -> Where:
        """The places of the filter."""
        return Where(self.camera, self.zone)


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the filter's order, and where the next page begins (None: this is the last)."""

    events: Sequence[OccupancyEvent]
    next: str | None


def find_events(engine: Engine, wanted: EventFilter) -> Page:
    """One page of events, newest start first unless the filter says otherwise.

    Costs about the page and one look-up a zone, however many events there are. Raises
    UsageError for a broken `after`, DatabaseError when the database is away.
    """
    try:
        with Session(reading(engine), expire_on_commit=False) as session:
            asked = ask(session, wanted)
            query = _page(asked.conditions, oldest_first=wanted.oldest_first)
            found = session.scalars(query, asked.values | {"rows": wanted.limit + 1}).all()
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
    events, more = found[: wanted.limit], len(found) > wanted.limit
    return Page(events, _cursor(events[-1]) if more else None)


def all_events(engine: Engine, wanted: EventFilter) -> Iterator[OccupancyEvent]:
    """Every event of the filter in its order, read page by page; `limit` is the page's size."""
    while True:
        page = find_events(engine, wanted)
        yield from page.events
        if page.next is None:
            return
        wanted = replace(wanted, after=page.next)


def get_event(engine: Engine, event_id: UUID) -> OccupancyEvent | None:
    """One event, or None. Raises DatabaseError."""
    try:
        with Session(reading(engine), expire_on_commit=False) as session:
            return session.get(OccupancyEvent, event_id)
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def known_zones(engine: Engine, camera: str | None = None) -> list[Place]:
    """The (camera, zone) pairs that have events or were seen, in order. Raises DatabaseError."""
    where = Where(camera)
    try:
        with Session(reading(engine)) as session:
            found: set[Place] = set()
            for each in (OccupancyEvent, Coverage):
                rows = session.execute(known_places(each, where.kind), where.values())
                found |= {(row.camera, row.zone) for row in rows}
            return sorted(found)
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


class Asked(NamedTuple):
    """A filter in SQL: the names of its conditions, and the values they are run with."""

    conditions: tuple[str, ...]
    values: dict[str, Any]

    @property
    def clauses(self) -> list[ColumnElement[bool]]:
        """The conditions for a `where`."""
        return [_CONDITIONS[name] for name in self.conditions]


def ask(session: Session, wanted: EventFilter) -> Asked:
    """The filter in SQL; what `overlapping` and `moment` reach back to is looked up first."""
    given: dict[str, Any] = {"camera": wanted.camera, "zone": wanted.zone, "until": wanted.until}
    if wanted.moment is not None:
        given |= _going_on(session, wanted, wanted.moment) | {"latest": wanted.moment}
    elif wanted.overlapping and wanted.since is not None:
        given |= _going_on(session, wanted, wanted.since)
    else:
        given["since"] = wanted.since
    values = {name: value for name, value in given.items() if value is not None}
    names = [*values]
    names += ["open_only"] * wanted.open_only + ["ungranted"] * wanted.ungranted
    if wanted.after is not None:
        names.append("later" if wanted.oldest_first else "earlier")
        values |= _read_cursor(wanted.after)
    return Asked(tuple(names), values)


@cache
def _page(conditions: tuple[str, ...], *, oldest_first: bool) -> Select[OccupancyEvent]:
    """Made once for each kind of question: making it takes a tenth of the time of asking."""
    key = OccupancyEvent.started_at, OccupancyEvent.id
    order = key if oldest_first else tuple(each.desc() for each in key)
    clauses = Asked(conditions, {}).clauses
    return select(OccupancyEvent).where(*clauses).order_by(*order).limit(bindparam("rows"))


def _going_on(session: Session, wanted: EventFilter, moment: datetime) -> dict[str, datetime]:
    """Not over at `moment`, with a bound that keeps the search from reaching back for ever.

    Events of one zone do not overlap, so of those that started before the moment only the last
    one of each zone can still go on: the earliest such start bounds all of them.
    """
    parameters = wanted.where.values(moment) | {"moment": moment}
    bound = session.scalar(_earliest_going_on(wanted.where.kind), parameters)
    return {"since": bound or moment, "moment": moment}


@cache
def _earliest_going_on(kind: tuple[bool, bool]) -> Select[datetime]:
    last = last_rows(OccupancyEvent, kind, ("started_at", "ended_at")).subquery()
    moment = bindparam("moment", type_=OccupancyEvent.ended_at.type)
    going_on = or_(last.c.ended_at.is_(None), last.c.ended_at > moment)
    return select(func.min(last.c.started_at)).where(going_on)


def _granted() -> ColumnElement[bool]:
    """Some grant of the zone was valid for at least a moment of the stay, as
    `monitor.alerts.grants.match` judges it."""
    event, grant = OccupancyEvent, _GRANTS.c
    ends = [
        or_(end.is_(None), and_(end > event.started_at, end > grant.since))
        for end in (grant.until, grant.used_at, grant.revoked_at)
    ]
    last = func.coalesce(event.ended_at, event.last_seen_at, type_=event.ended_at.type)
    return (
        exists()
        .select_from(_GRANTS)
        .where(grant.camera == event.camera, grant.zone == event.zone, grant.since <= last, *ends)
    )


def _conditions() -> dict[str, ColumnElement[bool]]:
    """By the name of their value. Those that follow the page's last event begin with one that
    lets the index be entered there."""
    event = OccupancyEvent
    started: BindParameter[datetime] = bindparam("page_started")
    event_id: BindParameter[UUID] = bindparam("page_id")
    tie = event.started_at == started
    later = or_(event.started_at > started, and_(tie, event.id > event_id))
    earlier = or_(event.started_at < started, and_(tie, event.id < event_id))
    return {
        "camera": event.camera == bindparam("camera"),
        "zone": event.zone == bindparam("zone"),
        "since": event.started_at >= bindparam("since"),
        "latest": event.started_at <= bindparam("latest"),
        "until": event.started_at < bindparam("until"),
        "moment": or_(event.ended_at.is_(None), event.ended_at > bindparam("moment")),
        "open_only": event.is_open == 1,
        "ungranted": ~_granted(),
        "later": and_(event.started_at >= started, later),
        "earlier": and_(event.started_at <= started, earlier),
    }


_CONDITIONS = _conditions()


def _cursor(event: OccupancyEvent) -> str:
    text = f"{event.started_at.isoformat()} {event.id.hex}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> dict[str, Any]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        started, _, event_id = text.partition(" ")
        moment = datetime.fromisoformat(started)
        if moment.tzinfo is None:
            raise ValueError("naive")
        return {"page_started": moment, "page_id": UUID(event_id)}
    except (ValueError, binascii.Error) as error:
        raise UsageError(
            "the page mark cannot be read", remedy="use the `next` of the page before"
        ) from error
