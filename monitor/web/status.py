"""What the web room asks of the daemon: one report, pictures, and the events kept.

The daemon implements `MonitorStatus` and `EventBook`; every method may be called from any
thread and should answer within milliseconds. Ages and lags are seconds, times aware UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from monitor.events.marks import Mark
from monitor.messages import (
    EndReason,
    HealthCategory,
    HealthKind,
    OutageReason,
    PresenceState,
)


@dataclass(frozen=True, slots=True)
class ZoneStatus:
    """A zone now. `pending`: the change under way, in words, None when settled.

    `score`: P(someone), as the network says of the last frame; `counts`: what that counts for
    beside the empty zone; `level`: their average or belief, which is held against the thresholds.
    All three are None without a signal. `since`: begin of the state. `explained`: the score up to
    which the background explains what is seen, if it does.
    """

    name: str
    state: PresenceState
    pending: str | None
    score: float | None
    counts: float | None
    level: float | None
    enter_threshold: float
    exit_threshold: float
    since: datetime | None
    explained: float | None = None


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """Something that happens to a camera's picture. `category`: tamper, scene_change or dark."""

    kind: HealthKind
    category: HealthCategory
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """A camera now. `state`: its reader's; `outage`, `detail`: why it is not seen, if it is not.

    `frame_age`, `score_age`: seconds since the last decoded frame and the last score, None
    before the first. `max_gap`: the age from which it counts as not seen. `sampled`, `dropped`
    and `scored` count frames since the start; `received` and `decoded` those before them.
    `keyframes_every`: seconds between keyframes; `dense`: it is looked at closely. `health`: what
    happens to its picture now.
    """

    name: str
    enabled: bool
    state: str
    outage: OutageReason | None
    detail: str
    frame_age: float | None
    score_age: float | None
    max_gap: float
    width: int | None
    height: int | None
    fps: float | None
    codec: str | None
    reconnects: int
    sampled: int
    dropped: int
    scored: int
    zones: tuple[ZoneStatus, ...]
    received: int = 0
    decoded: int = 0
    keyframes_every: float | None = None
    dense: bool = False
    health: tuple[HealthStatus, ...] = ()

    @property
    def seen(self) -> bool:
        """Whether frames come."""
        return self.frame_age is not None and self.frame_age <= self.max_gap

    @property
    def watched(self) -> bool:
        """Whether frames come and are scored."""
        return self.seen and self.score_age is not None and self.score_age <= self.max_gap


@dataclass(frozen=True, slots=True)
class WriterStatus:
    """The event writer. `lag`: age of the oldest message not committed; `queued`: messages
    waiting; `failed`: messages the database refused for good; `trouble`: why it cannot write
    now, empty when it can.
    """

    alive: bool
    lag: float
    queued: int
    failed: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """The inference pool. `mean_batch` in patches; latencies, submitted to scored, in seconds."""

    alive: int
    wanted: int
    restarts: int
    batches: int
    mean_batch: float
    latency_p50: float
    latency_p99: float


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A scheduled job: how often it ran, was missed and failed since the start.

    `trouble`: why its last run failed, empty if it did not.
    """

    name: str
    runs: int
    missed: int
    failed: int
    last_run: datetime | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """A channel of alerts. `trouble`: why it does not work now, empty when it does.

    `sent`, `retried` and `dead` count since the start, `dead_letters` is what lies there;
    `oldest`: age in seconds of the oldest alert still owed; latencies, alert to delivery, in
    seconds, None before the first.
    """

    name: str
    kind: str
    trouble: str
    queued: int
    dead_letters: int
    oldest: float
    sent: int
    retried: int
    dead: int
    latency_p50: float | None
    latency_p99: float | None


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """The alerts. `failures`: alerts lost to errors of the rules since the start."""

    channels: tuple[ChannelStatus, ...] = ()
    failures: int = 0


@dataclass(frozen=True, slots=True)
class HistoryStatus:
    """The score history, in minutes of zones. `waiting`: not in the database yet; `written` and
    `dropped` since the start; `trouble`: why none can be written now, empty when they can.
    """

    enabled: bool = False
    waiting: int = 0
    written: int = 0
    dropped: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class LearningStatus:
    """Pictures to learn from since the start: `kept`, `dropped` because too many came at once,
    `refused` because the folder is full; `trouble`: why none can be kept now, empty when they can.
    """

    enabled: bool = False
    kept: int = 0
    dropped: int = 0
    refused: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """The configuration in force: the how manyth since the start, and since when.

    `rejected`: why the file that should have replaced it was not taken, empty if there is none.
    """

    generation: int = 1
    since: datetime | None = None
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Everything at one instant. `events_total`: occupancies opened since `started`."""

    started: datetime
    model_id: str
    cameras: tuple[CameraStatus, ...]
    writer: WriterStatus
    workers: WorkerStatus
    jobs: tuple[JobStatus, ...]
    events_total: int
    alerts: AlertStatus = AlertStatus()
    config: ConfigStatus = ConfigStatus()
    history: HistoryStatus = HistoryStatus()
    learning: LearningStatus = LearningStatus()


class MonitorStatus(Protocol):
    """The daemon as the web room sees it."""

    def report(self) -> StatusReport:
        """A consistent report of now."""
        ...

    def picture(self, camera: str) -> bytes | None:
        """A small recent JPEG of the camera, privacy masks applied; None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class EventRow:
    """An occupancy event as the API shows it; open while `ended_at` is None.

    `mark`: what an operator said of it.
    """

    id: UUID
    camera: str
    zone: str
    started_at: datetime
    ended_at: datetime | None
    peak_score: float
    mean_score: float
    end_reason: EndReason | None
    has_snapshot: bool
    mark: Mark | None = None


class EventBook(Protocol):
    """The events kept, as far as the web room may read them."""

    def recent(
        self, *, limit: int, camera: str | None, since: datetime | None, open_only: bool
    ) -> Sequence[EventRow]:
        """The newest events first: at most `limit`, begun at or after `since`."""
        ...

    def snapshot(self, event_id: UUID) -> bytes | None:
        """The JPEG of an event's peak, None if the event or its picture is gone."""
        ...
