"""What the API answers, field by field; `/openapi.json` describes answers by these classes.

Ids are UUIDs, times aware UTC (ISO 8601), durations seconds, scores P(someone) in [0, 1].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastapi import Response

from monitor.alerts.outbox import AlertState
from monitor.config.alerts import Severity, Trigger
from monitor.config.web import Role
from monitor.events.coverage import Gap
from monitor.events.marks import Mark
from monitor.events.overlaps import Overlap
from monitor.events.ratios import Day, Ratio
from monitor.events.zones import ZoneAt
from monitor.messages import EndReason
from monitor.web.feed import to_json
from monitor.web.health import Health
from monitor.web.status import CameraStatus, EventRow, StatusReport, ZoneStatus

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def answer(data: DataclassInstance, status: int = 200) -> Response:
    """One of these classes as JSON."""
    return Response(to_json(asdict(data)), status, media_type="application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedZone(ZoneStatus):
    """A zone now, with its last `scores` and `levels`: one a second, None where there were none."""

    scores: list[float | None]
    levels: list[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCamera(CameraStatus):
    """A camera now."""

    zones: tuple[WatchedZone, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(StatusReport):
    """All cameras and every part of the monitor, `version` its own."""

    cameras: tuple[WatchedCamera, ...]
    version: str
    health: Health


@dataclass(frozen=True, slots=True)
class RecentEvents:
    """Occupancy events, newest first."""

    events: list[EventRow]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An occupancy event with all that is kept of it.

    `duration_s` and `ended_at` are None while it is open. `snapshot`: the name of its picture.
    `settings`: what was in force when it began.
    """

    id: UUID
    camera: str
    zone: str
    started_at: datetime
    confirmed_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    end_reason: EndReason | None
    duration_s: float | None
    peak_score: float
    mean_score: float
    score_count: int
    model_id: str
    mark: Mark | None
    snapshot: str | None
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events of a filter. `next` goes into `after` of the next question, None: the last page."""

    events: list[EventRecord]
    next: str | None


@dataclass(frozen=True, slots=True)
class StayRecord(EventRecord):
    """An event, and how long it lasted or has lasted."""

    lasted_s: float


@dataclass(frozen=True, slots=True)
class LongestStays:
    """The longest first."""

    events: list[StayRecord]


@dataclass(frozen=True, slots=True)
class Overlaps:
    """When two zones were occupied at once. `more`: there are more than `limit`."""

    overlaps: list[Overlap]
    more: bool


@dataclass(frozen=True, slots=True)
class ZonesAt:
    """Zones at a moment."""

    zones: list[ZoneAt]


@dataclass(frozen=True, slots=True)
class Ratios:
    """Occupied, vacant and not seen time. `more`: there are more than `limit`."""

    ratios: list[Ratio]
    more: bool


@dataclass(frozen=True, slots=True)
class Days:
    """First and last presence of days. `more`: there are more than `limit`."""

    days: list[Day]
    more: bool


@dataclass(frozen=True, slots=True)
class Gaps:
    """When zones were not seen. `more`: there are more than `limit`."""

    gaps: list[Gap]
    more: bool


@dataclass(frozen=True, slots=True)
class Deliveries:
    """How many deliveries of an alert wait, arrived, and failed for good."""

    pending: int
    sent: int
    dead: int


@dataclass(frozen=True, slots=True)
class AlertEntry:
    """An alert. `count`: how many it tells of; `acted_by`: who brought it into its state, if
    somebody did, with `comment`.
    """

    id: UUID
    rule: str
    trigger: Trigger
    severity: Severity
    state: AlertState
    camera: str
    zone: str
    at: datetime
    title: str
    count: int
    reasons: list[str]
    event_id: UUID | None
    deliveries: Deliveries
    acted_by: str | None
    acted_at: datetime | None
    comment: str


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Alerts, newest first. `next` goes into `after` of the next question, None: the last page."""

    alerts: list[AlertEntry]
    next: str | None


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did about an alert."""

    at: datetime
    who: str
    action: str
    comment: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """An alert that another one tells of."""

    id: UUID
    at: datetime
    title: str


@dataclass(frozen=True, slots=True)
class AlertHistory(AlertEntry):
    """An alert, who did what about it, and the alerts it tells of."""

    actions: list[Deed]
    gathered: list[Gathered]


@dataclass(frozen=True, slots=True)
class AlertDone:
    """The alert's state after what was done."""

    id: UUID
    state: AlertState


@dataclass(frozen=True, slots=True)
class EventMarked:
    """The event's mark after what was done."""

    id: UUID
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class EventHeld:
    """Whether the event is held after what was done."""

    id: UUID
    held: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `closed`: one has to say who one is; `name` is None where nobody is known."""

    closed: bool
    name: str | None
    role: Role | None
    may_act: bool


@dataclass(frozen=True, slots=True)
class DoorsTaken:
    """How many reports came, and how many of them were new."""

    taken: int
    new: int


@dataclass(frozen=True, slots=True)
class GrantsTaken:
    """The grants' ids, in the order of the request."""

    ids: list[UUID]


@dataclass(frozen=True, slots=True)
class Switchable:
    """A schedule or rule: whether it is armed now, and why or why not."""

    name: str
    armed: bool
    why: str


@dataclass(frozen=True, slots=True)
class ArmingNow:
    """All schedules and rules of the configuration in force."""

    schedules: list[Switchable]
    rules: list[Switchable]
