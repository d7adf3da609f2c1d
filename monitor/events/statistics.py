"""How often and how long zones were occupied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from enum import StrEnum

from sqlalchemy import Engine

from monitor.events.intervals import Span
from monitor.events.models import OccupancyEvent
from monitor.events.periods import Period, split
from monitor.events.queries import EventFilter, all_events
from monitor.events.stays import OpenEnds


class Grouping(StrEnum):
    """What makes a line of the statistics."""

    CAMERA = "camera"
    ZONE = "zone"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Occupancy:
    """One line: `events` that began or went on in it, seconds occupied within it.

    `zone` is set when grouped by zone, `day` (a local calendar day) when grouped by day.
    `longest_s` is the longest stay, cut to the span asked for and to the day.
    """

    camera: str
    zone: str | None
    day: date | None
    events: int
    open: int
    occupied_s: float
    longest_s: float


def occupancy(
    engine: Engine, wanted: EventFilter, *, by: Grouping, now: datetime, zone: tzinfo
) -> list[Occupancy]:
    """Statistics of the events that overlap the filter's span, which cuts them.

    An open event lasts until its zone was last seen, at most until `now`; one that goes on past
    midnight counts in each of its days, with that day's part. Raises DatabaseError.
    """
    lines: dict[tuple[str, str, date | None], Occupancy] = {}
    ends = OpenEnds(engine, wanted.where, now)
    for event in all_events(engine, replace(wanted, overlapping=True, limit=5000)):
        start, end = _cut(event, wanted, ends)
        for day, seconds in _parts(start, end, zone if by is Grouping.DAY else None):
            key = (event.camera, event.zone if by is Grouping.ZONE else "", day)
            line = lines.get(key) or Occupancy(
                event.camera, event.zone if by is Grouping.ZONE else None, day, 0, 0, 0.0, 0.0
            )
            lines[key] = replace(
                line,
                events=line.events + 1,
                open=line.open + (event.ended_at is None),
                occupied_s=line.occupied_s + seconds,
                longest_s=max(line.longest_s, seconds),
            )
    return [lines[key] for key in sorted(lines, key=lambda k: (k[0], k[1], k[2] or date.min))]


def _cut(event: OccupancyEvent, wanted: EventFilter, ends: OpenEnds) -> Span:
    start, end = event.started_at, event.ended_at or ends.of(event)
    if wanted.since is not None:
        start = max(start, wanted.since)
    if wanted.until is not None:
        end = min(end, wanted.until)
    return start, max(start, end)


def _parts(
    start: datetime, end: datetime, zone: tzinfo | None
) -> Iterator[tuple[date | None, float]]:
    """The span's seconds, whole or split at the midnights of `zone`."""
    if zone is None or start == end:
        yield start.astimezone(zone).date() if zone else None, (end - start).total_seconds()
        return
    for begin, until in split(start, end, Period.DAY, zone):
        yield begin.astimezone(zone).date(), (until - begin).total_seconds()
