"""The outbox: alerts and what each channel owes them, written in the caller's transaction.

Nothing here commits. An alert's id follows from its cause, a delivery's key from alert, channel
and occasion; what is there already is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid5

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from monitor.alerts.models import AlertRow, DeliveryRow
from monitor.alerts.rules import NAMESPACE, Outcome, Verdict, Watch, title
from monitor.config.alerts import AlertConfig, RuleConfig

LONGEST_FLOOD = 600.0
"""Seconds to which the span of a rule that floods grows: in a flood each span doubles the last."""


class AlertState(StrEnum):
    """What has become of an alert."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    SUPPRESSED = "suppressed"


class DeliveryState(StrEnum):
    """What has become of a delivery."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


def place_of(row: AlertRow) -> str:
    """What the order of deliveries is kept for."""
    return f"{row.camera}/{row.zone}"


def put(
    session: Session, config: AlertConfig, watch: Watch, verdict: Verdict, now: datetime
) -> AlertRow | None:
    """Write the alert of a verdict and its deliveries; None when there is nothing to write."""
    if verdict.outcome is Outcome.NOTHING or session.get(AlertRow, watch.id) is not None:
        return None
    rule, cause = config.rules[watch.rule], watch.cause
    told = verdict.outcome is Outcome.TELL
    row = AlertRow(
        id=watch.id,
        rule=watch.rule,
        trigger=cause.trigger.value,
        severity=rule.severity.value,
        camera=cause.camera,
        zone=cause.zone,
        event_id=cause.event_id,
        at=watch.due,
        raised_at=now,
        title=title(rule, cause)[:255],
        reasons=verdict.reasons,
        state=(AlertState.OPEN if told else AlertState.SUPPRESSED).value,
        count=1,
        updated_at=now,
    )
    if told:
        parent = _parent(session, rule, row, now)
        if parent is None:
            _set_window(session, rule, row, now)
            if rule.escalate:
                row.escalate_at = now + timedelta(seconds=rule.escalate.after)
        else:
            row.parent_id = parent.id
            parent.count += 1
            parent.updated_at = now
    session.add(row)
    session.flush()
    if told and row.parent_id is None:
        owe(session, config, row, rule.channels, first_attempt=row.window_until or now, now=now)
    return row


def _parent(session: Session, rule: RuleConfig, row: AlertRow, now: datetime) -> AlertRow | None:
    """The alert of the rule that still gathers."""
    if not rule.coalesce:
        return None
    return session.scalars(
        select(AlertRow)
        .where(
            AlertRow.rule == row.rule,
            AlertRow.parent_id.is_(None),
            AlertRow.state != AlertState.SUPPRESSED.value,
            AlertRow.window_until > now,
        )
        .order_by(AlertRow.raised_at.desc())
        .limit(1)
    ).first()


def _set_window(session: Session, rule: RuleConfig, row: AlertRow, now: datetime) -> None:
    """Gather for `coalesce` seconds, or twice as long as last time while a flood goes on."""
    if not rule.coalesce:
        return
    span = rule.coalesce
    last = session.scalars(
        select(AlertRow)
        .where(
            AlertRow.rule == row.rule,
            AlertRow.parent_id.is_(None),
            AlertRow.window_until.is_not(None),
        )
        .order_by(AlertRow.raised_at.desc())
        .limit(1)
    ).first()
    if last is not None and last.count > 1 and last.window_until is not None:
        spent = (last.window_until - last.raised_at).total_seconds()
        if (now - last.window_until).total_seconds() < spent:
            span = max(span, min(2.0 * spent, LONGEST_FLOOD))
    row.window_until = now + timedelta(seconds=span)


def owe(
    session: Session,
    config: AlertConfig,
    row: AlertRow,
    channels: Iterable[str],
    *,
    first_attempt: datetime,
    now: datetime,
    occasion: str = "",
) -> None:
    """Note a delivery for each channel; `next_attempt_at` is set from the very beginning."""
    for name in dict.fromkeys(channels):
        channel = config.channels.get(name)
        if channel is None:
            continue  # a rule of an older configuration
        key = uuid5(NAMESPACE, f"{row.id}|{name}|{occasion}")
        present = select(DeliveryRow.id).where(DeliveryRow.key == key)
        if session.scalar(present) is not None:
            continue
        session.add(
            DeliveryRow(
                alert_id=row.id,
                channel=name,
                key=key,
                place=place_of(row),
                state=DeliveryState.PENDING.value,
                attempts=0,
                next_attempt_at=first_attempt,
                expires_at=first_attempt + timedelta(seconds=channel.expires),
                last_error="",
                created_at=now,
            )
        )


def last_told(session: Session, watch: Watch) -> datetime | None:
    """When the watch's rule last alerted (not merely recorded) in its zone, before the watch."""
    return session.scalar(
        select(func.max(AlertRow.at)).where(
            AlertRow.rule == watch.rule,
            AlertRow.camera == watch.cause.camera,
            AlertRow.zone == watch.cause.zone,
            AlertRow.state != AlertState.SUPPRESSED.value,
            AlertRow.at <= watch.due,
            AlertRow.id != watch.id,
        )
    )


def escalate(session: Session, config: AlertConfig, now: datetime) -> int:
    """Tell the next channels of alerts that nobody acknowledged in time; returns how many."""
    due = session.scalars(
        select(AlertRow).where(AlertRow.state == AlertState.OPEN.value, AlertRow.escalate_at <= now)
    ).all()
    for row in due:
        row.escalate_at = None
        rule = config.rules.get(row.rule)
        if rule is not None and rule.escalate is not None:
            owe(
                session,
                config,
                row,
                rule.escalate.channels,
                first_attempt=now,
                now=now,
                occasion="escalation",
            )
            row.reasons = [*row.reasons, f"nobody acknowledged in {rule.escalate.after:g} s"]
            row.updated_at = now
    return len(due)
