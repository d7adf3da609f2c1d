"""Which patches are scored next: fair between cameras, newest frame first, order kept.

A frame that is begun is finished first: half-scored frames help nobody. Then come cameras that
are looked at closely, because a change is pending there and somebody waits for it; but nobody
waits much longer for their sake.

No threads, no processes, no clock: a queue that is told the time. A frame's patches may go
into several batches; its scores leave when all are there, and a camera's frames leave in the
order they came.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.messages import Frame

HEAD_START: Final = 0.5
"""Seconds that a camera may wait longer than one that is looked at closely and overtakes it."""


@dataclass(slots=True, eq=False)
class Job:
    """A frame on its way: `patches` of all its cuts, and their scores as they come in.

    `taken`: how many patches are in batches already; `missing`: how many scores are not there.
    """

    frame: Frame
    submitted: float
    patches: list[NDArray[np.uint8]] = field(init=False)
    scores: NDArray[np.float32] = field(init=False)
    taken: int = 0
    missing: int = field(init=False)
    lost: bool = False

    def __post_init__(self) -> None:
        self.patches = [patch for cut in self.frame.cuts for patch in cut.patches]
        self.missing = len(self.patches)
        self.scores = np.zeros(self.missing, dtype=np.float32)

    @property
    def over(self) -> bool:
        """Nothing more is coming."""
        return self.lost or self.missing == 0

    def zone_scores(self) -> dict[str, float]:
        """P(someone) of each zone: the maximum over its patches."""
        scores, start = {}, 0
        for cut in self.frame.cuts:
            end = start + len(cut.patches)
            scores[cut.zone] = float(self.scores[start:end].max())
            start = end
        return scores


@dataclass(slots=True, eq=False)
class Batch:
    """Patches scored together: `items` are (job, index of its patch), in the order of `slots`.

    `deaths`: how many workers died computing it.
    """

    number: int
    items: list[tuple[Job, int]]
    slots: tuple[int, ...] = ()
    deaths: int = 0


@dataclass(slots=True)
class _Camera:
    waiting: deque[Job] = field(default_factory=deque)
    outstanding: deque[Job] = field(default_factory=deque)
    """Jobs with patches in batches, in frame order; they leave from the front."""


class Batcher:
    """Waiting frames of all cameras, and those whose scores are outstanding."""

    def __init__(self, *, max_batch: int, max_wait: float) -> None:
        """`max_batch`: patches in a batch; `max_wait`: seconds a patch waits for company."""
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._cameras: dict[str, _Camera] = {}
        self._turns: OrderedDict[str, float] = OrderedDict()
        """Cameras with waiting patches, in the order they came, and since when they wait."""
        self._close: set[str] = set()
        """Cameras that are looked at closely."""
        self._numbers = 0
        self.waiting = 0
        """Patches that are in no batch yet."""

    def add(self, frame: Frame, now: float, *, replace: bool) -> int:
        """Queue a frame; with `replace`, in place of its camera's frame that nobody has begun.

        The frame that takes another's place takes its turn too. Returns the number of frames
        dropped, 0 or 1.
        """
        job = Job(frame, now)
        camera = self._cameras.setdefault(frame.camera, _Camera())
        dropped = 0
        if replace and camera.waiting and camera.waiting[-1].taken == 0:
            self.waiting -= len(camera.waiting.pop().patches)
            dropped = 1
        camera.waiting.append(job)
        self.waiting += len(job.patches)
        self._turns.setdefault(frame.camera, now)
        return dropped

    def attend(self, camera: str, *, closely: bool) -> None:
        """Whether frames of `camera` go ahead of others from now on."""
        if closely:
            self._close.add(camera)
        else:
            self._close.discard(camera)

    def due(self) -> float | None:
        """When the waiting patches must go, full batch or not; None if none wait."""
        return min(self._turns.values()) + self._max_wait if self._turns else None

    def full(self) -> bool:
        """Whether there are enough patches for a batch."""
        return self.waiting >= self._max_batch

    def take(self) -> Batch:
        """The next batch, perhaps an empty one: cameras take turns, a frame each."""
        items: list[tuple[Job, int]] = []
        while self._turns and len(items) < self._max_batch:
            name = self._next()
            since = self._turns.pop(name)
            camera = self._cameras[name]
            job = camera.waiting[0]
            if job.taken == 0:
                camera.outstanding.append(job)
            count = min(len(job.patches) - job.taken, self._max_batch - len(items))
            items.extend((job, job.taken + offset) for offset in range(count))
            job.taken += count
            self.waiting -= count
            if job.taken < len(job.patches):
                self._turns[name] = since
                self._turns.move_to_end(name, last=False)
                continue
            camera.waiting.popleft()
            if camera.waiting:
                self._turns[name] = camera.waiting[0].submitted
        self._numbers += 1
        return Batch(self._numbers, items)

    def _next(self) -> str:
        """The camera whose turn it is; there is one."""
        first = next(iter(self._turns))
        if self._cameras[first].waiting[0].taken:
            return first
        close = next((name for name in self._turns if name in self._close), first)
        return close if self._turns[close] <= self._turns[first] + HEAD_START else first

    def complete(self, batch: Batch, scores: NDArray[np.float32]) -> list[Job]:
        """Enter the scores of `batch`; the jobs that can leave now, lost ones not among them."""
        for (job, index), score in zip(batch.items, scores, strict=True):
            job.scores[index] = score
            job.missing -= 1
        return self._leaving(batch)

    def lose(self, batch: Batch) -> tuple[int, list[Job]]:
        """Give `batch` up: the number of frames newly lost, and jobs that can leave now."""
        jobs = {id(job): job for job, _ in batch.items if not job.lost}
        for job in jobs.values():
            job.lost = True
            self._forget_rest(job)
        return len(jobs), self._leaving(batch)

    def _forget_rest(self, job: Job) -> None:
        """Patches of a lost frame that are in no batch yet need no scoring."""
        name = job.frame.camera
        camera = self._cameras[name]
        if camera.waiting and camera.waiting[0] is job:
            camera.waiting.popleft()
            self.waiting -= len(job.patches) - job.taken
            if not camera.waiting:
                del self._turns[name]

    def _leaving(self, batch: Batch) -> list[Job]:
        leaving: list[Job] = []
        for name in dict.fromkeys(job.frame.camera for job, _ in batch.items):
            outstanding = self._cameras[name].outstanding
            while outstanding and outstanding[0].over:
                job = outstanding.popleft()
                if not job.lost:
                    leaving.append(job)
        return leaving
