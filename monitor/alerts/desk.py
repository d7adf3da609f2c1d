"""What people do with alerts: look, acknowledge, comment, close, send again. All of it is noted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, String, and_, cast, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from monitor.alerts.models import ActionRow, AlertRow, DeliveryRow
from monitor.alerts.outbox import AlertState, DeliveryState
from monitor.errors import NotFoundError, UsageError
from monitor.storage import audit
from monitor.storage.database import explain, writing

_HEX = 32


@dataclass(frozen=True, slots=True)
class AlertFile:
    """An alert with its deliveries, those it tells of, and what people did with it."""

    alert: AlertRow
    deliveries: Sequence[DeliveryRow]
    children: Sequence[AlertRow]
    actions: Sequence[ActionRow]


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session that commits at the end. Raises DatabaseError for the database's errors."""
    try:
        with Session(writing(engine), expire_on_commit=False) as session, session.begin():
            yield session
    except SQLAlchemyError as error:
        raise explain(error, engine.url) from error


def note(
    session: Session, action: str, subject: str, *, who: str, now: datetime, comment: str = ""
) -> None:
    """Write down what was done: for whoever looks at the alert, and into the audit log's chain.

    The chain is locked until the transaction ends: note when all else is done.
    """
    session.add(
        ActionRow(at=now, who=who[:64], action=action, subject=subject[:128], comment=comment)
    )
    audit.record(
        session, actor=who, action=action, subject=subject, details={"comment": comment}, at=now
    )


