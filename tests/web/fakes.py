"""A daemon made of plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from monitor.clock import SystemClock
from monitor.config import WebConfig
from monitor.messages import EndReason, OutageReason, PresenceState
from monitor.web import (
    CameraStatus,
    EventRow,
    StatusReport,
    ZoneStatus,
)
from monitor.web.credentials import hash_password, hash_token
from monitor.web.doorkeeper import Doorkeeper, Note
from monitor.web.sessions import Sessions

NOON = datetime(2031, 5, 4, 12, 0, tzinfo=UTC)
JPEG = b"\xff\xd8\xff\xe0picture\xff\xd9"


def zone(name: str = "frame", state: PresenceState = PresenceState.VACANT) -> ZoneStatus:
    return ZoneStatus(name, state, None, 0.1, 0.07, 0.05, 0.8, 0.4, NOON)


def camera(name: str = "door") -> CameraStatus:
    return CameraStatus(
        name=name,
        enabled=True,
        state="streaming",
        outage=None,
        detail="",
        frame_age=0.2,
        score_age=0.3,
        max_gap=10.0,
        width=1280,
        height=720,
        fps=25.0,
        codec="h264",
        reconnects=1,
        sampled=100,
        dropped=3,
        scored=97,
        zones=(zone(),),
    )


def dead(camera: CameraStatus) -> CameraStatus:
    return replace(camera, outage=OutageReason.REFUSED, frame_age=None, score_age=None)


def event(number: int, camera: str = "door", *, is_open: bool = False) -> EventRow:
    start = NOON + timedelta(minutes=number)
    return EventRow(
        id=UUID(int=number),
        camera=camera,
        zone="frame",
        started_at=start,
        ended_at=None if is_open else start + timedelta(seconds=30),
        peak_score=0.99,
        mean_score=0.9,
        end_reason=None if is_open else EndReason.VACATED,
        has_snapshot=True,
    )


@dataclass
class FakeDaemon:
    """Implements MonitorStatus and EventBook; tests change its fields."""

    current: StatusReport
    rows: list[EventRow] = field(default_factory=list)

    def report(self) -> StatusReport:
        return self.current

    def picture(self, camera: str) -> bytes | None:
        return JPEG if camera == "door" else None

    def recent(
        self, *, limit: int, camera: str | None, since: datetime | None, open_only: bool
    ) -> Sequence[EventRow]:
        rows = [
            row
            for row in sorted(self.rows, key=lambda row: row.started_at, reverse=True)
            if camera in (None, row.camera)
            and (since is None or row.started_at >= since)
            and not (open_only and row.ended_at)
        ]
        return rows[:limit]

    def snapshot(self, event_id: UUID) -> bytes | None:
        return JPEG if any(row.id == event_id for row in self.rows) else None

    def change(self, **changes: object) -> None:
        self.current = replace(self.current, **changes)  # type: ignore[arg-type]


@dataclass
class Notes:
    """Takes the place of the audit log."""

    entries: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)

    def __call__(self, *, actor: str, action: str, subject: str, details: dict[str, str]) -> None:
        self.entries.append((actor, action, subject, details))


def doorkeeper(folder: Path, web: WebConfig | None = None, note: Note | None = None) -> Doorkeeper:
    """A doorkeeper; by default everybody may look."""
    sessions = Sessions(folder / "monitor.db.logins")
    return Doorkeeper(web or WebConfig(), sessions, note=note or Notes(), clock=SystemClock())


PASSWORD, TOKEN = "four words are enough", "pm_made-for-the-test"
HASHED = hash_password(PASSWORD)
PEOPLE: dict[str, Any] = {
    "users": {"anna": {"password": HASHED, "role": "operator"}, "victor": {"password": HASHED}},
    "tokens": {
        "prometheus": {"hash": hash_token(TOKEN)},
        "desk": {"hash": hash_token(TOKEN + "2"), "role": "operator"},
    },
}
"""An operator, a viewer, and two programs of which `desk` may act."""
