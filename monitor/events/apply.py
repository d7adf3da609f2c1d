"""What one message does to the database: idempotent, and the same in any order of arrival.

Applying a message twice changes nothing. A close that arrives before its open makes a row
that the open completes. Times only widen a span, the summary with more scores wins, and the
first end stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from monitor.events.coverage import CoverageLedger
from monitor.events.health import record
from monitor.events.models import OccupancyEvent
from monitor.messages import (
    CameraHealth,
    EndReason,
    PresenceState,
    Progress,
    Summary,
    Transition,
)
from monitor.telemetry import get_logger

Message = Transition | Progress | CameraHealth
OfZone = Transition | Progress

CLOCK_STEP = timedelta(hours=1)
"""Overlaps up to this long are taken for a stepped clock and cut; longer ones are kept as they
are, for then it was the earlier event's clock that was wrong."""

_NOTHING = Summary(0.0, 0.0, 0)
_Place = tuple[str, str]

log = get_logger(__name__)


def apply(session: Session, messages: Sequence[Message], now: datetime) -> None:
    """Merge messages into the tables; `now` is noted as the time of the changes."""
    batch = _Batch(session, [m for m in messages if not isinstance(m, CameraHealth)], now)
    with session.no_autoflush:
        for message in messages:
            if isinstance(message, CameraHealth):
                record(session, message)
            else:
                batch.apply(message)


def set_snapshot(session: Session, event_id: UUID, path: str, now: datetime) -> bool:
    """Note where the event's picture lies; False if there is no such event any more."""
    row = session.get(OccupancyEvent, event_id)
    if row is not None and row.snapshot != path:
        row.snapshot = path
        row.updated_at = now
    return row is not None


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


def end(row: OccupancyEvent, at: datetime, reason: EndReason, now: datetime) -> None:
    """Close an event; never before it started, even when the wall clock stepped back."""
    row.ended_at = max(at, row.started_at)
    row.last_seen_at = max(row.last_seen_at, row.ended_at)
    row.end_reason = reason
    row.updated_at = now


class _Batch:
    """The rows that some messages concern, read at once; written by the session's flush."""

    def __init__(self, session: Session, messages: Sequence[OfZone], now: datetime) -> None:
        self._session = session
        self._now = now
        ids = {message.event_id for message in messages if message.event_id is not None}
        cameras = {message.camera for message in messages}
        query = select(OccupancyEvent).where(
            or_(
                OccupancyEvent.id.in_(ids),
                and_(OccupancyEvent.is_open == 1, OccupancyEvent.camera.in_(cameras)),
            )
        )
        self._rows = {row.id: row for row in session.scalars(query)} if ids else {}
        self._freed: set[_Place] = set()
        """Zones whose open row has ended in the session, but not yet in the database."""
        self._watch = CoverageLedger(session, cameras)

    def apply(self, message: OfZone) -> None:
        """Merge one message."""
        if isinstance(message, Transition) and message.current is PresenceState.UNKNOWN:
            self._watch.lost(message.camera, message.zone, message.at.utc)
        else:
            at = message.seen if isinstance(message, Progress) else message.at
            self._watch.seen(message.camera, message.zone, at.utc)
        if message.event_id is None:
            return
        if isinstance(message, Progress):
            self._go_on(message)
        elif message.current is PresenceState.OCCUPIED:
            self._open(message, message.event_id)
        else:
            self._close(message, message.event_id)

    def _open(self, opening: Transition, event_id: UUID) -> None:
        row = self._rows.get(event_id)
        if row is None:
            row = self._new(opening, event_id, opening.at.utc)
        elif opening.at.utc < row.started_at:
            start = self._after_previous(opening, event_id, opening.at.utc)
            self._change(row, "started_at", min(row.started_at, start))
        self._change(row, "confirmed_at", min(row.confirmed_at, opening.confirmed.utc))
        if not row.settings:
            self._change(row, "settings", dict(opening.settings))
        self._describe(row, opening.model_id, opening.summary)

    def _close(self, closing: Transition, event_id: UUID) -> None:
        row = self._rows.get(event_id) or self._new(closing, event_id, closing.at.utc)
        self._describe(row, closing.model_id, closing.summary)
        if row.ended_at is None:
            self._end(row, closing.at.utc, closing.end_reason or EndReason.VACATED)

    def _go_on(self, progress: Progress) -> None:
        row = self._rows.get(progress.event_id)
        row = row or self._new(progress, progress.event_id, progress.seen.utc)
        self._describe(row, "", progress.summary)
        self._change(row, "last_seen_at", max(row.last_seen_at, progress.seen.utc))

    def _end(self, row: OccupancyEvent, at: datetime, reason: EndReason) -> None:
        end(row, at, reason, self._now)
        self._freed.add((row.camera, row.zone))

    def _new(self, message: OfZone, event_id: UUID, start: datetime) -> OccupancyEvent:
        """A row for a first message; another event still open in the zone ends here."""
        place = (message.camera, message.zone)
        for other in self._at(place):
            if other.ended_at is None:
                log.warning(
                    "an open event is superseded",
                    camera=message.camera,
                    zone=message.zone,
                    ended=str(other.id),
                    by=str(event_id),
                )
                self._end(other, other.last_seen_at, EndReason.RESTART)
        if place in self._freed:
            # A flush inserts before it updates: the end must be in the database before a new
            # open row of the zone is.
            self._session.flush()
            self._freed.clear()
        start = self._after_previous(message, event_id, start)
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
            created_at=self._now,
            updated_at=self._now,
        )
        self._session.add(row)
        self._rows[event_id] = row
        return row

    def _after_previous(self, message: OfZone, event_id: UUID, start: datetime) -> datetime:
        """`start`, or the end of the zone's previous event where a stepped clock lets them
        overlap."""
        table, latest = OccupancyEvent, start + CLOCK_STEP
        ends = self._session.scalars(
            select(table.ended_at)
            .where(
                table.camera == message.camera,
                table.zone == message.zone,
                table.started_at <= latest,
                table.id != event_id,
            )
            .order_by(table.started_at.desc())
            .limit(1)
        ).all()
        here = self._at((message.camera, message.zone))
        ends = [*ends, *(row.ended_at for row in here if row.id != event_id)]
        return max((end for end in ends if end and start < end <= latest), default=start)

    def _at(self, place: _Place) -> list[OccupancyEvent]:
        return [row for row in self._rows.values() if (row.camera, row.zone) == place]

    def _describe(self, row: OccupancyEvent, model_id: str, summary: Summary | None) -> None:
        if model_id and not row.model_id:
            self._change(row, "model_id", model_id)
        if (summary := summary or _NOTHING).score_count > row.score_count:
            self._change(row, "score_count", summary.score_count)
            self._change(row, "mean_score", summary.mean_score)
            self._change(row, "peak_score", summary.peak_score)

    def _change(self, row: OccupancyEvent, name: str, value: object) -> None:
        """Set a column only where it differs, so that a repeated message leaves no trace."""
        if getattr(row, name) != value:
            setattr(row, name, value)
            row.updated_at = self._now
