"""What one channel owes, as the database knows it: what may be tried now, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, Select, Update, and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from monitor.alerts.models import AlertRow, DeliveryRow
from monitor.alerts.notices import Notice
from monitor.alerts.outbox import DeliveryState
from monitor.alerts.turnstile import Turnstile
from monitor.storage.database import writing

BATCH = 32
"""Deliveries noted in one transaction: what a kill -9 may send twice."""

_PENDING = DeliveryState.PENDING.value


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that may be tried. Deliveries of one `place` go in order."""

    id: int
    place: str
    attempts: int
    owed_since: datetime
    expires_at: datetime
    last_error: str
    notice: Notice


@dataclass(frozen=True, slots=True)
class Result:
    """What to note of a delivery: sent, dead, or when to try again."""

    id: int
    state: DeliveryState
    at: datetime
    error: str


class Backlog:
    """The deliveries of one channel. Every method raises SQLAlchemyError."""

    def __init__(
        self,
        engine: Engine,
        channel: str,
        *,
        picture: Callable[[UUID], bytes | None],
        turnstile: Turnstile,
    ) -> None:
        self._engine = writing(engine)
        self._channel = channel
        self._picture = picture
        self._turnstile = turnstile

    def due(self, now: datetime, *, trial: bool) -> list[Due]:
        """What may be tried now, in order; zones whose earlier delivery waits are left out.

        For the `trial` of a channel that does not work it is the first one of some zone, even if
        it waits for its next try, for it was the channel that failed; the zone tried least goes
        first, so that one delivery that always fails does not keep the channel closed.
        """
        query = self._trial(now) if trial else self._ready(now)
        with Session(self._engine.execution_options(writes=False)) as session:
            found = session.execute(query).all()
            return [self._due(session, row, alert) for row, alert in found]

    def settle(self, results: Sequence[Result], *, hurry_at: datetime | None) -> None:
        """Note what came of tries; with `hurry_at` whatever waits for its next try is due then."""
        with self._turnstile.writing(), Session(self._engine) as session, session.begin():
            for result in results:
                session.execute(_noted(result))
            if hurry_at is not None:
                session.execute(self._hurried(hurry_at))

    def _ready(self, now: datetime) -> Select[DeliveryRow, AlertRow]:
        earlier = aliased(DeliveryRow)
        waiting = (
            select(earlier.place)
            .where(
                earlier.channel == self._channel,
                earlier.state == _PENDING,
                earlier.next_attempt_at > now,
                earlier.attempts > 0,
            )
            .distinct()
        )
        ready = and_(DeliveryRow.next_attempt_at <= now, DeliveryRow.place.not_in(waiting))
        return self._owed().where(ready).order_by(DeliveryRow.id).limit(BATCH)

    def _trial(self, now: datetime) -> Select[DeliveryRow, AlertRow]:
        earlier = aliased(DeliveryRow)
        heads = (
            select(func.min(earlier.id))
            .where(
                earlier.channel == self._channel,
                earlier.state == _PENDING,
                or_(earlier.next_attempt_at <= now, earlier.attempts > 0),
            )
            .group_by(earlier.place)
        )
        first = self._owed().where(DeliveryRow.id.in_(heads))
        return first.order_by(DeliveryRow.attempts, DeliveryRow.id).limit(1)

    def _owed(self) -> Select[DeliveryRow, AlertRow]:
        return (
            select(DeliveryRow, AlertRow)
            .join(AlertRow, AlertRow.id == DeliveryRow.alert_id)
            .where(DeliveryRow.channel == self._channel, DeliveryRow.state == _PENDING)
        )

    def _hurried(self, now: datetime) -> Update:
        return (
            update(DeliveryRow)
            .where(
                DeliveryRow.channel == self._channel,
                DeliveryRow.state == _PENDING,
                DeliveryRow.attempts > 0,
                DeliveryRow.next_attempt_at > now,
            )
            .values(next_attempt_at=now)
        )

    def _due(self, session: Session, row: DeliveryRow, alert: AlertRow) -> Due:
        event_id = alert.event_id
        notice = Notice(
            id=alert.id,
            key=row.key,
            rule=alert.rule,
            trigger=alert.trigger,
            severity=alert.severity,
            camera=alert.camera,
            zone=alert.zone,
            at=alert.at,
            title=alert.title,
            reasons=tuple(alert.reasons),
            count=alert.count,
            members=_members(session, alert),
            event_id=event_id,
            attempt=row.attempts + 1,
            picture=lambda: self._picture(event_id) if event_id else None,
        )
        owed = max(alert.window_until or row.created_at, row.created_at)
        return Due(row.id, row.place, row.attempts, owed, row.expires_at, row.last_error, notice)


def _noted(result: Result) -> Update:
    again = result.state is DeliveryState.PENDING
    return (
        update(DeliveryRow)
        .where(DeliveryRow.id == result.id)
        .values(
            state=result.state.value,
            attempts=DeliveryRow.attempts + 1,
            last_error=result.error,
            next_attempt_at=result.at if again else DeliveryRow.next_attempt_at,
            sent_at=result.at if result.state is DeliveryState.SENT else None,
        )
    )


def _members(session: Session, alert: AlertRow) -> tuple[str, ...]:
    """The places of the alerts that this one tells of, itself first."""
    if alert.count == 1:
        return (f"{alert.camera}/{alert.zone}".rstrip("/"),)
    children = session.execute(
        select(AlertRow.camera, AlertRow.zone)
        .where((AlertRow.parent_id == alert.id) | (AlertRow.id == alert.id))
        .order_by(AlertRow.raised_at)
        .limit(1000)
    )
    return tuple(dict.fromkeys(f"{camera}/{zone}".rstrip("/") for camera, zone in children))
