"""From committed changes and passing time to alerts, inside the caller's transaction.

    transition, door event ──▶ zones, watches ──(due)──▶ verdict ──▶ outbox

A watch that waits is a row, so that a restart forgets none. One that has come due before the
change that would end it is judged first: late messages (the spool's) alert as timely ones do.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, or_, select
from sqlalchemy.orm import Session

from monitor.alerts import outbox
from monitor.alerts.access import door_events, entered_after, grants_of, use_up
from monitor.alerts.grants import was_let_through
from monitor.alerts.models import OverrideRow, WatchRow, ZoneRow
from monitor.alerts.rules import Cause, Knowledge, Watch, judge, plan
from monitor.alerts.schedules import Override
from monitor.config.alerts import AlertConfig, Trigger
from monitor.messages import EndReason, PresenceState, Transition

Zones = Iterable[tuple[str, str]]
_BATCH = 500


class Watching:
    """The rules of one configuration at work on a session's rows."""

    def __init__(self, config: AlertConfig, zones: Iterable[tuple[str, str]]) -> None:
        self._config = config
        self._zones = frozenset(zones)

    @property
    def has_rules(self) -> bool:
        """Whether there is anything to judge."""
        return bool(self._config.rules)

    def on_transition(self, session: Session, change: Transition, now: datetime) -> None:
        """A confirmed change of a zone is about to be committed."""
        row = session.get(ZoneRow, (change.camera, change.zone))
        if row is not None and change.confirmed.utc < row.confirmed_at:
            self._begin(session, _causes(change), now)
            return  # news of yesterday: it may alert, but changes nothing that is known since
        self._end(session, _ended_by(change), change.at.utc, now)
        if (change.camera, change.zone) not in self._zones:
            self._begin(session, _causes(change), now)
            return  # news of a zone that is watched no more: likewise
        if row is None:
            row = ZoneRow(camera=change.camera, zone=change.zone)
            session.add(row)
        elif change.end_reason is EndReason.VACATED:
            use_up(session, change.camera, change.zone, row.since, change.at.utc)
        row.state, row.since = change.current.value, change.at.utc
        row.confirmed_at, row.event_id = change.confirmed.utc, change.event_id
        session.flush()
        self._begin(session, _causes(change), now)
        if change.current is PresenceState.UNKNOWN:
            self._begin(session, self._camera_lost(session, change.camera), now)

    def start(self, session: Session, now: datetime) -> None:
        """A new process: nothing is seen yet, so VACANT of yesterday is UNKNOWN now.

        Nobody knows when yesterday's process ended, so what waited for a zone to stay vacant is
        dropped. OCCUPIED stays: presence has resumed it, or ended it in a message by now.
        """
        session.execute(delete(WatchRow).where(WatchRow.trigger == Trigger.VACANT.value))
        vacant = ZoneRow.state == PresenceState.VACANT.value
        for row in session.scalars(select(ZoneRow).where(vacant)):
            row.state, row.since = PresenceState.UNKNOWN.value, now
        session.flush()
        self.adopt(session, now)

    def adopt(self, session: Session, now: datetime) -> None:
        """Make the configuration's zones those that are known, new ones as UNKNOWN.

        Zones that are not configured are forgotten with what waits for them, all of them if
        there are no rules to tell.
        """
        watched = self._zones if self.has_rules else frozenset[tuple[str, str]]()
        cameras = {camera for camera, _ in watched}
        for watch in session.scalars(select(WatchRow)):
            whole = not watch.zone and watch.camera in cameras
            if not whole and (watch.camera, watch.zone) not in watched:
                session.delete(watch)
        rows = {(row.camera, row.zone): row for row in session.scalars(select(ZoneRow))}
        for place in rows.keys() - watched:
            session.delete(rows[place])
        for camera, zone in watched - rows.keys():
            row = ZoneRow(camera=camera, zone=zone, event_id=None, confirmed_at=now)
            row.state, row.since = PresenceState.UNKNOWN.value, now
            session.add(row)
        session.flush()
        for camera in sorted(cameras):
            self._begin(session, self._camera_lost(session, camera), now)

    def begin(self, session: Session, causes: Iterable[Cause], now: datetime) -> None:
        """Begin the watches of causes that come from elsewhere: doors, outages."""
        self._begin(session, causes, now)

    def end_door_held(self, session: Session, door: str, at: datetime, now: datetime) -> None:
        """The door was closed."""
        held = and_(WatchRow.door == door, WatchRow.trigger == Trigger.DOOR_HELD.value)
        self._end(session, held, at, now)

    def due(self, session: Session, now: datetime) -> int:
        """Judge what has come due; returns how many."""
        query = select(WatchRow).where(WatchRow.due_at <= now).order_by(WatchRow.due_at)
        rows = session.scalars(query.limit(_BATCH)).all()
        for row in rows:
            self._settle(session, row, now)
        return len(rows)

    def _begin(self, session: Session, causes: Iterable[Cause], now: datetime) -> None:
        for cause in causes:
            for watch in plan(self._config, cause):
                if watch.due <= max(now, cause.at):
                    self._judge(session, watch, now)
                elif session.get(WatchRow, watch.id) is None:
                    session.add(_row(watch))

    def _end(
        self, session: Session, which: ColumnElement[bool], at: datetime, now: datetime
    ) -> None:
        """Watches that a change at `at` ends: judged if they were due before it, then gone."""
        for row in session.scalars(select(WatchRow).where(which)).all():
            if row.due_at <= at:
                self._settle(session, row, now)
            else:
                session.delete(row)

    def _settle(self, session: Session, row: WatchRow, now: datetime) -> None:
        if row.rule in self._config.rules:
            self._judge(session, _watch(row), now)
        session.delete(row)

    def _judge(self, session: Session, watch: Watch, now: datetime) -> None:
        known = knowledge(session, self._config, watch)
        outbox.put(session, self._config, watch, judge(self._config, watch, known), now)

    def _camera_lost(self, session: Session, camera: str) -> list[Cause]:
        """A camera is lost once none of its zones is known."""
        rows = session.scalars(select(ZoneRow).where(ZoneRow.camera == camera)).all()
        if not rows or any(row.state != PresenceState.UNKNOWN.value for row in rows):
            return []
        since = max(row.since for row in rows)
        return [Cause(Trigger.CAMERA_LOST, camera, "", since, f"{camera}@{since.isoformat()}")]


