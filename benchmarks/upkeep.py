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

from benchmarks.history import CAMERAS, START, known_until, oldest_event
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

    def during(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What came of the work, the seconds it took, of the processor too, and put → commit
        meanwhile in ms."""
        self._took.clear()
        begun, busy = time.perf_counter(), time.thread_time()
        came = work()
        seconds, worked = time.perf_counter() - begun, time.thread_time() - busy
        times = {"s": round(seconds, 2), "cpu_s": round(worked, 2)}
        return came | times | {"put_to_commit_ms": quantiles(list(self._took))}

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

    def nothing() -> dict[str, Any]:
        time.sleep(QUIET)
        return {"step": "nothing"}

    def retention(events: int) -> dict[str, Any]:
        before = known_until(events)
        limits = Limits(SystemClock().now().utc, before, before, START, START)
        report = sweep(engine, store, limits)
        return {"step": "retention", "rows": {gone.kind: gone.rows for gone in report.gone}}

    def upkeep() -> dict[str, Any]:
        done = maintain(engine, Base.metadata.tables)
        return {"step": "maintenance", "freed_mb": round(done.freed_bytes / 1e6)}

    oldest = oldest_event(engine)
    steps = nothing, lambda: retention(oldest), lambda: retention(oldest + remove), upkeep
    with Load(engine, folder) as load:
        for step in steps:
            yield {"database": engine.dialect.name, "events": count} | load.during(step)
