"""What an operator reads in the log: who came and went, once it is safely in the database."""

from __future__ import annotations

import threading
from collections import deque

from monitor.events.writer import Commit
from monitor.messages import (
    CameraHealth,
    EndReason,
    HealthCategory,
    PresenceState,
    Progress,
    Transition,
)
from monitor.telemetry import get_logger

KEPT_LATENCIES = 1024
"""Recent commits whose latency is kept."""

log = get_logger(__name__)


class Journal:
    """Hears of every committed message; logs confirmed changes and measures how long they took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._opened = 0

    def on_committed(self, commit: Commit) -> None:
        """Log a transition; called on the writer's thread."""
        message = commit.message
        if isinstance(message, CameraHealth):
            _tell_health(message)
            return
        if isinstance(message, Progress):
            return
        latency = commit.stamp.since(message.confirmed)
        with self._lock:
            self._latencies.append(latency)
            self._opened += message.current is PresenceState.OCCUPIED
        _tell(message)

    def opened(self) -> int:
        """Occupancy events that were opened since the start."""
        with self._lock:
            return self._opened

    def latencies(self) -> list[float]:
        """Seconds from the frame that confirmed a change to its commit, of recent changes."""
        with self._lock:
            return list(self._latencies)


def _tell_health(health: CameraHealth) -> None:
    what = {"camera": health.camera, "what": health.kind.value, "detail": health.detail}
    if health.ended is not None:
        log.info("the camera is itself again", **what)
    elif health.kind.category is HealthCategory.TAMPER:
        log.warning("the camera may have been tampered with", **what)
    else:
        log.info("the camera's picture changed", **what)


def _tell(change: Transition) -> None:
    place = {"camera": change.camera, "zone": change.zone}
    when = change.at.utc.astimezone()
    if change.current is PresenceState.OCCUPIED:
        assert change.summary is not None
        log.info(
            "somebody is here",
            **place,
            since=f"{when:%H:%M:%S}",
            score=round(change.summary.peak_score, 3),
        )
    elif change.end_reason is EndReason.VACATED:
        peak = round(change.summary.peak_score, 3) if change.summary else None
        log.info("everybody left", **place, at=f"{when:%H:%M:%S}", peak=peak)
    elif change.end_reason is not None:
        log.warning("an occupancy ended unseen", **place, reason=change.end_reason.value)
    elif change.current is PresenceState.VACANT:
        log.info("nobody is here", **place)
    else:
        log.warning("not seen", **place)
