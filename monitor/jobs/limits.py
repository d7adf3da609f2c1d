"""What is kept, and what became of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from monitor.config import RetentionConfig
from monitor.config.alerts import AlertConfig


class Why(StrEnum):
    """What made something go."""

    AGE = "age"
    COUNT = "count"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Limits:
    """The configuration as moments and amounts.

    What ended before a moment goes. Snapshots never outlive their events.
    """

    now: datetime
    events: datetime
    snapshots: datetime
    score_history: datetime
    alerts: datetime
    max_events: int | None = None
    max_disk: int | None = None
    min_free: int | None = None

    @classmethod
    def of(cls, retention: RetentionConfig, alerts: AlertConfig, now: datetime) -> Limits:
        """The limits at this moment."""

        def ago(seconds: float) -> datetime:
            return now - timedelta(seconds=seconds)

        return cls(
            now=now,
            events=ago(retention.events),
            snapshots=ago(min(retention.snapshots, retention.events)),
            score_history=ago(retention.score_history),
            alerts=ago(alerts.keep),
            max_events=retention.max_events,
            max_disk=retention.max_disk,
            min_free=retention.min_free,
        )


@dataclass(frozen=True, slots=True)
class Gone:
    """What one rule took of one kind: rows, the bytes of their files, files that would not go."""

    kind: str
    why: Why
    rows: int
    freed_bytes: int = 0
    stuck: int = 0

    def __add__(self, more: Gone) -> Gone:
        """Both together, of the same kind and reason."""
        return Gone(
            self.kind,
            self.why,
            self.rows + more.rows,
            self.freed_bytes + more.freed_bytes,
            self.stuck + more.stuck,
        )
