"""What is kept: by age, by count, by disk. The job and `db retention` do the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from monitor.alerts.models import AlertRow, DeliveryRow, DoorRow, GrantRow, OverrideRow
from monitor.alerts.outbox import DeliveryState
from monitor.events.history import delete_score_history_before, oldest_score
from monitor.events.holds import is_held
from monitor.events.models import CameraHealthRow, Coverage, OccupancyEvent, ScoreMinute
from monitor.events.snapshots import SnapshotStore
from monitor.jobs.disk import database_bytes, folder_bytes, free_bytes
from monitor.jobs.limits import Gone, Limits, Why
from monitor.jobs.sweeper import Sweeper
from monitor.storage import audit

DAY = timedelta(days=1)
"""What is younger never goes because other programs fill the disk."""


@dataclass(frozen=True, slots=True)
class Report:
    """What went, and the bytes by which the limits of the disk are missed all the same."""

    gone: tuple[Gone, ...]
    lacking_bytes: int


def sweep(
    engine: Engine,
    store: SnapshotStore,
    limits: Limits,
    *,
    actor: str = "retention",
    dry_run: bool = False,
) -> Report:
    """Delete all that is beyond the limits; with `dry_run` only say what would go.

    Open events, held events and their snapshots stay in any case. Every batch is noted in the
    audit log in the transaction that deletes it. Raises SQLAlchemyError when the database is
    away, OSError when the snapshot folder cannot be read.
    """
    return _Sweep(engine, store, limits, actor=actor, dry_run=dry_run).run()


class _Sweep:
    """One run. In a dry run the later rules reckon with what the earlier ones would have taken."""

    def __init__(
        self, engine: Engine, store: SnapshotStore, limits: Limits, *, actor: str, dry_run: bool
    ) -> None:
        self._engine, self._store, self._limits = engine, store, limits
        self._actor, self._dry_run = actor, dry_run
        self._sweeper = Sweeper(engine, store, actor=actor, dry_run=dry_run)
        self._gone: list[Gone] = []

    def run(self) -> Report:
        """All rules in order."""
        limits = self._limits
        lacking = [0]
        self._gone += self._by_age()
        if limits.max_events is not None:
            self._gone.append(self._by_count(limits.max_events))
        if limits.max_disk is not None:
            lacking.append(self._by_disk(limits.max_disk))
        if limits.min_free is not None:
            lacking.append(self._by_free(limits.min_free))
        return Report(_summed(self._gone), max(lacking))

    def _by_age(self) -> Iterator[Gone]:
        limits, table, age = self._limits, OccupancyEvent, Why.AGE
        # What ended before a moment started before it: that is where an index helps.
        old = and_(table.started_at < limits.events, table.ended_at < limits.events)
        yield self._sweeper.events(old, age)
        fading = and_(table.started_at < limits.snapshots, table.ended_at < limits.snapshots)
        yield self._sweeper.pictures(and_(fading, table.ended_at >= limits.events), age)
        yield self._sweeper.strays(min(limits.snapshots, limits.now - DAY))
        for kind, of in (("coverage", Coverage), ("camera health", CameraHealthRow)):
            yield self._sweeper.rows(kind, of.id, of.ended_at < limits.events, age)
        for kind, key, which in _alerts(limits.alerts):
            yield self._sweeper.rows(kind, key, which, age)
        yield self._scores(limits.score_history, age)

    def _by_count(self, most: int) -> Gone:
        table, limits = OccupancyEvent, self._limits
        stays = or_(table.ended_at >= limits.events, is_held(table.id))
        with Session(self._engine) as session:
            count = session.scalar(select(func.count()).select_from(table).where(stays)) or 0
        return self._sweeper.events(table.ended_at >= limits.events, Why.COUNT, count - most)

    def _by_disk(self, most: int) -> int:
        """Snapshots, then days of the score history, then events; the bytes still too many.

        Rows count by their share of a SQLite database, so that a run takes rather too little and
        the next one goes on. A server's disk is the server's business.
        """
        if (need := self._too_many(most)) > 0:
            self._gone.append(self._pictures(self._limits.snapshots, need))
        while (need := self._too_many(most)) > 0 and database_bytes(self._engine):
            first = oldest_score(self._engine)
            if first is None or first + DAY > self._limits.now - DAY:
                return self._events_for(need)
            self._gone.append(self._scores(first + DAY, Why.DISK))
            if self._dry_run:
                break
        return max(0, need)

    def _by_free(self, least: int) -> int:
        """Only snapshots older than a day: whoever fills the disk may be somebody else."""
        need = least - free_bytes(self._store.folder) - self._freed()
        if need <= 0:
            return 0
        taken = self._pictures(self._limits.snapshots, need, before=self._limits.now - DAY)
        self._gone.append(taken)
        return max(0, need - taken.freed_bytes)

    def _pictures(self, since: datetime, need: int, before: datetime | None = None) -> Gone:
        ended = OccupancyEvent.ended_at
        which = ended >= since if before is None else and_(ended >= since, ended < before)
        return self._sweeper.pictures(which, Why.DISK, need)

    def _events_for(self, need: int) -> int:
        """Delete as many events as make up `need` bytes of the database, as far as one can tell."""
        with Session(self._engine) as session:
            count = session.scalar(select(func.count()).select_from(OccupancyEvent)) or 0
        each = database_bytes(self._engine) / max(1, count)
        which = OccupancyEvent.ended_at >= self._limits.events
        taken = self._sweeper.events(which, Why.DISK, round(need / each + 0.5))
        self._gone.append(taken)
        return max(0, need - round(taken.rows * each))

    def _too_many(self, most: int) -> int:
        used = folder_bytes(self._store.folder) + database_bytes(self._engine)
        return used - self._freed() - most

    def _freed(self) -> int:
        """Bytes that only a dry run still finds on the disk."""
        return sum(each.freed_bytes for each in self._gone) if self._dry_run else 0

    def _scores(self, before: datetime, why: Why) -> Gone:
        kind = "score history"
        if self._dry_run:
            with Session(self._engine) as session:
                old = select(func.count()).where(ScoreMinute.minute < before)
                return Gone(kind, why, session.scalar(old) or 0)
        rows = delete_score_history_before(self._engine, before)
        if rows:
            details = {"why": why.value, "count": rows, "before": before.isoformat()}
            audit.record(
                self._engine, actor=self._actor, action="delete", subject=kind, details=details
            )
        return Gone(kind, why, rows)


def _summed(gone: Iterable[Gone]) -> tuple[Gone, ...]:
    """One line for each kind and reason, without those that took nothing."""
    sums: dict[tuple[str, Why], Gone] = {}
    for each in gone:
        so_far = sums.get((each.kind, each.why))
        sums[each.kind, each.why] = so_far + each if so_far else each
    return tuple(each for each in sums.values() if each.rows)


def _alerts(
    before: datetime,
) -> Iterator[tuple[str, InstrumentedAttribute[Any], ColumnElement[bool]]]:
    """What of the alerts room is old; what a channel still owes, or a held event caused, stays."""
    owed = select(DeliveryRow.id).where(
        DeliveryRow.alert_id == AlertRow.id, DeliveryRow.state == DeliveryState.PENDING.value
    )
    free = or_(AlertRow.event_id.is_(None), ~is_held(AlertRow.event_id))
    yield "alerts", AlertRow.id, and_(AlertRow.at < before, ~owed.exists(), free)
    yield "grants", GrantRow.id, GrantRow.until < before
    yield "door events", DoorRow.id, DoorRow.at < before
    yield "overrides", OverrideRow.id, OverrideRow.until < before
