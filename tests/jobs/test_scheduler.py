"""The scheduler: one run at a time, and every miss and failure counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.clock import SystemClock
from monitor.config import MonitorConfig, RetentionConfig
from monitor.events.database import open_database
from monitor.events.schema import migrate
from monitor.jobs import Job, JobRoom, retention, room, scheduler
from monitor.jobs.scheduler import Scheduler

CONFIG = MonitorConfig.model_validate({"cameras": {"dock": {"source": {"url": "rtsp://cam/"}}}})

MakeScheduler = Callable[..., Scheduler]


@pytest.fixture
def make() -> Iterator[MakeScheduler]:
    made: list[Scheduler] = []

    def start(*jobs: Job) -> Scheduler:
        made.append(Scheduler(jobs, SystemClock()))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop()


def wait_until(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_runs_are_counted_and_dated_in_utc(make: MakeScheduler) -> None:
    before = datetime.now(UTC)
    done = make(Job("tick", 0.05, 0.0, lambda: None))
    wait_until(lambda: done.stats()["tick"].runs >= 2)
    stats = done.stats()["tick"]
    assert (stats.failed, stats.missed) == (0, 0)
    assert stats.last_run is not None
    assert before <= stats.last_run <= datetime.now(UTC)
    assert stats.last_run.tzinfo is UTC


def test_a_failure_is_counted_and_the_job_goes_on(make: MakeScheduler) -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("the disk is gone")

    done = make(Job("sweep", 0.05, 0.0, work))
    wait_until(lambda: done.stats()["sweep"].failed == 1)
    wait_until(lambda: done.stats()["sweep"].runs >= 2)
    stats = done.stats()["sweep"]
    assert stats.failed == 1
    assert stats.last_error == ""


def test_a_job_that_still_runs_is_not_started_again(make: MakeScheduler) -> None:
    release, running, most = threading.Event(), [], []

    def work() -> None:
        running.append(1)
        most.append(len(running))
        release.wait(5)
        running.pop()

    done = make(Job("slow", 0.05, 0.0, work))
    wait_until(lambda: done.stats()["slow"].missed >= 2)
    release.set()
    wait_until(lambda: done.stats()["slow"].runs >= 1)
    assert max(most) == 1


def test_a_run_that_comes_too_late_is_counted_as_missed(
    make: MakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "GRACE", 1)
    done = make(Job("late", 3600.0, -30.0, lambda: None))
    wait_until(lambda: done.stats()["late"].missed == 1)
    assert done.stats()["late"].runs == 0


def test_stopping_waits_for_the_run_in_progress(make: MakeScheduler) -> None:
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.2)
        ended.set()

    done = make(Job("slow", 60.0, 0.0, work))
    assert begun.wait(60)
    done.stop()
    assert ended.is_set()


def test_the_room_sweeps_and_tells_its_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "HEALTH_EVERY", 0.05)
    url = f"sqlite:///{tmp_path}/monitor.db"
    migrate(url)
    engine = open_database(url)
    asked = []

    def health() -> dict[str, object]:
        asked.append(1)
        return {"cameras": 3}

    jobs = JobRoom(engine, CONFIG, clock=SystemClock(), health=health)
    assert set(jobs.stats()) == {"retention", "upkeep", "health"}
    jobs.start()
    wait_until(lambda: len(asked) >= 1)
    jobs.stop()
    engine.dispose()


def test_a_room_that_was_never_started_stops(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/monitor.db"
    migrate(url)
    engine = open_database(url)
    jobs = JobRoom(engine, CONFIG, clock=SystemClock())
    assert set(jobs.stats()) == {"retention", "upkeep"}
    jobs.stop()
    engine.dispose()


def test_a_disk_that_stays_too_full_is_a_failure_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "free_bytes", lambda _folder: 0)
    url = f"sqlite:///{tmp_path}/monitor.db"
    migrate(url)
    engine = open_database(url)
    tight = CONFIG.model_copy(update={"retention": RetentionConfig(min_free="1GB")})
    monkeypatch.setattr(room, "FIRST_SWEEP", 0.0)
    jobs = JobRoom(engine, tight, clock=SystemClock())
    jobs.start()
    wait_until(lambda: jobs.stats()["retention"].failed == 1)
    assert "1GB too much is on the disk" in jobs.stats()["retention"].last_error
    jobs.stop()
    engine.dispose()
