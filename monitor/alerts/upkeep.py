"""Counting what the outbox holds; what is old is deleted by `monitor.jobs.retention`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from monitor.alerts.models import DeliveryRow
from monitor.alerts.outbox import DeliveryState


@dataclass(frozen=True, slots=True)
class Queue:
    """What a channel owes: deliveries pending and dead, and the age in seconds of the oldest."""

    pending: int = 0
    dead: int = 0
    oldest: float = 0.0


def count_queues(session: Session, now: datetime) -> dict[str, Queue]:
    """The queue of every channel that owes something. Raises SQLAlchemyError."""
    query = (
        select(
            DeliveryRow.channel,
            DeliveryRow.state,
            func.count(),
            func.min(DeliveryRow.created_at),
        )
        .where(DeliveryRow.state != DeliveryState.SENT.value)
        .group_by(DeliveryRow.channel, DeliveryRow.state)
    )
    counts = {(channel, state): (count, oldest)
              for channel, state, count, oldest in session.execute(query).all()}  # fmt: skip
    queues = {}
    for name in {channel for channel, _ in counts}:
        pending, since = counts.get((name, DeliveryState.PENDING.value), (0, now))
        dead, _ = counts.get((name, DeliveryState.DEAD.value), (0, now))
        age = max(0.0, (now - since).total_seconds()) if pending else 0.0
        queues[name] = Queue(pending, dead, age)
    return queues
