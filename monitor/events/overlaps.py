"""When zones were occupied at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Engine

from monitor.events.models import OccupancyEvent
from monitor.events.places import Place, Where
from monitor.events.queries import LARGEST_PAGE, EventFilter, all_events
from monitor.events.stays import OpenEnds


class Stayed(NamedTuple):
    """One stay, as far as overlaps need it."""

    place: Place
    start: datetime
    end: datetime
    event_id: UUID


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two zones occupied at once, from `start` to `end`; the first one's stay began first."""

    camera: str
    zone: str
    other_camera: str
    other_zone: str
    start: datetime
    end: datetime
    event_id: UUID
    other_event_id: UUID


def find_overlaps(
    engine: Engine, wanted: EventFilter, now: datetime, *, other: Where | None = None
) -> Iterator[Overlap]:
    """Where one stay lies in a zone of the filter and another one in a different zone, of `other`
    if that is given, in order of their later starts and cut to the filter's span.

    Reads the stays once, in order of time, and remembers only those that go on. Raises
    DatabaseError.
    """
    everywhere = replace(
        wanted, camera=None, zone=None, overlapping=True, oldest_first=True, limit=LARGEST_PAGE
    )
    ends = OpenEnds(engine, everywhere.where, now)
    stays = (_cut(event, wanted, ends) for event in all_events(engine, everywhere))
    here, there = wanted.where, other or Where()
    for first, second in overlapping(stays):
        places = first.place, second.place
        if any(_within(a, here) and _within(b, there) for a, b in (places, places[::-1])):
            end = min(first.end, second.end)
            yield Overlap(
                *first.place, *second.place, second.start, end, first.event_id, second.event_id
            )


def _cut(event: OccupancyEvent, wanted: EventFilter, ends: OpenEnds) -> Stayed:
    start, end = event.started_at, event.ended_at or ends.of(event)
    if wanted.since is not None:
        start = max(start, wanted.since)
    if wanted.until is not None:
        end = min(end, wanted.until)
    return Stayed((event.camera, event.zone), start, end, event.id)


def overlapping(stays: Iterable[Stayed]) -> Iterator[tuple[Stayed, Stayed]]:
    """All pairs of stays in different places that share a moment; `stays` in order of start."""
    going_on: list[Stayed] = []
    for stay in stays:
        going_on = [earlier for earlier in going_on if earlier.end > stay.start]
        if stay.start >= stay.end:
            continue
        for earlier in going_on:
            if earlier.place != stay.place:
                yield earlier, stay
        going_on.append(stay)


def _within(place: Place, where: Where) -> bool:
    camera, zone = place
    return where.camera in (None, camera) and where.zone in (None, zone)
