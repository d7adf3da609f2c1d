"""Deleting what is old: a row and its snapshot go as one unit, open events never go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Engine, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from monitor.config import RetentionConfig
from monitor.events.database import writing
from monitor.events.models import Coverage, OccupancyEvent
from monitor.events.snapshots import SnapshotStore
from monitor.telemetry import get_logger

BATCH = 500
"""Events deleted in one transaction: the writer waits for no longer than that takes."""

log = get_logger(__name__)


class _Old(NamedTuple):
    id: UUID
    started_at: datetime
    snapshot: str | None


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Events that ended before `events` go; snapshots of those that ended before `snapshots`."""

    events: datetime
    snapshots: datetime


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed, and the snapshots it could not."""

    events: int = 0
    snapshots: int = 0
    freed_bytes: int = 0
    stuck: int = 0

    def __add__(self, other: Swept) -> Swept:
        return Swept(
            self.events + other.events,
            self.snapshots + other.snapshots,
            self.freed_bytes + other.freed_bytes,
            self.stuck + other.stuck,
        )


def cutoffs(retention: RetentionConfig, now: datetime) -> Cutoffs:
    """The ages of the configuration as moments; snapshots never outlive their events."""
    events = now - timedelta(seconds=retention.events)
    snapshots = now - timedelta(seconds=min(retention.snapshots, retention.events))
    return Cutoffs(events, snapshots)


def sweep(engine: Engine, store: SnapshotStore, limits: Cutoffs) -> Swept:
    """Delete all that is older than the limits; coverage lives as long as events do.

    The file goes first: a crash in between leaves a row that the next sweep finds again, never
    a file nobody knows of. A file that cannot be deleted keeps its row and is tried again.
    Raises SQLAlchemyError when the database is away.
    """
    swept = Swept()
    for old in _ended_before(engine, limits.events, with_snapshot=False):
        gone, result = _delete_files(store, old)
        with Session(writing(engine)) as session, session.begin():
            session.execute(delete(OccupancyEvent).where(OccupancyEvent.id.in_(gone)))
        swept += Swept(events=len(gone)) + result
    for old in _ended_before(engine, limits.snapshots, with_snapshot=True):
        gone, result = _delete_files(store, old)
        with Session(writing(engine)) as session, session.begin():
            session.execute(
                update(OccupancyEvent).where(OccupancyEvent.id.in_(gone)).values(snapshot=None)
            )
        swept += result
    with Session(writing(engine)) as session, session.begin():
        session.execute(delete(Coverage).where(Coverage.ended_at < limits.events))
    return swept


def _ended_before(engine: Engine, limit: datetime, *, with_snapshot: bool) -> Iterator[list[_Old]]:
    """Ended events in batches, oldest start first."""
    table = OccupancyEvent
    conditions = [table.started_at < limit, table.ended_at < limit]
    if with_snapshot:
        conditions.append(table.snapshot.is_not(None))
    last: _Old | None = None
    while True:
        query = (
            select(table.id, table.started_at, table.snapshot)
            .where(*conditions)
            .order_by(table.started_at, table.id)
            .limit(BATCH)
        )
        if last is not None:
            query = query.where(
                table.started_at >= last.started_at,
                or_(
                    table.started_at > last.started_at,
                    and_(table.started_at == last.started_at, table.id > last.id),
                ),
            )
        with Session(engine) as session:
            batch = [_Old(*row) for row in session.execute(query)]
        if not batch:
            return
        last = batch[-1]
        yield batch


def _delete_files(store: SnapshotStore, old: Sequence[_Old]) -> tuple[list[UUID], Swept]:
    """The events whose snapshots are gone now, and the account of it."""
    gone: list[UUID] = []
    snapshots = freed = stuck = 0
    for event in old:
        if event.snapshot is not None:
            try:
                freed += store.delete(event.snapshot)
            except OSError as error:
                stuck += 1
                log.error(
                    "an old snapshot cannot be deleted",
                    path=event.snapshot,
                    reason=error.strerror or str(error),
                )
                continue
            snapshots += 1
        gone.append(event.id)
    return gone, Swept(0, snapshots, freed, stuck)
