"""Messages and rows for the tests: one zone's story, told in seconds after NOON."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from monitor.clock import Stamp
from monitor.messages import EndReason, PresenceState, Progress, Summary, Transition

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
JPEG = b"\xff\xd8 not really a picture \xff\xd9"


def at(seconds: float) -> Stamp:
    return Stamp(1000.0, NOON).shifted(seconds)


def opening(
    event_id: UUID | None = None,
    seconds: float = 0.0,
    *,
    camera: str = "dock",
    zone: str = "gate",
    snapshot: bytes | None = None,
) -> Transition:
    return Transition(
        camera=camera,
        zone=zone,
        previous=PresenceState.VACANT,
        current=PresenceState.OCCUPIED,
        at=at(seconds),
        confirmed=at(seconds + 0.6),
        event_id=event_id or uuid4(),
        summary=Summary(0.9, 0.85, 3),
        snapshot=snapshot,
        settings={"enter_threshold": 0.8, "exit_threshold": 0.4},
        model_id="pplcnet-1",
    )


def progress(
    event_id: UUID,
    seconds: float,
    *,
    count: int = 50,
    snapshot: bytes | None = None,
    camera: str = "dock",
    zone: str = "gate",
) -> Progress:
    return Progress(event_id, camera, zone, at(seconds), Summary(0.95, 0.9, count), snapshot)


def closing(
    event_id: UUID,
    seconds: float,
    *,
    reason: EndReason = EndReason.VACATED,
    camera: str = "dock",
    zone: str = "gate",
    snapshot: bytes | None = None,
) -> Transition:
    lost = reason is EndReason.SIGNAL_LOST
    return Transition(
        camera=camera,
        zone=zone,
        previous=PresenceState.OCCUPIED,
        current=PresenceState.UNKNOWN if lost else PresenceState.VACANT,
        at=at(seconds),
        confirmed=at(seconds + 5.0),
        event_id=event_id,
        summary=Summary(0.998, 0.91, 100),
        end_reason=reason,
        snapshot=snapshot,
        settings={"enter_threshold": 0.8, "exit_threshold": 0.4},
        model_id="pplcnet-1",
    )
