"""Which zones there are, and what began last in each: found by hopping through an index.

A database reads a whole table to tell its distinct values. The queries here step from one (camera,
zone) to the next in the index instead, all in one statement, so they cost about a look-up a zone,
however many rows there are.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import CTE, Select, String, and_, bindparam, case, cast, func, select
from sqlalchemy.orm import aliased

from monitor.events.columns import NAME_LENGTH
from monitor.events.models import Coverage, OccupancyEvent

Place = tuple[str, str]
"""Camera and zone."""

Table = type[OccupancyEvent] | type[Coverage]


class Where(NamedTuple):
    """Places of one camera, or zones of one name, or one place, or all. Statements are made of
    the kind of question only, so that they are made once; `values` are what they are run with."""

    camera: str | None = None
    zone: str | None = None

    @property
    def kind(self) -> tuple[bool, bool]:
        """Whether a camera and whether a zone is named."""
        return self.camera is not None, self.zone is not None

    def values(self, moment: datetime | None = None) -> dict[str, Any]:
        """The statements' parameters."""
        given = {"place_camera": self.camera, "place_zone": self.zone, "place_moment": moment}
        return {name: value for name, value in given.items() if value is not None}


@cache
def known_places(table: Table, kind: tuple[bool, bool]) -> Select[str, str]:
    """The (camera, zone) pairs of the table's rows, in order."""
    one_camera, one_zone = kind
    found = _hops(table, one_camera=one_camera)
    query = select(found.c.camera, found.c.zone).where(found.c.zone.is_not(None))
    if one_zone:
        query = query.where(found.c.zone == bindparam("place_zone", type_=String))
    return query.order_by(found.c.camera, found.c.zone)


@cache
def last_starts(table: Table, kind: tuple[bool, bool]) -> CTE:
    """For each place (`camera`, `zone`) the `start` of its last row begun by a moment.

    A place named by camera and zone is there whether the table knows it or not; `start` is NULL
    where nothing began by then.
    """
    if all(kind):
        camera: Any = _given("place_camera")
        zone: Any = _given("place_zone")
        query = select(camera.label("camera"), zone.label("zone"))
    else:
        found = known_places(table, kind).subquery()
        camera, zone = found.c.camera, found.c.zone
        query = select(camera, zone)
    start = (
        select(func.max(table.started_at))
        .where(
            table.camera == camera,
            table.zone == zone,
            table.started_at <= bindparam("place_moment", type_=table.started_at.type),
        )
        .correlate_except(table)
        .scalar_subquery()
    )
    return query.add_columns(start.label("start")).cte(f"last_{table.__tablename__}")


@cache
def last_rows(table: Table, kind: tuple[bool, bool], columns: tuple[str, ...]) -> Select[Any]:
    """For each place these columns of the row that began last by a moment, NULLs where nothing
    did; several rows where some that lasted no time began together.

    An outer join, also for the databases' sake: SQLite prepares an inner one by reading the whole
    table, where it takes that for small (a Bloom filter).
    """
    last, row = last_starts(table, kind), aliased(table)
    same = and_(
        row.camera == last.c.camera, row.zone == last.c.zone, row.started_at == last.c.start
    )
    chosen = (getattr(row, name) for name in columns)
    return select(last.c.camera, last.c.zone, *chosen).outerjoin_from(last, row, same)


def _hops(table: Table, *, one_camera: bool) -> CTE:
    """Places in the index's order. After a camera's last zone comes a row without a zone, from
    which the next step goes to the next camera."""
    camera: Any = _given("place_camera") if one_camera else _next_camera(table, None)
    first = select(camera.label("camera"), _next_zone(table, camera, None).label("zone"))
    places = first.cte(f"places_{table.__tablename__}", recursive=True)
    camera, zone = places.c.camera, places.c.zone
    in_camera = _next_zone(table, camera, zone)
    if one_camera:
        return places.union_all(select(camera, in_camera).where(zone.is_not(None)))
    following = _next_camera(table, camera)
    step = select(
        case((zone.is_(None), following), else_=camera),
        case((zone.is_(None), _next_zone(table, following, None)), else_=in_camera),
    )
    return places.union_all(step.where(camera.is_not(None)))


def _next_camera(table: Table, after: Any) -> Any:
    row = aliased(table)
    query = select(func.min(row.camera))
    if after is not None:
        query = query.where(row.camera > after)
    return query.correlate_except(row).scalar_subquery()


def _next_zone(table: Table, camera: Any, after: Any) -> Any:
    row = aliased(table)
    query = select(func.min(row.zone)).where(row.camera == camera)
    if after is not None:
        query = query.where(row.zone > after)
    return query.correlate_except(row).scalar_subquery()


def _given(name: str) -> Any:
    """A name from outside; all databases must be told that it is text."""
    return cast(bindparam(name, type_=String), String(NAME_LENGTH))
