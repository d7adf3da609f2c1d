"""What retention and maintenance of a large memory take, and how long the writer waits meanwhile.

Run by `python -m benchmarks.events upkeep`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine

from benchmarks.history import CAMERAS, START, known_until
from benchmarks.load import change, quantiles
from monitor.clock import SystemClock
from monitor.events.models import Base
from monitor.events.snapshots import SnapshotStore
from monitor.events.writer import Commit, EventWriter
from monitor.jobs.limits import Limits
from monitor.jobs.retention import sweep
from monitor.storage.upkeep import maintain

QUIET = 15.0
"""Seconds the writer is looked at alone."""

INTERVAL = 0.05
"""Seconds between two transitions."""


class Load:
    """A writer that commits 20 transitions a second, and how long each took."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._put: dict[UUID | None, float] = {}
        self._took: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="load")
        self._writer = EventWriter(
            engine,
            spool=folder / "spool",
            snapshots=SnapshotStore(folder / "snapshots"),
            clock=SystemClock(),
            on_committed=self._committed,
        )

    def __enter__(self) -> Load:
        self._writer.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._writer.stop(60.0)

    def during(self, work: Callable[[], object]) -> tuple[float, float, dict[str, float]]:
        """Seconds the work took, of the processor too, and put → commit meanwhile in ms."""
        self._took.clear()
        begun, busy = time.perf_counter(), time.thread_time()
        work()
        seconds, worked = time.perf_counter() - begun, time.thread_time() - busy
        return seconds, worked, quantiles(list(self._took))

    def _go_on(self) -> None:
        number = 0
        while not self._over.wait(INTERVAL):
            event_id = uuid4()
            self._put[event_id] = time.perf_counter()
            self._writer.put(change(f"camera{number % CAMERAS}", event_id, None, opens=True))
            number += 1

    def _committed(self, commit: Commit) -> None:
        self._took.append(time.perf_counter() - self._put.pop(commit.message.event_id))


def bench_upkeep(engine: Engine, folder: Path, count: int, remove: int) -> Iterator[dict[str, Any]]:
    """Nothing; a sweep that finds nothing; one that takes the `remove` oldest; maintenance."""
    store = SnapshotStore(folder / "snapshots")

    def limits(events: int) -> Limits:
        before = known_until(events)
        return Limits(SystemClock().now().utc, before, before, START, START)

    steps: dict[str, Callable[[], object]] = {
        "nothing": lambda: time.sleep(QUIET),
        "retention finds nothing old": lambda: sweep(engine, store, limits(0)),
        f"retention takes {remove} events": lambda: sweep(engine, store, limits(remove)),
        "maintenance": lambda: maintain(engine, Base.metadata.tables),
        "maintenance again": lambda: maintain(engine, Base.metadata.tables),
    }
    with Load(engine, folder) as load:
        for step, work in steps.items():
            seconds, worked, waited = load.during(work)
            yield {
                "database": engine.dialect.name,
                "events": count,
                "step": step,
                "s": round(seconds, 2),
                "cpu_s": round(worked, 2),
                "put_to_commit_ms": waited,
            }
