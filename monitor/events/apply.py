"""What one message does to the database: idempotent, and the same in any order of arrival.

Applying a message twice changes nothing. A close that arrives before its open makes a row
that the open completes. Times only widen a span, the summary with more scores wins, and the
first end stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.events.models import OccupancyEvent
from monitor.messages import EndReason, PresenceState, Progress, Summary, Transition
from monitor.telemetry import get_logger

Message = Transition | Progress

CLOCK_STEP = timedelta(hours=1)
"""Overlaps up to this long are taken for a stepped clock and cut; longer ones are kept as they
are, for then it was the earlier event's clock that was wrong."""

_NOTHING = Summary(0.0, 0.0, 0)

log = get_logger(__name__)


def apply(session: Session, message: Message, now: datetime) -> None:
    """Merge one message into the tables; `now` is noted as the time of the change."""
    if isinstance(message, Progress):
        _go_on(session, message, now)
    elif message.event_id is None:
        return
    elif message.current is PresenceState.OCCUPIED:
        _open(session, message, message.event_id, now)
    else:
        _close(session, message, message.event_id, now)


def set_snapshot(session: Session, event_id: UUID, path: str, now: datetime) -> None:
    """Note where the event's picture lies."""
    row = session.get(OccupancyEvent, event_id)
    if row is not None and row.snapshot != path:
        row.snapshot = path
        row.updated_at = now


def coalesce(messages: Iterable[Message]) -> list[Message]:
    """Without the Progress that a later message of the same event makes worthless.

    Summaries are cumulative, so only the last one counts; its snapshot, if it brings none, is
    the latest earlier one.
    """
    kept: list[Message] = []
    last: dict[UUID, int] = {}
    for message in messages:
        at = last.get(message.event_id) if message.event_id else None
        if isinstance(message, Progress) and at is not None:
            earlier = kept[at]
            if isinstance(earlier, Progress):
                kept[at] = _with_snapshot(message, earlier.snapshot)
                continue
        if message.event_id is not None:
            last[message.event_id] = len(kept)
        kept.append(message)
    return kept


def _with_snapshot(message: Progress, earlier: bytes | None) -> Progress:
    if message.snapshot is not None or earlier is None:
        return message
    return Progress(
        message.event_id, message.camera, message.zone, message.seen, message.summary, earlier
    )


def _open(session: Session, opening: Transition, event_id: UUID, now: datetime) -> None:
    row = session.get(OccupancyEvent, event_id)
    if row is None:
        row = _new(session, opening, event_id, opening.at.utc, now)
    elif opening.at.utc < row.started_at:
        start = _after_previous(session, opening, event_id, opening.at.utc)
        _change(row, "started_at", min(row.started_at, start), now)
    _change(row, "confirmed_at", min(row.confirmed_at, opening.confirmed.utc), now)
    if not row.settings:
        _change(row, "settings", dict(opening.settings), now)
    _describe(row, opening.model_id, opening.summary, now)


def _close(session: Session, closing: Transition, event_id: UUID, now: datetime) -> None:
    row = session.get(OccupancyEvent, event_id)
    if row is None:
        row = _new(session, closing, event_id, closing.at.utc, now)
    _describe(row, closing.model_id, closing.summary, now)
    if row.ended_at is None:
        end(row, closing.at.utc, closing.end_reason or EndReason.VACATED, now)


def _go_on(session: Session, progress: Progress, now: datetime) -> None:
    row = session.get(OccupancyEvent, progress.event_id)
    if row is None:
        row = _new(session, progress, progress.event_id, progress.seen.utc, now)
    _describe(row, "", progress.summary, now)
    _change(row, "last_seen_at", max(row.last_seen_at, progress.seen.utc), now)


def end(row: OccupancyEvent, at: datetime, reason: EndReason, now: datetime) -> None:
    """Close an event; never before it started, even when the wall clock stepped back."""
    row.ended_at = max(at, row.started_at)
    row.last_seen_at = max(row.last_seen_at, row.ended_at)
    row.end_reason = reason
    row.updated_at = now


def _new(
    session: Session, message: Message, event_id: UUID, start: datetime, now: datetime
) -> OccupancyEvent:
    """A row for a first message; another event still open in the zone ends here."""
    still_open = session.scalars(
        select(OccupancyEvent).where(
            OccupancyEvent.is_open == 1,
            OccupancyEvent.camera == message.camera,
            OccupancyEvent.zone == message.zone,
        )
    ).all()
    for other in still_open:
        log.warning(
            "an open event is superseded",
            camera=message.camera,
            zone=message.zone,
            ended=str(other.id),
            by=str(event_id),
        )
        end(other, other.last_seen_at, EndReason.RESTART, now)
    session.flush()  # the end must reach the database before the new row does
    start = _after_previous(session, message, event_id, start)
    row = OccupancyEvent(
        id=event_id,
        camera=message.camera,
        zone=message.zone,
        started_at=start,
        confirmed_at=message.confirmed.utc if isinstance(message, Transition) else start,
        last_seen_at=start,
        peak_score=0.0,
        mean_score=0.0,
        score_count=0,
        model_id="",
        settings={},
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    return row


def _after_previous(
    session: Session, message: Message, event_id: UUID, start: datetime
) -> datetime:
    """`start`, or the end of the zone's previous event where a stepped clock made them overlap."""
    previous_end = session.scalars(
        select(OccupancyEvent.ended_at)
        .where(
            OccupancyEvent.camera == message.camera,
            OccupancyEvent.zone == message.zone,
            OccupancyEvent.started_at <= start + CLOCK_STEP,
            OccupancyEvent.id != event_id,
        )
        .order_by(OccupancyEvent.started_at.desc())
        .limit(1)
    ).first()
    if previous_end is not None and start < previous_end <= start + CLOCK_STEP:
        return previous_end
    return start


def _describe(row: OccupancyEvent, model_id: str, summary: Summary | None, now: datetime) -> None:
    if model_id and not row.model_id:
        _change(row, "model_id", model_id, now)
    if (summary := summary or _NOTHING).score_count > row.score_count:
        _change(row, "score_count", summary.score_count, now)
        _change(row, "mean_score", summary.mean_score, now)
        _change(row, "peak_score", summary.peak_score, now)


def _change(row: OccupancyEvent, name: str, value: object, now: datetime) -> None:
    """Set a column only where it differs, so that a repeated message leaves no trace."""
    if getattr(row, name) != value:
        setattr(row, name, value)
        row.updated_at = now
