"""The daemon as its web room sees it: every answer is derived from the rooms at that moment."""

from __future__ import annotations

import resource
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from itertools import groupby

from monitor.alerts.room import AlertRoom
from monitor.capture import (
    CaptureFleet,
    CaptureRoom,
    Photographer,
    ReaderState,
    ReaderStats,
)
from monitor.clock import Clock, Stamp
from monitor.config import CameraConfig, MonitorConfig
from monitor.daemon.journal import Journal
from monitor.daemon.recollection import Recollection
from monitor.daemon.voice import alert_status
from monitor.events.history import ScoreRecorder
from monitor.events.writer import EventWriter
from monitor.imaging import jpeg
from monitor.inference.pool import InferencePool
from monitor.jobs import JobRoom
from monitor.learning import LearningRoom
from monitor.messages import CameraHealth, Frame, OutageReason, PresenceState, Score
from monitor.presence import PresenceRoom, ZoneStatus
from monitor.telemetry import redact
from monitor.web.status import (
    CameraStatus,
    ConfigStatus,
    HealthStatus,
    HistoryStatus,
    JobStatus,
    LearningStatus,
    StatusReport,
    WorkerStatus,
    WriterStatus,
)
from monitor.web.status import ZoneStatus as ZoneReport

PREVIEW_SIDE, PREVIEW_QUALITY = 480, 75
"""The dashboard's pictures: longer side in pixels, and JPEG quality."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the daemon has wired."""

    capture: CaptureRoom | CaptureFleet
    photographer: Photographer
    pool: InferencePool
    presence: PresenceRoom
    recollection: Recollection
    writer: EventWriter
    jobs: JobRoom
    journal: Journal
    alerts: AlertRoom
    learning: LearningRoom
    history: ScoreRecorder | None = None


class Watch:
    """Keeps, per camera, the latest frame and score that passed between the rooms."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: dict[str, Frame] = {}
        self._scored: dict[str, Stamp] = {}
        self._sequences: dict[str, int] = {}
        self._counts: Counter[str] = Counter()

    def on_frame(self, frame: Frame) -> None:
        """A frame goes from capture to inference."""
        with self._lock:
            self._frames[frame.camera] = frame

    def on_score(self, score: Score) -> None:
        """A score goes from inference to presence; a frame counts once, whatever its zones."""
        with self._lock:
            self._scored[score.camera] = score.scored
            if self._sequences.get(score.camera) != score.frame.sequence:
                self._sequences[score.camera] = score.frame.sequence
                self._counts[score.camera] += 1

    def forget(self, cameras: Iterable[str]) -> None:
        """These are watched no longer; their last pictures are not to be shown."""
        with self._lock:
            for camera in cameras:
                self._frames.pop(camera, None)
                self._scored.pop(camera, None)

    def frame(self, camera: str) -> Frame | None:
        """The camera's latest frame."""
        with self._lock:
            return self._frames.get(camera)

    def scored(self, camera: str) -> tuple[Stamp | None, int]:
        """When the camera was last scored, and how many of its frames were."""
        with self._lock:
            return self._scored.get(camera), self._counts[camera]


