"""APScheduler, tamed: one run of a job at a time, missed runs made up once, everything counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobEvent,
)
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from monitor.clock import Clock
from monitor.telemetry import get_logger

GRACE = 300
"""Seconds by which a run may be late before it counts as missed."""

THREADS = 2

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every `every` seconds, the first time `first_after` seconds after start."""

    name: str
    every: float
    first_after: float
    work: Callable[[], None]


@dataclass(frozen=True, slots=True)
class JobStats:
    """How a job has fared since the start. `missed`: runs that were too late or skipped because
    the previous one still ran."""

    runs: int = 0
    missed: int = 0
    failed: int = 0
    last_run: datetime | None = None
    last_error: str = ""


class Scheduler:
    """Runs jobs in background threads; counts and logs what went wrong with them."""

    def __init__(self, jobs: Iterable[Job], clock: Clock) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._clock = clock
        self._lock = threading.Lock()
        self._stats = {name: JobStats() for name in self._jobs}
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(THREADS)},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": GRACE},
        )
        self._scheduler.add_listener(
            self._on_event,
            EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES,
        )

    def start(self) -> None:
        """Start the threads."""
        now = datetime.now(UTC)  # APScheduler waits by this clock, whatever the injected one says
        for job in self._jobs.values():
            self._scheduler.add_job(
                job.work,
                "interval",
                id=job.name,
                name=job.name,
                seconds=job.every,
                next_run_time=now + timedelta(seconds=job.first_after),
            )
        self._scheduler.start()

    def stop(self) -> None:
        """End the threads after the runs in progress."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def stats(self) -> dict[str, JobStats]:
        """The counters of each job."""
        with self._lock:
            return dict(self._stats)

    def _on_event(self, event: JobEvent) -> None:
        name, kind = event.job_id, event.code
        with self._lock:
            stats = self._stats[name]
            if kind == EVENT_JOB_EXECUTED:
                stats = replace(
                    stats, runs=stats.runs + 1, last_run=self._clock.now().utc, last_error=""
                )
            elif kind == EVENT_JOB_ERROR:
                said = f"{type(event.exception).__name__}: {event.exception}"
                stats = replace(
                    stats,
                    runs=stats.runs + 1,
                    failed=stats.failed + 1,
                    last_run=self._clock.now().utc,
                    last_error=said,
                )
            else:
                stats = replace(stats, missed=stats.missed + 1)
            self._stats[name] = stats
        if kind == EVENT_JOB_ERROR:
            log.error("a job failed", job=name, error=stats.last_error, failures=stats.failed)
        elif kind == EVENT_JOB_MISSED:
            log.warning("a job was too late and is left out", job=name, missed=stats.missed)
        elif kind == EVENT_JOB_MAX_INSTANCES:
            log.warning("a job still runs and is not started again", job=name, missed=stats.missed)
