"""Deleting in small transactions: rows with their entry in the audit log, then the files.

A crash in between leaves files that no row names, never a row whose evidence is gone; the next
sweep finds them. Held and open events are out of reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate, islice
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Engine,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from monitor.events.database import writing
from monitor.events.holds import is_held
from monitor.events.models import OccupancyEvent
from monitor.events.snapshots import SnapshotStore
from monitor.jobs.limits import Gone, Why
from monitor.storage import audit
from monitor.telemetry import get_logger

BATCH = 500
"""Rows deleted in one transaction: the writer waits for no longer than that takes."""

log = get_logger(__name__)


class _Old(NamedTuple):
    id: UUID
    started_at: datetime
    snapshot: str | None


class Sweeper:
    """Takes what it is told, or with `dry_run` only says what it would take.

    Raises SQLAlchemyError when the database is away.
    """

    def __init__(
        self, engine: Engine, store: SnapshotStore, *, actor: str, dry_run: bool = False
    ) -> None:
        self._engine = engine
        self._store = store
        self._actor = actor
        self._dry_run = dry_run
        self._foretold: set[str] = set()

    def events(self, which: ColumnElement[bool], why: Why, most: int | None = None) -> Gone:
        """Delete ended events with their snapshots, the oldest first, at most `most`."""
        total, last = Gone("events", why, 0), None
        while most is None or total.rows < most:
            batch = self._batch(which, last, BATCH if most is None else most - total.rows)
            if not batch:
                break
            last = batch[-1]
            total = self._take(batch, total, whole=True)
        return total

    def pictures(self, which: ColumnElement[bool], why: Why, need: int | None = None) -> Gone:
        """Delete snapshots of ended events that stay, the oldest first, until `need` bytes went."""
        which = and_(which, OccupancyEvent.snapshot.is_not(None))
        total, last = Gone("snapshots", why, 0), None
        while need is None or total.freed_bytes < need:
            batch = self._batch(which, last, BATCH)
            if not batch:
                break
            last = batch[-1]
            batch = [old for old in batch if old.snapshot not in self._foretold]
            if need is not None:
                sums = accumulate(self._size(old) for old in batch)
                enough = sum(total.freed_bytes + before < need for before in [0, *sums][:-1])
                batch = batch[:enough]
            total = self._take(batch, total, whole=False)
        return total

    def rows(
        self, kind: str, key: InstrumentedAttribute[Any], which: ColumnElement[bool], why: Why
    ) -> Gone:
        """Delete rows of a table that has no files."""
        if self._dry_run:
            with Session(self._engine) as session:
                return Gone(kind, why, session.scalar(select(func.count(key)).where(which)) or 0)
        gone = 0
        while True:
            with Session(writing(self._engine)) as session, session.begin():
                ids = session.scalars(select(key).where(which).limit(BATCH)).all()
                if not ids:
                    return Gone(kind, why, gone)
                session.execute(delete(key.class_).where(key.in_(ids)))
                self._note(session, kind, why, {"count": len(ids)})
            gone += len(ids)

    def strays(self, before: datetime) -> Gone:
        """Delete pictures that no event names, in the folders of days before that moment."""
        total = Gone("stray snapshots", Why.AGE, 0)
        for paths in _batched(self._store.old_paths(before)):
            with Session(self._engine) as session:
                query = select(OccupancyEvent.snapshot).where(OccupancyEvent.snapshot.in_(paths))
                named = set(session.scalars(query))
            strays = [_Old(UUID(int=0), before, path) for path in paths if path not in named]
            if self._dry_run or not strays:
                total = self._counted(strays, total)
                continue
            with Session(writing(self._engine)) as session, session.begin():
                details = {"count": len(strays), "first": paths[0]}
                self._note(session, total.kind, total.why, details)
            total = self._unlinked(strays, total)
        return total

    def _batch(self, which: ColumnElement[bool], last: _Old | None, most: int) -> Sequence[_Old]:
        """Ended events that are not held, oldest start first, after `last`."""
        table = OccupancyEvent
        query = (
            select(table.id, table.started_at, table.snapshot)
            .where(which, table.ended_at.is_not(None), ~is_held(table.id))
            .order_by(table.started_at, table.id)
            .limit(min(most, BATCH))
        )
        if last is not None:
            query = query.where(
                table.started_at >= last.started_at,
                or_(
                    table.started_at > last.started_at,
                    and_(table.started_at == last.started_at, table.id > last.id),
                ),
            )
        with Session(self._engine) as session:
            return [_Old(*row) for row in session.execute(query)]

    def _take(self, batch: Sequence[_Old], total: Gone, *, whole: bool) -> Gone:
        if not batch or self._dry_run:
            return self._counted(batch, total)
        table = OccupancyEvent
        with Session(writing(self._engine)) as session, session.begin():
            # A hold that was placed since the batch was read stands; one that comes now waits.
            query = (
                select(table.id, table.started_at, table.snapshot)
                .where(table.id.in_([old.id for old in batch]), ~is_held(table.id))
                .order_by(table.started_at)
                .with_for_update()
            )
            taken = [_Old(*row) for row in session.execute(query)]
            if not taken:
                return total
            ids = [old.id for old in taken]
            session.execute(
                delete(table).where(table.id.in_(ids))
                if whole
                else update(table).where(table.id.in_(ids)).values(snapshot=None)
            )
            first, final = taken[0].started_at, taken[-1].started_at
            span = {"first": first.isoformat(), "last": final.isoformat()}
            self._note(session, total.kind, total.why, {"count": len(taken), **span})
        return self._unlinked(taken, total)

    def _counted(self, batch: Sequence[_Old], total: Gone) -> Gone:
        freed = sum(map(self._size, batch))
        self._foretold |= {old.snapshot for old in batch if old.snapshot is not None}
        return total + Gone(total.kind, total.why, len(batch), freed)

    def _unlinked(self, taken: Sequence[_Old], total: Gone) -> Gone:
        """Delete the files of rows that are gone; one that will not go is a stray from now on."""
        freed = stuck = 0
        for old in taken:
            if old.snapshot is None:
                continue
            try:
                freed += self._store.delete(old.snapshot)
            except OSError as error:
                stuck += 1
                reason = error.strerror or str(error)
                log.error("an old snapshot cannot be deleted", path=old.snapshot, reason=reason)
        return total + Gone(total.kind, total.why, len(taken), freed, stuck)

    def _size(self, old: _Old) -> int:
        """Bytes of the picture, once: in a dry run it is still there for the next rule."""
        if old.snapshot is None or old.snapshot in self._foretold:
            return 0
        return self._store.size(old.snapshot)

    def _note(self, session: Session, kind: str, why: Why, details: dict[str, Any]) -> None:
        audit.record(
            session,
            actor=self._actor,
            action="delete",
            subject=kind,
            details={"why": why.value, **details},
        )


def _batched(paths: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(paths, BATCH)):
        yield batch
