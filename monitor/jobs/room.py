"""The jobs of the monitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from monitor.clock import Clock
from monitor.config import RetentionConfig
from monitor.events.snapshots import SnapshotStore
from monitor.jobs.retention import Swept, cutoffs, sweep
from monitor.jobs.scheduler import Job, JobStats, Scheduler
from monitor.telemetry import get_logger

RETENTION_EVERY = 3600.0
HEALTH_EVERY = 300.0
"""Seconds between two runs."""

log = get_logger(__name__)


class JobRoom:
    """Runs retention every hour and, given `health`, logs its summary every five minutes.

    `health` returns what the log line shall say, such as cameras seen, writer lag, memory.
    """

    def __init__(
        self,
        engine: Engine,
        retention: RetentionConfig,
        snapshots: Path,
        *,
        clock: Clock,
        health: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._engine = engine
        self._retention = retention
        self._store = SnapshotStore(snapshots)
        self._clock = clock
        self._health = health
        jobs = [Job("retention", RETENTION_EVERY, 60.0, self._sweep)]
        if health is not None:
            jobs.append(Job("health", HEALTH_EVERY, HEALTH_EVERY, self._tell_health))
        self._scheduler = Scheduler(jobs, clock)

    def start(self) -> None:
        """Start the jobs' threads."""
        self._scheduler.start()

    def stop(self) -> None:
        """End them after the runs in progress."""
        self._scheduler.stop()

    def stats(self) -> dict[str, JobStats]:
        """Runs, misses and failures by job."""
        return self._scheduler.stats()

    def _sweep(self) -> None:
        swept = sweep(self._engine, self._store, cutoffs(self._retention, self._clock.now().utc))
        if swept != Swept():
            log.info(
                "retention",
                events=swept.events,
                snapshots=swept.snapshots,
                freed_bytes=swept.freed_bytes,
                stuck=swept.stuck,
            )

    def _tell_health(self) -> None:
        assert self._health is not None
        log.info("health", **self._health())
