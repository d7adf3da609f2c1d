"""The pool: frames of all cameras in, scores out, whatever becomes of a worker.

One thread does everything that happens to workers: it hands out batches, takes answers,
notices the dead (their socket closes at once) and the hung (a batch takes too long), and calls
`on_score`. Cameras only ever touch the queue of waiting frames.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Final

import numpy as np
import structlog

from monitor.clock import Clock
from monitor.config.inference import InferenceConfig
from monitor.errors import ModelError
from monitor.imaging.preprocess import SIDE
from monitor.imaging.slots import Slots
from monitor.inference.batcher import Batch, Batcher, Job
from monitor.inference.crew import Crew, worker_count
from monitor.inference.model import ModelInfo
from monitor.inference.process import DEPTH, Worker
from monitor.inference.protocol import Answer, Failed
from monitor.inference.stats import Counters, PoolStats
from monitor.messages import Attention, Frame, Score

_log = structlog.get_logger(__name__)

_LESS_MEMORY: Final = (
    "lower `inference.workers` or `inference.max_batch`, or give the machine or container more "
    "memory"
)

POISON_DEATHS: Final = 2
"""Workers a batch may kill before it is given up."""

PATIENCE: Final = 4
"""Batches' worth of patches that may wait before `submit(wait=True)` waits."""


