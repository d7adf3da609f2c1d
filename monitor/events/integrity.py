"""`db check`: does the memory hold what it promises?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Engine, Uuid, exists, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.events.columns import UTCDateTime
from monitor.events.database import explain
from monitor.events.models import Hold, OccupancyEvent
from monitor.events.schema import check_known, head_revision
from monitor.events.snapshots import SnapshotStore
from monitor.events.spool import count_messages
from monitor.storage.chain import verify

OVERLAP = timedelta(seconds=1)
"""Shorter overlaps of two events of a zone are rounding, not damage."""


class Defect(StrEnum):
    """What can be wrong."""

    REVISION = "revision"
    DAMAGE = "damage"
    MISSING_SNAPSHOT = "missing_snapshot"
    STRAY_SNAPSHOT = "stray_snapshot"
    INVERTED = "inverted"
    OVERLAPPING = "overlapping"
    SPOOLED = "spooled"
    REJECTED = "rejected"
    AUDIT = "audit"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: `subject` is an event id, a path or the database."""

    defect: Defect
    subject: str
    detail: str


def check_database(
    engine: Engine, *, snapshots: SnapshotStore | None, spool: Path | None
) -> Iterator[Problem]:
    """Everything that is wrong, as it is found; nothing is changed.

    Without `snapshots` or `spool` those checks are left out. Raises DatabaseError when the
    database cannot be read at all or holds a schema this version does not know.
    """
    revision = check_known(engine)
    if revision != head_revision():
        yield Problem(
            Defect.REVISION, "database", f"schema {revision or 'none'}, needs {head_revision()}"
        )
        return
    try:
        yield from _damage(engine)
        with Session(engine) as session:
            yield from _inverted(session)
            yield from _overlapping(session)
            yield from _holds(session)
            if snapshots is not None:
                yield from _snapshots(session, snapshots)
        yield from _audit(engine)
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error
    if spool is not None:
        yield from _spool(spool, Defect.SPOOLED, "written when the monitor starts")
        yield from _spool(
            spool.with_name(f"{spool.name}.rejected"), Defect.REJECTED, "the database refused them"
        )


def _damage(engine: Engine) -> Iterator[Problem]:
    """SQLite's own check of pages, indexes and constraints."""
    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as connection:
        for (said,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if said != "ok":
                yield Problem(Defect.DAMAGE, "database", str(said))


def _inverted(session: Session) -> Iterator[Problem]:
    table = OccupancyEvent
    query = select(table.id, table.started_at, table.ended_at).where(
        table.ended_at < table.started_at
    )
    for row in session.execute(query):
        yield Problem(
            Defect.INVERTED, str(row.id), f"ends {row.ended_at}, before it starts {row.started_at}"
        )


def _overlapping(session: Session) -> Iterator[Problem]:
    table = OccupancyEvent
    place = (table.camera, table.zone)
    before = func.lag(table.id, type_=Uuid()).over(partition_by=place, order_by=table.started_at)
    before_ended = func.lag(table.ended_at, type_=UTCDateTime()).over(
        partition_by=place, order_by=table.started_at
    )
    spans = select(
        table.id,
        table.camera,
        table.zone,
        table.started_at,
        before.label("before"),
        before_ended.label("before_ended"),
    ).subquery()
    query = select(spans).where(
        spans.c.before.is_not(None),
        spans.c.before_ended.is_(None) | (spans.c.before_ended > spans.c.started_at),
    )
    for row in session.execute(query):
        if row.before_ended is None or row.before_ended - row.started_at > OVERLAP:
            until = row.before_ended or "now (open)"
            detail = f"starts {row.started_at} while {row.before} lasts until {until}"
            yield Problem(Defect.OVERLAPPING, str(row.id), f"{row.camera}/{row.zone}: {detail}")


def _holds(session: Session) -> Iterator[Problem]:
    """The database refuses to delete a held event; somebody got around that."""
    query = select(Hold).where(~exists().where(OccupancyEvent.id == Hold.event_id))
    for row in session.scalars(query):
        yield Problem(
            Defect.HOLD, str(row.event_id), f"held by {row.who} ({row.why}), but the event is gone"
        )


def _audit(engine: Engine) -> Iterator[Problem]:
    fault = verify(engine).fault
    if fault is not None:
        yield Problem(Defect.AUDIT, f"entry {fault.seq}", fault.what)


def _snapshots(session: Session, store: SnapshotStore) -> Iterator[Problem]:
    query = (
        select(OccupancyEvent.id, OccupancyEvent.snapshot)
        .where(OccupancyEvent.snapshot.is_not(None))
        .execution_options(yield_per=5000)
    )
    named: set[str] = set()
    for row in session.execute(query):
        named.add(row.snapshot)
        if not store.exists(row.snapshot):
            yield Problem(Defect.MISSING_SNAPSHOT, str(row.id), row.snapshot)
    for path in store.paths():
        if path not in named:
            yield Problem(Defect.STRAY_SNAPSHOT, path, "no event names it")


def _spool(path: Path, defect: Defect, meaning: str) -> Iterator[Problem]:
    if not path.is_file():
        return
    waiting, unreadable = count_messages(path)
    if waiting:
        yield Problem(defect, str(path), f"{waiting} messages; {meaning}")
    if unreadable:
        yield Problem(Defect.DAMAGE, str(path), f"{unreadable} bytes at the end are unreadable")
