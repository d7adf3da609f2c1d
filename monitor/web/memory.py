"""The memory's answers by REST: the questions, filters and words of `run_monitor.py events`.

Times are given as on the command line, `2h`, `yesterday 22:00`, or ISO, in the zone of `timezone`
(UTC without it); answers are in UTC. Lists are cut at `limit`, and `more` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Response
from sqlalchemy import Engine

from monitor.events.coverage import coverage_gaps
from monitor.events.moments import parse_moment
from monitor.events.overlaps import find_overlaps
from monitor.events.periods import Period
from monitor.events.places import Where
from monitor.events.queries import EventFilter, find_events
from monitor.events.ratios import occupancy_ratios, presence_days
from monitor.events.records import event_record
from monitor.events.stays import longest_stays
from monitor.events.zones import zone_states
from monitor.web.answers import (
    Days,
    EventPage,
    EventRecord,
    Gaps,
    LongestStays,
    Overlaps,
    Ratios,
    StayRecord,
    ZonesAt,
    answer,
)
from monitor.web.errors import known_filters
from monitor.web.zones import find_zone

LARGEST = 10_000
"""Lines of an answer."""

_Line = TypeVar("_Line")
Text = Annotated[str | None, Query(max_length=128)]
Limit = Annotated[int, Query(ge=1, le=LARGEST)]


class _Asked:
    """What all questions have in common. Raises UsageError for what makes no sense."""

    def __init__(
        self,
        camera: Text = None,
        zone: Text = None,
        since: Text = None,
        until: Text = None,
        timezone: Text = None,
    ) -> None:
        self.now = datetime.now(UTC)
        self.zone = find_zone(timezone)
        self.filter = EventFilter(
            camera=camera, zone=zone, since=self.moment(since), until=self.moment(until)
        )

    def moment(self, text: str | None) -> datetime | None:
        """The instant that is meant."""
        return parse_moment(text, now=self.now, zone=self.zone) if text is not None else None


Asked = Annotated[_Asked, Depends()]


def add_memory(app: FastAPI, engine: Engine) -> None:
    """Add GET /api/memory/… on the event database."""

    router = APIRouter(prefix="/api/memory", dependencies=[Depends(known_filters)])
    _add_events(router, engine)
    _add_zones(router, engine)
    app.include_router(router)


def _add_events(router: APIRouter, engine: Engine) -> None:
    @router.get(
        "/events",
        summary="Events of a filter, page by page: `next` goes into `after`",
        response_model=EventPage,
    )
    def events(
        asked: Asked,
        *,
        at: Text = None,
        open: bool = False,
        overlapping: bool = False,
        ungranted: bool = False,
        oldest_first: bool = False,
        limit: Limit = 100,
        after: Annotated[str | None, Query(max_length=256)] = None,
    ) -> Response:
        wanted = replace(
            asked.filter,
            moment=asked.moment(at),
            open_only=open,
            overlapping=overlapping,
            ungranted=ungranted,
            oldest_first=oldest_first,
            limit=limit,
            after=after,
        )
        page = find_events(engine, wanted)
        records = [EventRecord(**event_record(each)) for each in page.events]
        return answer(EventPage(records, page.next))

    @router.get(
        "/longest", summary="The longest stays, the longest first", response_model=LongestStays
    )
    def longest(asked: Asked, overlapping: bool = False, limit: Limit = 10) -> Response:
        wanted = replace(asked.filter, overlapping=overlapping, limit=limit)
        stays = longest_stays(engine, wanted, asked.now)
        records = [StayRecord(**event_record(each.event), lasted_s=each.seconds) for each in stays]
        return answer(LongestStays(records))

    @router.get(
        "/overlaps", summary="When two zones were occupied at once", response_model=Overlaps
    )
    def overlaps(
        asked: Asked, with_camera: Text = None, with_zone: Text = None, limit: Limit = 1000
    ) -> Response:
        other = Where(with_camera, with_zone)
        found = find_overlaps(engine, asked.filter, asked.now, other=other)
        return answer(Overlaps(*_cut(found, limit)))


def _add_zones(router: APIRouter, engine: Engine) -> None:
    @router.get(
        "/zones",
        summary="Occupied, vacant, or not seen: now or `at` a moment",
        response_model=ZonesAt,
    )
    def zones(asked: Asked, at: Text = None) -> Response:
        found = zone_states(engine, asked.filter.where, asked.now, asked.moment(at))
        return answer(ZonesAt(found))

    @router.get(
        "/ratio",
        summary="Occupied, vacant and not seen time by local hours or days",
        response_model=Ratios,
    )
    def ratio(asked: Asked, by: Period = Period.DAY, limit: Limit = 1000) -> Response:
        found = occupancy_ratios(engine, asked.filter, by=by, now=asked.now, zone=asked.zone)
        return answer(Ratios(*_cut(found, limit)))

    @router.get(
        "/days", summary="The first and last presence on each local day", response_model=Days
    )
    def days(asked: Asked, limit: Limit = 1000) -> Response:
        found = presence_days(engine, asked.filter, now=asked.now, zone=asked.zone)
        return answer(Days(*_cut(found, limit)))

    @router.get("/gaps", summary="When zones were not seen", response_model=Gaps)
    def gaps(asked: Asked, limit: Limit = 1000) -> Response:
        return answer(Gaps(*_cut(coverage_gaps(engine, asked.filter, asked.now), limit)))


def _cut(found: Iterable[_Line], limit: int) -> tuple[list[_Line], bool]:
    """Up to `limit` lines, and whether there would have been more."""
    lines = list(islice(found, limit + 1))
    return lines[:limit], len(lines) > limit
