"""The crew: as many workers as wanted, kept alive within a budget of restarts."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Final

from monitor.config.inference import Backend, InferenceConfig
from monitor.errors import ModelError
from monitor.imaging.slots import Slots
from monitor.inference.model import ModelInfo
from monitor.inference.process import DEPTH, Worker
from monitor.inference.protocol import Failed, Ready, Task

RESTARTS: Final = 5
RESTART_WINDOW: Final = 60.0
"""At most `RESTARTS` restarts in any `RESTART_WINDOW` seconds. Beyond that a worker stays down
until the window has moved on, so that a broken machine is not busy with starting workers."""


class Crew:
    """Worker processes of one model. One thread changes them; others may look at any time."""

    def __init__(
        self,
        model: ModelInfo,
        config: InferenceConfig,
        slots: Slots,
        *,
        hang_timeout: float,
        start_timeout: float,
    ) -> None:
        self.wanted = worker_count(config)
        self.workers: list[Worker] = []
        self.restarts = 0
        self._slots = slots
        self._hang_timeout = hang_timeout
        self._start_timeout = start_timeout
        self._restarted: deque[float] = deque(maxlen=RESTARTS)
        self._task = Task(
            model=model,
            backend=config.backend,
            device=config.device,
            precision=config.precision,
            engine=config.engine,
            self_test=config.self_test,
            compare_plain=False,
        )

    def start(self) -> int:
        """Start all workers, wait until each is ready; how many golden pictures each scored.

        Raises ModelError when one cannot serve.
        """
        compare = self._task.self_test and self._task.backend is Backend.PADDLE
        compared = replace(self._task, compare_plain=compare)
        for index in range(self.wanted):
            task = compared if index == 0 else self._task
            self.workers.append(Worker(self._slots, task, time.monotonic()))
        golden_pictures = 0
        deadline = time.monotonic() + self._start_timeout
        while waiting := {w.connection: w for w in self.workers if not w.ready}:
            spoken = wait(list(waiting), max(0.0, deadline - time.monotonic()))
            if not spoken:
                raise self._error(f"did not load within {self._start_timeout:g} s")
            for connection in spoken:
                assert isinstance(connection, Connection)
                golden_pictures = self._first_word(waiting[connection])
        return golden_pictures

    def _first_word(self, worker: Worker) -> int:
        try:
            message = worker.receive()
        except (EOFError, ConnectionResetError):
            code = worker.kill()
            raise self._error(f"its worker process ended with code {code}") from None
        if isinstance(message, Failed):
            raise message.error
        assert isinstance(message, Ready)
        worker.ready = True
        return message.golden_pictures

    def _error(self, what: str) -> ModelError:
        return ModelError(
            what,
            where=str(self._task.model.folder),
            remedy="copy or export the model again; the lines above tell more",
        )

    def remove(self, worker: Worker) -> int:
        """End a worker that is of no more use; its exit code."""
        self.workers.remove(worker)
        return worker.kill()

    def refill(self) -> None:
        """Start workers in place of those removed, as far as the budget goes."""
        while len(self.workers) < self.wanted and self._budget_returns() is None:
            now = time.monotonic()
            self._restarted.append(now)
            self.restarts += 1
            self.workers.append(Worker(self._slots, self._task, now))

    def hopeless(self) -> bool:
        """No worker runs, and none may be started now."""
        return not self.workers and self._budget_returns() is not None

    def hung(self) -> Iterator[tuple[Worker, float]]:
        """Workers that have been silent for too long, and for how many seconds."""
        now = time.monotonic()
        for worker in list(self.workers):
            if worker.busy and now > self._deadline(worker):
                yield worker, now - worker.since

    def moments(self) -> Iterator[float]:
        """When something must be done about workers if none of them speaks."""
        yield from (self._deadline(worker) for worker in self.workers if worker.busy)
        returns = self._budget_returns()
        if len(self.workers) < self.wanted and returns is not None:
            yield returns

    def idle(self) -> Worker | None:
        """A worker with nothing to do."""
        return next((worker for worker in self.workers if worker.ready and not worker.held), None)

    def least_busy(self) -> Worker | None:
        """A worker that may be given one more batch ahead."""
        able = [worker for worker in self.workers if worker.ready and len(worker.held) < DEPTH]
        return min(able, key=lambda worker: len(worker.held), default=None)

    def dismiss(self, grace: float) -> None:
        """End all workers; each may finish its batch within `grace` seconds."""
        for worker in self.workers:
            worker.connection.close()
        deadline = time.monotonic() + grace
        for worker in self.workers:
            if worker.ready:
                worker.end(max(0.1, deadline - time.monotonic()))
            else:
                worker.kill()  # still loading: it would not look up
        self.workers.clear()

    def _deadline(self, worker: Worker) -> float:
        return worker.since + (self._hang_timeout if worker.ready else self._start_timeout)

    def _budget_returns(self) -> float | None:
        """When a worker may be restarted again; None if one may now."""
        if len(self._restarted) < RESTARTS:
            return None
        returns = self._restarted[0] + RESTART_WINDOW
        return returns if time.monotonic() < returns else None


def worker_count(config: InferenceConfig) -> int:
    """Number of worker processes: as configured, or by the processors.

    Half of them, for decoding takes about as much; but both of two: when visitors come to many
    cameras at once, scoring is what they wait for, and a worker that has nothing to do is free.
    """
    if config.workers == "auto":
        processors = len(os.sched_getaffinity(0))
        return max(min(2, processors), processors // 2)
    return config.workers
