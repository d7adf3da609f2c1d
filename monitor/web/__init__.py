"""The web room: health, metrics, API and dashboard over what the daemon tells of itself."""

from __future__ import annotations

from monitor.web.app import create_app
from monitor.web.server import WebServer
from monitor.web.status import (
    AlertStatus,
    CameraStatus,
    ChannelStatus,
    EventBook,
    EventRow,
    HealthStatus,
    HistoryStatus,
    JobStatus,
    LearningStatus,
    MonitorStatus,
    StatusReport,
    WorkerStatus,
    WriterStatus,
    ZoneStatus,
)

__all__ = [
    "AlertStatus",
    "CameraStatus",
    "ChannelStatus",
    "EventBook",
    "EventRow",
    "HealthStatus",
    "HistoryStatus",
    "JobStatus",
    "LearningStatus",
    "MonitorStatus",
    "StatusReport",
    "WebServer",
    "WorkerStatus",
    "WriterStatus",
    "ZoneStatus",
    "create_app",
]
