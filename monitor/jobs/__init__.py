"""The jobs that run by the clock: retention and the health summary."""

from __future__ import annotations

from monitor.jobs.room import JobRoom
from monitor.jobs.scheduler import Job, JobStats

__all__ = ["Job", "JobRoom", "JobStats"]
