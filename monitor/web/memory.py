"""The memory's answers by REST: the questions, filters and words of `run_monitor.py events`.

Times are given as on the command line, `2h`, `yesterday 22:00`, or ISO, in the zone of `timezone`
(UTC without it); answers are in UTC. Lists are cut at `limit`, and `more` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

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
from monitor.web.errors import known_filters
from monitor.web.feed import to_json
from monitor.web.zones import find_zone

LARGEST = 10_000
"""Lines of an answer."""

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
    @router.get("/events", summary="Events of a filter, page by page: `next` goes into `after`")
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
        return _answer({"events": [event_record(each) for each in page.events], "next": page.next})

    @router.get("/longest", summary="The longest stays, the longest first")
    def longest(asked: Asked, overlapping: bool = False, limit: Limit = 10) -> Response:
        wanted = replace(asked.filter, overlapping=overlapping, limit=limit)
        stays = longest_stays(engine, wanted, asked.now)
        return _answer(
            {"events": [event_record(stay.event) | {"lasted_s": stay.seconds} for stay in stays]}
        )

    @router.get("/overlaps", summary="When two zones were occupied at once")
    def overlaps(
        asked: Asked, with_camera: Text = None, with_zone: Text = None, limit: Limit = 1000
    ) -> Response:
        other = Where(with_camera, with_zone)
        return _lines(
            "overlaps", find_overlaps(engine, asked.filter, asked.now, other=other), limit
        )


def _add_zones(router: APIRouter, engine: Engine) -> None:
    @router.get("/zones", summary="Occupied, vacant, or not seen: now or `at` a moment")
    def zones(asked: Asked, at: Text = None) -> Response:
        found = zone_states(engine, asked.filter.where, asked.now, asked.moment(at))
        return _answer({"zones": [asdict(state) for state in found]})

    @router.get("/ratio", summary="Occupied, vacant and not seen time by local hours or days")
    def ratio(asked: Asked, by: Period = Period.DAY, limit: Limit = 1000) -> Response:
        found = occupancy_ratios(engine, asked.filter, by=by, now=asked.now, zone=asked.zone)
        return _lines("ratios", found, limit)

    @router.get("/days", summary="The first and last presence on each local day")
    def days(asked: Asked, limit: Limit = 1000) -> Response:
        found = presence_days(engine, asked.filter, now=asked.now, zone=asked.zone)
        return _lines("days", found, limit)

    @router.get("/gaps", summary="When zones were not seen")
    def gaps(asked: Asked, limit: Limit = 1000) -> Response:
        return _lines("gaps", coverage_gaps(engine, asked.filter, asked.now), limit)


def _lines(name: str, found: Iterable[Any], limit: int) -> Response:
    """Dataclasses, up to `limit` of them, and whether there would have been more."""
    lines = [asdict(line) for line in islice(found, limit + 1)]
    return _answer({name: lines[:limit], "more": len(lines) > limit})


def _answer(data: dict[str, Any]) -> Response:
    return Response(to_json(data), media_type="application/json")