def knowledge(session: Session, config: AlertConfig, watch: Watch) -> Knowledge:
    """What the database knows that a verdict depends on."""
    cause = watch.cause
    zone = session.get(ZoneRow, (cause.camera, cause.zone)) if cause.zone else None
    return Knowledge(
        state=PresenceState(zone.state) if zone else PresenceState.UNKNOWN,
        last_told=outbox.last_told(session, watch),
        overrides=overrides(session),
        grants=(
            grants_of(session, cause.camera, cause.zone, cause.at)
            if cause.trigger is Trigger.OCCUPIED_WITHOUT_GRANT
            else ()
        ),
        entered_again=(
            cause.trigger is Trigger.STILL_OCCUPIED_AFTER_EXIT
            and entered_after(session, cause.door, cause.at)
        ),
        let_through=(
            cause.trigger is Trigger.DOOR_FORCED
            and cause.door in config.doors
            and was_let_through(
                door_events(session, cause.door, cause.at),
                cause.at,
                config.doors[cause.door].unlock,
            )
        ),
    )


def overrides(session: Session) -> list[Override]:
    """Everything that was armed or disarmed by hand."""
    return [
        Override(row.schedule, row.armed, row.since, row.until, row.who)
        for row in session.scalars(select(OverrideRow))
    ]


def _causes(change: Transition) -> list[Cause]:
    at, place = change.at.utc, (change.camera, change.zone)
    if change.current is PresenceState.OCCUPIED:
        return _occupied(*place, at, change.event_id)
    causes = []
    if change.end_reason is EndReason.VACATED:
        subject = str(change.event_id)
        causes.append(Cause(Trigger.VACATED, *place, at, subject, change.event_id))
    if change.current is PresenceState.VACANT:
        subject = f"{change.camera}/{change.zone}@{at.isoformat()}"
        causes.append(Cause(Trigger.VACANT, *place, at, subject))
    return causes


def _occupied(camera: str, zone: str, at: datetime, event_id: UUID | None) -> list[Cause]:
    return [
        Cause(trigger, camera, zone, at, str(event_id), event_id)
        for trigger in (Trigger.OCCUPIED, Trigger.OCCUPIED_WITHOUT_GRANT)
    ]


def _ended_by(change: Transition) -> ColumnElement[bool]:
    """Which watches cannot go on after the change."""
    here = and_(WatchRow.camera == change.camera, WatchRow.zone == change.zone)
    over = [
        trigger.value
        for trigger, state in (
            (Trigger.OCCUPIED, PresenceState.OCCUPIED),
            (Trigger.VACANT, PresenceState.VACANT),
        )
        if change.current is not state
    ]
    ended = and_(here, WatchRow.trigger.in_(over))
    if change.current is PresenceState.UNKNOWN:
        return ended
    lost = and_(WatchRow.camera == change.camera, WatchRow.trigger == Trigger.CAMERA_LOST.value)
    return or_(ended, lost)


def _row(watch: Watch) -> WatchRow:
    cause = watch.cause
    return WatchRow(
        id=watch.id,
        rule=watch.rule,
        trigger=cause.trigger.value,
        camera=cause.camera,
        zone=cause.zone,
        door=cause.door,
        event_id=cause.event_id,
        since=cause.at,
        due_at=watch.due,
        detail=cause.detail[:255],
    )


def _watch(row: WatchRow) -> Watch:
    cause = Cause(
        trigger=Trigger(row.trigger),
        camera=row.camera,
        zone=row.zone,
        at=row.since,
        subject="",
        event_id=row.event_id,
        door=row.door,
        detail=row.detail,
    )
    return Watch(row.id, row.rule, cause, row.due_at)