def find_alerts(
    engine: Engine,
    *,
    state: AlertState | None = None,
    rule: str | None = None,
    camera: str | None = None,
    since: datetime | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> Sequence[AlertRow]:
    """The newest alerts first; those that others tell of are left out. Raises DatabaseError.

    `after`: moment and id of the last alert of the page before.
    """
    query = select(AlertRow).where(AlertRow.parent_id.is_(None))
    for column, value in (
        (AlertRow.state, state.value if state else None),
        (AlertRow.rule, rule),
        (AlertRow.camera, camera),
    ):
        if value is not None:
            query = query.where(column == value)
    if since is not None:
        query = query.where(AlertRow.at >= since)
    if after is not None:
        at, ident = after
        query = query.where(or_(AlertRow.at < at, and_(AlertRow.at == at, AlertRow.id > ident)))
    query = query.order_by(AlertRow.at.desc(), AlertRow.id).limit(limit)
    with transaction(engine) as session:
        return session.scalars(query).all()


def count_deliveries(engine: Engine, alerts: Sequence[UUID]) -> Mapping[UUID, Counter[str]]:
    """How many deliveries of each alert are in each state. Raises DatabaseError."""
    query = (
        select(DeliveryRow.alert_id, DeliveryRow.state, func.count())
        .where(DeliveryRow.alert_id.in_(alerts))
        .group_by(DeliveryRow.alert_id, DeliveryRow.state)
    )
    counts: Mapping[UUID, Counter[str]] = defaultdict(Counter)
    with transaction(engine) as session:
        for alert, state, count in session.execute(query):
            counts[alert][state] = count
    return counts


def last_deeds(engine: Engine, alerts: Sequence[UUID]) -> Mapping[UUID, ActionRow]:
    """Who brought each alert into its state, where that was somebody. Raises DatabaseError."""
    states = [AlertState.ACKNOWLEDGED.value, AlertState.CLOSED.value]
    query = (
        select(ActionRow)
        .where(ActionRow.subject.in_(map(str, alerts)), ActionRow.action.in_(states))
        .order_by(ActionRow.id)
    )
    with transaction(engine) as session:
        return {UUID(row.subject): row for row in session.scalars(query)}


def open_file(engine: Engine, text: str) -> AlertFile:
    """Everything about the alert whose id begins with `text`. Raises UsageError, DatabaseError."""
    with transaction(engine) as session:
        alert = find(session, text)
        deliveries = select(DeliveryRow).where(DeliveryRow.alert_id == alert.id)
        children = select(AlertRow).where(AlertRow.parent_id == alert.id).order_by(AlertRow.at)
        done = select(ActionRow).where(ActionRow.subject == str(alert.id))
        return AlertFile(
            alert,
            session.scalars(deliveries.order_by(DeliveryRow.id)).all(),
            session.scalars(children.limit(1000)).all(),
            session.scalars(done.order_by(ActionRow.id)).all(),
        )


def find(session: Session, text: str) -> AlertRow:
    """The one alert whose id begins with `text`. Raises UsageError for none and for several."""
    start = text.strip().lower().replace("-", "")
    if not start or len(start) > _HEX or set(start) - set("0123456789abcdef"):
        raise UsageError(f"{text!r} is no alert id", remedy="`alerts list` shows them")
    if len(start) == _HEX:
        which = AlertRow.id == UUID(start)
    else:  # as text, for MariaDB orders UUIDs in a way of its own
        which = func.replace(cast(AlertRow.id, String), "-", "").startswith(start)
    found = session.scalars(select(AlertRow).where(which).limit(2)).all()
    if len(found) != 1:
        what, kind = "several alerts begin", UsageError
        if not found:
            what, kind = "no alert begins", NotFoundError
        raise kind(f"{what} with {text}", remedy="`alerts list` shows them")
    return found[0]


def act(
    engine: Engine,
    text: str,
    state: AlertState | None,
    *,
    who: str,
    now: datetime,
    comment: str = "",
) -> AlertRow:
    """Acknowledge or close an alert, or only comment on it (`state` None); noted with who and when.

    A closed alert stays closed, and neither state escalates any more. Raises UsageError.
    """
    with transaction(engine) as session:
        alert = find(session, text)
        if state is not None:
            if alert.state == AlertState.CLOSED and state is not AlertState.CLOSED:
                raise UsageError("the alert is closed already", where=str(alert.id))
            alert.state, alert.escalate_at, alert.updated_at = state.value, None, now
        action = state.value if state else "comment"
        note(session, action, str(alert.id), who=who, now=now, comment=comment[:1000])
        return alert


def dead_letters(engine: Engine, channel: str | None = None) -> Sequence[tuple[DeliveryRow, str]]:
    """Deliveries that were refused or expired, with the title of their alert, oldest first."""
    query = (
        select(DeliveryRow, AlertRow.title)
        .join(AlertRow, AlertRow.id == DeliveryRow.alert_id)
        .where(DeliveryRow.state == DeliveryState.DEAD.value)
        .order_by(DeliveryRow.id)
    )
    if channel is not None:
        query = query.where(DeliveryRow.channel == channel)
    with transaction(engine) as session:
        return [(row, title) for row, title in session.execute(query).all()]


def redrive(
    engine: Engine, numbers: Sequence[int], *, channel: str | None, who: str, now: datetime
) -> int:
    """Owe dead letters again: those numbered, or all (of a channel); returns how many.

    They get as long as they had before until they expire. Raises UsageError for a number that
    is no dead letter.
    """
    query = select(DeliveryRow).where(DeliveryRow.state == DeliveryState.DEAD.value)
    if numbers:
        query = query.where(DeliveryRow.id.in_(numbers))
    if channel is not None:
        query = query.where(DeliveryRow.channel == channel)
    with transaction(engine) as session:
        rows = session.scalars(query).all()
        if missing := set(numbers) - {row.id for row in rows}:
            raise UsageError(
                f"{', '.join(map(str, sorted(missing)))} is no dead letter",
                remedy="`alerts dead` lists them",
            )
        for row in rows:
            row.expires_at = now + (row.expires_at - row.created_at)
            row.state, row.attempts, row.next_attempt_at = DeliveryState.PENDING.value, 0, now
        for row in rows:
            note(session, "redrive", str(row.alert_id), who=who, now=now, comment=row.channel)
        return len(rows)


def actions(engine: Engine, limit: int) -> Sequence[ActionRow]:
    """What people did with alerts, grants and schedules, the newest first."""
    with transaction(engine) as session:
        return session.scalars(select(ActionRow).order_by(ActionRow.id.desc()).limit(limit)).all()