class InferencePool:
    """Worker processes that score frames: `start` once, `submit` often, `stop`. Thread-safe.

    `model_id` names the model in events.
    """

    def __init__(
        self,
        config: InferenceConfig,
        *,
        on_score: Callable[[Score], None],
        clock: Clock,
        hang_timeout: float = 15.0,
        start_timeout: float = 120.0,
    ) -> None:
        """Look at the model's files; nothing runs yet. Raises ModelError if some are missing.

        `on_score` is called from the pool's thread for each zone of each frame, a camera's
        frames in their order; `clock` stamps the scores. `hang_timeout`: seconds a batch may
        take before its worker is killed. `start_timeout`: seconds a worker may take to load
        and test the model.
        """
        self._config = config
        self._model = ModelInfo.load(config.model)
        self.model_id = self._model.model_id
        self._on_score = on_score
        self._clock = clock
        self._hang_timeout = hang_timeout
        self._start_timeout = start_timeout
        self._batcher = Batcher(max_batch=config.max_batch, max_wait=config.max_wait)
        self._redo: deque[Batch] = deque()
        self._counters = Counters()
        self._changed = threading.Condition()
        self._running = False
        self._thread: threading.Thread | None = None
        self._crew: Crew | None = None
        self._slots: Slots | None = None
        self._free: list[int] = []
        self._bell = (-1, -1)

    def start(self) -> None:
        """Start the workers and wait until each has passed its self-test.

        Raises ModelError when one cannot load the model or scores wrongly, ServiceError when
        there is no memory for the frames. Then nothing is left running.
        """
        count = worker_count(self._config) * DEPTH * self._config.max_batch
        self._slots = Slots.create(count, room="inference pool", remedy=_LESS_MEMORY)
        self._free = list(range(count))
        self._bell = os.pipe()
        for end in self._bell:
            os.set_blocking(end, False)
        self._crew = Crew(
            self._model,
            self._config,
            self._slots,
            hang_timeout=self._hang_timeout,
            start_timeout=self._start_timeout,
        )
        try:
            golden_pictures = self._crew.start()
        except BaseException:
            self._release(grace=0.0)
            raise
        if self._config.self_test and not golden_pictures:
            _log.warning(
                "the model has no golden pictures: its scores are checked against no record",
                model=str(self._model.folder),
                remedy="add golden/scores.json to the model folder",
            )
        self._running = True
        self._thread = threading.Thread(target=self._run, name="inference-pool", daemon=True)
        self._thread.start()

    def submit(self, frame: Frame, *, wait: bool = False) -> None:
        """Queue `frame` for scoring; without cuts, or before `start` and after `stop`, ignore it.

        Live (`wait=False`) this never blocks: a waiting frame of the same camera is replaced,
        and counted as dropped. With `wait=True` every frame is scored, and the caller waits
        while many are queued; raises ModelError when no worker can be kept alive.
        Raises ValueError if patches are not uint8 (n, 224, 224, 3).
        """
        _check_patches(frame)
        with self._changed:
            if wait:
                self._changed.wait_for(self._has_room_or_no_hope)
                if self._running and not self._has_room():
                    raise _no_workers(self._model)
            if not self._running or not frame.cuts:
                return
            self._counters.submitted += 1
            dropped = self._batcher.add(frame, time.monotonic(), replace=not wait)
            self._counters.dropped[frame.camera] += dropped
            self._ring()

    def attend(self, attention: Attention) -> None:
        """Frames of a camera that is looked at closely are scored ahead of others."""
        with self._changed:
            self._batcher.attend(attention.camera, closely=attention.dense)

    def dropped_by_camera(self) -> dict[str, int]:
        """Frames of each camera that newer ones replaced before they were scored."""
        with self._changed:
            return dict(self._counters.dropped)

    def drain(self, timeout: float | None = None) -> None:
        """Wait until every frame that was submitted has been scored and delivered.

        Raises ModelError when no worker can be kept alive, TimeoutError after `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(self._drained_or_no_hope, timeout):
                raise TimeoutError(f"{self._counters.unfinished} frames are not scored yet")
            if self._running and self._counters.unfinished:
                raise _no_workers(self._model)

    def stop(self, timeout: float = 5.0) -> None:
        """End the workers and give the memory back; frames that wait are not scored.

        A worker has `timeout` seconds to finish its batch before it is killed. May be called
        twice, and without `start`.
        """
        with self._changed:
            if self._running:
                self._running = False
                self._ring()
                self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._release(timeout)

    def stats(self) -> PoolStats:
        """Counters since start, and latencies of the last 4,096 frames."""
        with self._changed:
            workers = list(self._crew.workers) if self._crew else []
            return self._counters.stats(
                alive=sum(worker.ready for worker in workers),
                wanted=worker_count(self._config),
                restarts=self._crew.restarts if self._crew else 0,
                worker_pids=tuple(worker.pid for worker in workers),
            )

    def _has_room(self) -> bool:
        return self._batcher.waiting < PATIENCE * self._config.max_batch

    def _has_room_or_no_hope(self) -> bool:
        return not self._running or self._has_room() or self._hopeless()

    def _drained_or_no_hope(self) -> bool:
        return not self._running or not self._counters.unfinished or self._hopeless()

    def _hopeless(self) -> bool:
        return self._crew is None or self._crew.hopeless()

    def _ring(self) -> None:
        """Wake the pool's thread; only with the lock, under which the bell is taken down."""
        with suppress(BlockingIOError):  # full: it is awake anyway
            os.write(self._bell[1], b"!")

    def _release(self, grace: float) -> None:
        with self._changed:
            if self._crew is not None:
                self._crew.dismiss(grace)
            if self._slots is not None:
                self._slots.close()
                self._slots = None
                for end in self._bell:
                    os.close(end)

    # What follows runs in the pool's own thread. Only this thread changes the crew and what the
    # workers hold; the lock is for the queue and the counters, and never held for long: ending
    # and starting processes happens without it, lest a camera wait for them.

    def _run(self) -> None:
        assert self._crew is not None
        try:
            while self._running:
                speakers = {worker.connection: worker for worker in self._crew.workers}
                finished: list[Job] = []
                for item in wait([self._bell[0], *speakers], self._patience()):
                    if isinstance(item, Connection):
                        finished += self._listen(self._crew, speakers[item])
                    else:
                        os.read(self._bell[0], 4096)
                for worker, silence in self._crew.hung():
                    finished += self._bury(worker, f"was silent for {silence:.0f} s")
                self._crew.refill()
                self._hand_out(self._crew)
                self._deliver(finished)
        finally:
            with self._changed:
                self._running = False
                self._changed.notify_all()

    def _patience(self) -> float | None:
        """Seconds until something must be done even if nobody says anything."""
        assert self._crew is not None
        with self._changed:
            moments = list(self._crew.moments())
            due = self._batcher.due()
            if due is not None and self._crew.idle() is not None:
                moments.append(due)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _listen(self, crew: Crew, worker: Worker) -> list[Job]:
        """Take one message of a worker; the jobs that can be delivered for it."""
        try:
            message = worker.receive()
        except (EOFError, ConnectionResetError):
            return self._bury(worker, "died")
        if isinstance(message, Failed):
            return self._bury(worker, str(message.error))
        if isinstance(message, Answer):
            return self._answered(worker, message)
        worker.ready = True
        _log.info("inference worker restarted", pid=worker.pid, restarts=crew.restarts)
        return []

    def _answered(self, worker: Worker, answer: Answer) -> list[Job]:
        if not worker.held or worker.held[0].number != answer.batch:
            return self._bury(worker, f"answered batch {answer.batch}, which it was not asked")
        batch = worker.held.popleft()
        worker.since = time.monotonic()
        with self._changed:
            self._counters.batches += 1
            self._counters.patches += len(batch.items)
            self._free.extend(batch.slots)
            return self._batcher.complete(batch, np.frombuffer(answer.scores, dtype=np.float32))

    def _bury(self, worker: Worker, why: str) -> list[Job]:
        """A worker is of no more use: its batches are done again by others, or given up."""
        assert self._crew is not None
        code = self._crew.remove(worker)
        _log.error("inference worker ended", pid=worker.pid, why=why, exit_code=code)
        finished: list[Job] = []
        if worker.held:
            worker.held[0].deaths += 1  # the one it was computing; the next is not to blame
        for batch in reversed(worker.held):
            if batch.deaths < POISON_DEATHS:
                self._redo.appendleft(batch)
                continue
            with self._changed:
                lost, jobs = self._batcher.lose(batch)
                self._counters.lost += lost
                self._free.extend(batch.slots)
            finished += jobs
            _log.error("batch given up", frames=lost, workers_killed=batch.deaths)
        with self._changed:
            self._changed.notify_all()  # there may be no hope left
        return finished

    def _hand_out(self, crew: Crew) -> None:
        """Give batches to workers: any that is due to the idle, full ones ahead to the busy."""
        now = time.monotonic()
        with self._changed:
            while (worker := crew.idle()) is not None:
                due = self._batcher.due()
                if not self._redo and not self._batcher.full() and (due is None or due > now):
                    break
                if not self._hand(worker):
                    return
            while self._batcher.full() and (worker := crew.least_busy()) is not None:
                if not self._hand(worker):
                    return

    def _hand(self, worker: Worker) -> bool:
        """Give `worker` the next batch; False if it is dead, or there is no room for a batch."""
        batch = self._redo.popleft() if self._redo else self._next_batch()
        if batch is None:
            return False
        try:
            worker.send(batch, time.monotonic())
        except (BrokenPipeError, ConnectionResetError):
            return False  # it holds the batch; that its socket is closed is noticed next
        return True

    def _next_batch(self) -> Batch | None:
        assert self._slots is not None
        if len(self._free) < min(self._config.max_batch, self._batcher.waiting):
            return None
        batch = self._batcher.take()
        batch.slots = tuple(self._free.pop() for _ in batch.items)
        for slot, (job, index) in zip(batch.slots, batch.items, strict=True):
            self._slots.patches[slot] = job.patches[index]
        self._changed.notify_all()
        return batch

    def _deliver(self, jobs: list[Job]) -> None:
        for job in jobs:
            scored = self._clock.now()
            for zone, value in job.zone_scores().items():
                try:
                    self._on_score(Score(job.frame.camera, zone, value, job.frame, scored))
                except Exception:  # noqa: BLE001  (one bad score must not stop all cameras)
                    _log.exception("a score was not handled", camera=job.frame.camera, zone=zone)
        with self._changed:
            now = time.monotonic()
            self._counters.scored += len(jobs)
            self._counters.latencies.extend(now - job.submitted for job in jobs)
            self._changed.notify_all()


def _check_patches(frame: Frame) -> None:
    for cut in frame.cuts:
        shape, dtype = cut.patches.shape, cut.patches.dtype
        if shape[1:] != (SIDE, SIDE, 3) or shape[0] == 0 or dtype != np.uint8:
            raise ValueError(f"patches of zone {cut.zone} are {dtype} {shape}")


def _no_workers(model: ModelInfo) -> ModelError:
    return ModelError(
        "no inference worker stays alive",
        where=str(model.folder),
        remedy="the log tells how they ended; too little memory is the usual reason",
    )
