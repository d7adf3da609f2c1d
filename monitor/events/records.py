"""An event as plain fields, the same for command line, files and web."""

from __future__ import annotations

from typing import Any

from monitor.events.models import OccupancyEvent

FIELDS = (
    "id",
    "camera",
    "zone",
    "started_at",
    "confirmed_at",
    "last_seen_at",
    "ended_at",
    "end_reason",
    "duration_s",
    "peak_score",
    "mean_score",
    "score_count",
    "model_id",
    "mark",
    "snapshot",
    "settings",
)
"""In the order of columns. `settings` holds the thresholds in force, the rest is plain."""


def event_record(event: OccupancyEvent) -> dict[str, Any]:
    """The event by FIELDS: ids and reasons as text, times as aware UTC; `duration_s` in seconds,
    None while it is open."""
    ended = event.ended_at
    record = {name: getattr(event, name, None) for name in FIELDS}
    return record | {
        "id": str(event.id),
        "end_reason": event.end_reason.value if event.end_reason else None,
        "duration_s": (ended - event.started_at).total_seconds() if ended else None,
        "mark": event.mark.value if event.mark else None,
    }
