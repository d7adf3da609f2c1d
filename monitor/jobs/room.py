"""The jobs of the monitor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Engine

from monitor.clock import Clock
from monitor.config import MonitorConfig
from monitor.config.base import format_size
from monitor.errors import ServiceError
from monitor.events.models import Base
from monitor.events.snapshots import SnapshotStore
from monitor.jobs.limits import Limits
from monitor.jobs.retention import sweep
from monitor.jobs.scheduler import Job, JobStats, Scheduler
from monitor.storage.upkeep import maintain
from monitor.telemetry import get_logger

RETENTION_EVERY = 3600.0
UPKEEP_EVERY = 86400.0
HEALTH_EVERY = 300.0
"""Seconds between two runs."""

FIRST_SWEEP = 60.0
FIRST_UPKEEP = 900.0
"""Seconds from the start to the first run."""

log = get_logger(__name__)


class JobRoom:
    """Runs retention every hour, upkeep every day, and tells `health` every five minutes.

    `health` returns what the log line shall say, such as cameras seen, writer lag, memory;
    `more` are jobs of other rooms.
    """

    def __init__(
        self,
        engine: Engine,
        config: MonitorConfig,
        *,
        clock: Clock,
        health: Callable[[], Mapping[str, Any]] | None = None,
        more: Iterable[Job] = (),
    ) -> None:
        self._engine = engine
        self._config = config
        self._clock = clock
        self._health = health
        jobs = [
            Job("retention", RETENTION_EVERY, FIRST_SWEEP, self._sweep),
            Job("upkeep", UPKEEP_EVERY, FIRST_UPKEEP, self._maintain),
        ]
        if health is not None:
            jobs.append(Job("health", HEALTH_EVERY, HEALTH_EVERY, self._tell_health))
        self._scheduler = Scheduler([*jobs, *more], clock)

    def start(self) -> None:
        """Start the jobs' threads."""
        self._scheduler.start()

    def stop(self) -> None:
        """End them after the runs in progress."""
        self._scheduler.stop()

    def stats(self) -> dict[str, JobStats]:
        """Runs, misses and failures by job."""
        return self._scheduler.stats()

    def reconfigure(self, config: MonitorConfig) -> None:
        """Go by this configuration from the next run on."""
        self._config = config

    def _sweep(self) -> None:
        config = self._config
        limits = Limits.of(config.retention, config.alerts, self._clock.now().utc)
        report = sweep(self._engine, SnapshotStore(config.snapshots.folder), limits)
        for gone in report.gone:
            log.info(
                "retention",
                kind=gone.kind,
                why=gone.why.value,
                rows=gone.rows,
                freed_bytes=gone.freed_bytes,
                stuck=gone.stuck,
            )
        if report.lacking_bytes:
            raise ServiceError(
                f"{format_size(report.lacking_bytes)} too much is on the disk, and nothing is left "
                "that may be deleted",
                where=str(config.snapshots.folder),
                remedy="give it a larger disk, or `retention` other limits",
            )

    def _maintain(self) -> None:
        done = maintain(self._engine, Base.metadata.tables)
        log.info(
            "database upkeep",
            freed=format_size(done.freed_bytes),
            size=format_size(done.size_bytes),
            seconds=round(done.seconds, 2),
        )
        if not done.shrinks:
            log.warning(
                "the database file cannot shrink yet",
                remedy="stop the monitor and run `run_monitor.py db maintain --rebuild` once",
            )

    def _tell_health(self) -> None:
        assert self._health is not None
        log.info("health", **self._health())