class DaemonStatus:
    """Implements the web room's `MonitorStatus`."""

    def __init__(self, config: MonitorConfig, rooms: Rooms, watch: Watch, clock: Clock) -> None:
        self._config = config
        self._rooms = rooms
        self._watch = watch
        self._clock = clock
        self._started = clock.now().utc
        self._configured = ConfigStatus(1, self._started)

    def reconfigure(self, config: MonitorConfig) -> None:
        """Report on the cameras of this configuration from now on."""
        self._config = config

    def configuration_taken(self) -> int:
        """Another configuration is in force; the number of those there were."""
        number = self._configured.generation + 1
        self._configured = ConfigStatus(number, self._clock.now().utc)
        return number

    def configuration_rejected(self, why: str) -> None:
        """A reload failed; the configuration of before stays in force."""
        self._configured = replace(self._configured, rejected=why)

    def report(self) -> StatusReport:
        """Everything at this instant."""
        now, rooms = self._clock.now(), self._rooms
        pool, writer = rooms.pool.stats(), rooms.writer.stats()
        return StatusReport(
            started=self._started,
            model_id=rooms.pool.model_id,
            cameras=tuple(self._cameras(now)),
            writer=WriterStatus(
                alive=rooms.writer.alive,
                lag=writer.lag,
                queued=writer.queued + writer.spooled,
                failed=writer.rejected,
                trouble=writer.reason,
            ),
            workers=WorkerStatus(
                alive=pool.alive,
                wanted=pool.wanted,
                restarts=pool.restarts,
                batches=pool.batches,
                mean_batch=pool.mean_batch,
                latency_p50=pool.latency_p50,
                latency_p99=pool.latency_p99,
            ),
            jobs=tuple(
                JobStatus(
                    name, job.runs, job.missed, job.failed, job.last_run, redact(job.last_error)
                )
                for name, job in rooms.jobs.stats().items()
            ),
            events_total=rooms.journal.opened(),
            alerts=alert_status(rooms.alerts),
            config=self._configured,
            history=_history(rooms.history),
            learning=LearningStatus(**asdict(rooms.learning.stats())),
        )

    def summary(self) -> dict[str, float | int | str]:
        """The health job's log line."""
        report = self.report()
        enabled = [camera for camera in report.cameras if camera.enabled]
        occupied = sum(
            zone.state is PresenceState.OCCUPIED for camera in enabled for zone in camera.zones
        )
        return {
            "watched": f"{sum(camera.watched for camera in enabled)}/{len(enabled)}",
            "occupied_zones": occupied,
            "scored": sum(camera.scored for camera in enabled),
            "dropped": sum(camera.dropped for camera in enabled),
            "worker_restarts": report.workers.restarts,
            "writer_lag_s": round(report.writer.lag, 2),
            "events": report.events_total,
            "history_dropped": report.history.dropped,
            "learning_dropped": report.learning.dropped,
            "threads": threading.active_count(),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }

    def picture(self, camera: str) -> bytes | None:
        """The camera's latest frame, small."""
        frame = self._watch.frame(camera)
        if frame is None:
            return None
        return jpeg.encode(frame.picture, quality=PREVIEW_QUALITY, max_side=PREVIEW_SIDE)

    def _cameras(self, now: Stamp) -> Iterable[CameraStatus]:
        readers = self._rooms.capture.stats()
        dropped = self._rooms.pool.dropped_by_camera()
        by_camera = groupby(self._rooms.presence.statuses(), key=lambda zone: zone.camera)
        zones = {camera: tuple(group) for camera, group in by_camera}
        health = self._rooms.presence.health()
        for name, config in self._config.cameras.items():
            scored_at, scored = self._watch.scored(name)
            reader = readers.get(name)
            yield CameraStatus(
                name=name,
                enabled=config.enabled,
                state=reader.state.value if reader else "disabled",
                outage=_outage(reader),
                detail=redact(reader.detail) if reader else "",
                frame_age=_age(now, reader.last_frame if reader else None),
                score_age=_age(now, scored_at.monotonic if scored_at else None),
                max_gap=_longest_gap(config),
                width=reader.width if reader else None,
                height=reader.height if reader else None,
                fps=reader.fps if reader else None,
                codec=reader.codec if reader else None,
                reconnects=reader.reconnects if reader else 0,
                sampled=reader.frames_sampled if reader else 0,
                dropped=dropped.get(name, 0),
                scored=scored,
                zones=tuple(map(_zone, zones.get(name, ()))),
                received=reader.frames_received if reader else 0,
                decoded=reader.frames_decoded if reader else 0,
                keyframes_every=reader.group if reader else None,
                dense=reader.dense if reader else False,
                health=tuple(_health(each) for each in health if each.camera == name),
            )


def _history(recorder: ScoreRecorder | None) -> HistoryStatus:
    if recorder is None:
        return HistoryStatus()
    return HistoryStatus(enabled=True, **asdict(recorder.stats()))


def _health(health: CameraHealth) -> HealthStatus:
    return HealthStatus(health.kind, health.kind.category, health.at.utc, health.detail)


def _zone(zone: ZoneStatus) -> ZoneReport:
    return ZoneReport(
        name=zone.zone,
        state=zone.state,
        pending=zone.pending.value if zone.pending else None,
        score=zone.score,
        counts=zone.counts,
        level=zone.smoothed,
        enter_threshold=zone.enter_threshold,
        exit_threshold=zone.exit_threshold,
        since=zone.since.utc if zone.since else None,
        explained=zone.explained,
    )


def _outage(reader: ReaderStats | None) -> OutageReason | None:
    """Why the camera is not seen; a reader that streams keeps the reason of its last trouble."""
    if reader is None or reader.state is ReaderState.STREAMING:
        return None
    return reader.reason


def _age(now: Stamp, then: float | None) -> float | None:
    return None if then is None else max(0.0, now.monotonic - then)


def _longest_gap(camera: CameraConfig) -> float:
    zones = [zone.presence.max_gap for zone in camera.zones.values()]
    return max(zones, default=camera.presence.max_gap)
