"""How long stays last: those that go on, and the longest ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Double, Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from monitor.events.coverage import seen_until
from monitor.events.database import explain, reading
from monitor.events.models import Coverage, OccupancyEvent
from monitor.events.places import Place, Where, last_rows
from monitor.events.queries import EventFilter, all_events, ask


@dataclass(frozen=True, slots=True)
class Stay:
    """An event and its end; of one that goes on, when its zone was last seen."""

    event: OccupancyEvent
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.end - self.event.started_at).total_seconds()


class OpenEnds:
    """Until when open events last: until their zones were last seen, at most until `now`, and
    until then where nothing is known of that. Asks the database when it is first asked."""

    def __init__(self, engine: Engine, where: Where, now: datetime) -> None:
        self._engine = engine
        self._where = where
        self._now = now
        self._seen: dict[Place, datetime] | None = None

    def of(self, event: OccupancyEvent) -> datetime:
        """The end of an open event. Raises DatabaseError."""
        if self._seen is None:
            self._seen = self._ask()
        end = self._seen.get((event.camera, event.zone), self._now)
        return max(event.started_at, end)

    def _ask(self) -> dict[Place, datetime]:
        columns = ("started_at", "ended_at", "last_seen_at")
        query = last_rows(Coverage, self._where.kind, columns)
        try:
            with Session(reading(self._engine)) as session:
                rows = session.execute(query, self._where.values(self._now)).all()
        except SQLAlchemyError as error:
            raise explain(error, self._engine.url) from error
        return {
            (row.camera, row.zone): seen_until(row, self._now) for row in rows if row.started_at
        }


def longest_stays(engine: Engine, wanted: EventFilter, now: datetime) -> list[Stay]:
    """The `wanted.limit` longest stays of the filter, whole, the longest first.

    The database looks at every event of the filter. Raises DatabaseError.
    """
    event, ends = OccupancyEvent, OpenEnds(engine, wanted.where, now)
    stays = [
        Stay(each, ends.of(each)) for each in all_events(engine, replace(wanted, open_only=True))
    ]
    if not wanted.open_only:
        try:
            with Session(reading(engine), expire_on_commit=False) as session:
                asked = ask(session, wanted)
                query = (
                    select(event)
                    .where(*asked.clauses, event.ended_at.is_not(None))
                    .order_by(_seconds_between(event.started_at, event.ended_at).desc())
                    .limit(wanted.limit)
                )
                ended = session.scalars(query, asked.values).all()
                stays += [Stay(each, each.ended_at or ends.of(each)) for each in ended]
        except SQLAlchemyError as error:
            raise explain(error, engine.url) from error
    stays.sort(key=lambda stay: (stay.seconds, stay.event.started_at), reverse=True)
    return stays[: wanted.limit]


class _seconds_between(GenericFunction[float]):  # noqa: N801 - an SQL function
    """From the first moment to the second, in the words of each database."""

    type = Double()
    inherit_cache = True


@compiles(_seconds_between, "sqlite")
def _in_sqlite(element: _seconds_between, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"((julianday({end}) - julianday({start})) * 86400.0)"


@compiles(_seconds_between, "postgresql")
def _in_postgresql(element: _seconds_between, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"EXTRACT(EPOCH FROM ({end} - {start}))"


@compiles(_seconds_between, "mysql", "mariadb")
def _in_mariadb(element: _seconds_between, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"(TIMESTAMPDIFF(MICROSECOND, {start}, {end}) / 1000000.0)"
