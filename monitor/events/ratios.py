"""How much of the time that zones were seen they were occupied, by local hours and days.

Only time in which a zone was seen says anything about it. Every line therefore has three parts,
occupied, vacant and not seen, which add up to the line's hours; the ratio leaves the third out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, tzinfo

from sqlalchemy import Engine, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.events.coverage import seen_places, seen_spans, watched_span
from monitor.events.database import explain, reading
from monitor.events.intervals import Span, by_period, intersection, measure
from monitor.events.models import OccupancyEvent
from monitor.events.periods import Period, split
from monitor.events.places import Place
from monitor.events.queries import EventFilter


@dataclass(frozen=True, slots=True)
class Ratio:
    """One hour or day of a zone, or all of a name together. `ratio` = occupied / (occupied +
    vacant), None when the zone was not seen. `start` is None where many make the line."""

    camera: str
    zone: str
    period: str
    start: datetime | None
    occupied_s: float
    vacant_s: float
    not_seen_s: float
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Day:
    """Presence in a zone on a local day. `first` and `last`: within the day; None: nobody came.

    `last` is the end of the last stay, or when somebody who stays was last seen. `not_seen_s`
    tells how much of the day nobody can speak of.
    """

    camera: str
    zone: str
    day: date
    first: datetime | None
    last: datetime | None
    stays: int
    occupied_s: float
    not_seen_s: float


@dataclass(slots=True)
class _Sums:
    occupied: float = 0.0
    seen: float = 0.0
    whole: float = 0.0

    def add(self, part: _Part) -> _Sums:
        begin, end = part.period
        self.occupied += measure(part.occupied).total_seconds()
        self.seen += measure(part.seen).total_seconds()
        self.whole += (end - begin).total_seconds()
        return self

    def line(self, place: Place, period: str, start: datetime | None) -> Ratio:
        return Ratio(
            *place,
            period,
            start,
            occupied_s=self.occupied,
            vacant_s=self.seen - self.occupied,
            not_seen_s=self.whole - self.seen,
            ratio=self.occupied / self.seen if self.seen else None,
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """One hour or day of a zone: the stays that touch it, cut to it, and what was seen."""

    period: Span
    stays: list[Span]
    occupied: list[Span]
    seen: list[Span]


def occupancy_ratios(
    engine: Engine, wanted: EventFilter, *, by: Period, now: datetime, zone: tzinfo
) -> Iterator[Ratio]:
    """A line for each zone and hour or day of the filter's span, in order.

    A zone counts from when it was first seen, at most until `now`. Stays count where the zone was
    seen. Raises DatabaseError.
    """
    for place, parts in _places(engine, wanted, by=by, now=now, zone=zone):
        if not by.recurring:
            for part in parts:
                start = part.period[0]
                yield _Sums().add(part).line(place, by.label(start, zone), start)
            continue
        sums: dict[str, _Sums] = {}
        for part in parts:
            sums.setdefault(by.label(part.period[0], zone), _Sums()).add(part)
        for label in sorted(sums, key=by.order):
            yield sums[label].line(place, label, None)


def presence_days(
    engine: Engine, wanted: EventFilter, *, now: datetime, zone: tzinfo
) -> Iterator[Day]:
    """A line for each zone and local day of the filter's span, in order. Raises DatabaseError."""
    for place, parts in _places(engine, wanted, by=Period.DAY, now=now, zone=zone):
        for part in parts:
            sums = _Sums().add(part)
            yield Day(
                *place,
                part.period[0].astimezone(zone).date(),
                first=min((start for start, _ in part.stays), default=None),
                last=max((end for _, end in part.stays), default=None),
                stays=len(part.stays),
                occupied_s=sums.occupied,
                not_seen_s=sums.whole - sums.seen,
            )


def _places(
    engine: Engine, wanted: EventFilter, *, by: Period, now: datetime, zone: tzinfo
) -> Iterator[tuple[Place, Iterator[_Part]]]:
    try:
        with Session(reading(engine)) as session:
            for place in seen_places(session, wanted.where):
                whole = watched_span(session, place, wanted, now)
                if whole is not None:
                    yield place, _parts(session, place, whole, by=by, now=now, zone=zone)
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def _parts(
    session: Session, place: Place, whole: Span, *, by: Period, now: datetime, zone: tzinfo
) -> Iterator[_Part]:
    seen = list(seen_spans(session, place, whole, now))
    stays = list(_stays(session, place, whole, seen[-1][1] if seen else whole[0]))
    periods = list(split(*whole, by, zone))
    for period, here, occupied, looked in zip(
        periods,
        by_period(periods, stays),
        by_period(periods, intersection(stays, seen)),
        by_period(periods, seen),
        strict=True,
    ):
        yield _Part(period, here, occupied, looked)


def _stays(session: Session, place: Place, whole: Span, last_seen: datetime) -> Iterator[Span]:
    """The zone's stays within a span, cut to it; one that goes on lasts until `last_seen`.

    Where a stepped clock let two overlap, the later one begins when the earlier one ends.
    """
    since, until = whole
    values = {"camera": place[0], "zone": place[1], "since": since, "until": until}
    for row in session.execute(_STAYS, values):
        start, end = max(row.started_at, since), min(row.ended_at or last_seen, until)
        if start < end:
            yield start, end
            since = end


# Built once: it is asked for each zone, and building costs more than asking.
_TABLE = OccupancyEvent
_HERE = (_TABLE.camera == bindparam("camera"), _TABLE.zone == bindparam("zone"))
_SINCE, _UNTIL = (bindparam(name, type_=_TABLE.started_at.type) for name in ("since", "until"))
_STAYS = (
    select(_TABLE.started_at, _TABLE.ended_at)
    .where(
        *_HERE,
        _TABLE.started_at
        >= func.coalesce(
            select(func.max(_TABLE.started_at))
            .where(*_HERE, _TABLE.started_at <= _SINCE)
            .scalar_subquery(),
            _SINCE,
        ),
        _TABLE.started_at < _UNTIL,
    )
    .order_by(_TABLE.started_at)
)
