"""Health is derived, never declared: from ages, lags and what is alive.

*Alive* (`/healthz`) asks whether a restart would help: the writer thread and at least one
worker run. *Ready* (`/readyz`) asks whether presence is being watched: the writer keeps up and
at least one camera is seen and scored. Cameras that are down while others are watched make the
monitor *degraded*, which is still ready: restarting or unrouting it would blind the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from monitor.config.base import format_duration
from monitor.web.status import CameraStatus, StatusReport, WriterStatus

MAX_WRITER_LAG = 30.0
"""Seconds a message may wait for its commit."""


class Verdict(StrEnum):
    """Overall health."""

    READY = "ready"
    DEGRADED = "degraded"
    UNREADY = "unready"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is not as it should be: which part, and what about it."""

    part: str
    what: str


@dataclass(frozen=True, slots=True)
class Health:
    """A verdict with its reasons; what makes the monitor unready comes first."""

    verdict: Verdict
    reasons: tuple[Reason, ...]

    @property
    def ok(self) -> bool:
        """Ready, if perhaps degraded."""
        return self.verdict is not Verdict.UNREADY


def liveness(report: StatusReport) -> Health:
    """Whether the process does its work at all."""
    reasons = []
    if not report.writer.alive:
        reasons.append(Reason("writer", "the writer thread has ended"))
    if report.workers.wanted and not report.workers.alive:
        reasons.append(Reason("workers", f"none of {report.workers.wanted} workers is alive"))
    return Health(Verdict.UNREADY if reasons else Verdict.READY, tuple(reasons))


def readiness(report: StatusReport) -> Health:
    """Whether presence is being watched and events are being kept."""
    fatal = [*liveness(report).reasons, *_writer_reasons(report.writer)]
    enabled = [camera for camera in report.cameras if camera.enabled]
    if enabled and not any(camera.watched for camera in enabled):
        seen = any(camera.seen for camera in enabled)
        what = "frames come, but none is scored" if seen else "no camera is seen"
        fatal.append(Reason("cameras", what))
    lesser = [reason for camera in enabled for reason in _camera_reasons(camera)]
    lesser += [
        Reason(f"channel {channel.name}", channel.trouble)
        for channel in report.alerts.channels
        if channel.trouble
    ]
    lesser += [Reason(f"job {job.name}", job.trouble) for job in report.jobs if job.trouble]
    for part, diary in (("history", report.history), ("learning", report.learning)):
        if diary.trouble:
            lesser.append(Reason(part, diary.trouble))
    if report.config.rejected:
        lesser.append(Reason("config", f"rejected: {report.config.rejected}"))
    workers = report.workers
    if 0 < workers.alive < workers.wanted:
        lesser.append(Reason("workers", f"{workers.alive} of {workers.wanted} workers are alive"))
    if fatal:
        return Health(Verdict.UNREADY, (*fatal, *lesser))
    return Health(Verdict.DEGRADED if lesser else Verdict.READY, tuple(lesser))


def _writer_reasons(writer: WriterStatus) -> list[Reason]:
    reasons = []
    if writer.trouble:
        reasons.append(Reason("writer", writer.trouble))
    if writer.lag > MAX_WRITER_LAG:
        reasons.append(
            Reason("writer", f"events wait {format_duration(round(writer.lag))} for their commit")
        )
    return reasons


def _camera_reasons(camera: CameraStatus) -> list[Reason]:
    part = f"camera {camera.name}"
    if not camera.seen:
        why = f" ({camera.outage})" if camera.outage else ""
        return [Reason(part, f"{_missing('frame', camera.frame_age)}{why}")]
    if not camera.watched:
        return [Reason(part, _missing("score", camera.score_age))]
    return []


def _missing(what: str, age: float | None) -> str:
    return f"no {what} yet" if age is None else f"no {what} for {format_duration(round(age))}"
