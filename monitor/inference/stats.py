"""What the pool counts, and how it is reported."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The pool at one moment; latencies are submit → score delivered, in seconds.

    `alive` of `wanted` workers are ready. `frames_dropped` were replaced by newer ones;
    `frames_lost` were in batches that killed workers. `worker_pids` serve memory figures.
    """

    alive: int
    wanted: int
    restarts: int
    batches: int
    mean_batch: float
    frames_submitted: int
    frames_scored: int
    frames_dropped: int
    frames_lost: int
    latency_p50: float
    latency_p99: float
    worker_pids: tuple[int, ...]


@dataclass(slots=True)
class Counters:
    """Sums since start; `dropped` by camera, `latencies` of the last 4,096 frames in seconds."""

    batches: int = 0
    patches: int = 0
    submitted: int = 0
    scored: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=4096))

    @property
    def unfinished(self) -> int:
        """Frames that will still be scored or given up."""
        return self.submitted - self.scored - self.dropped.total() - self.lost

    def stats(
        self, *, alive: int, wanted: int, restarts: int, worker_pids: tuple[int, ...]
    ) -> PoolStats:
        """These sums beside what is known of the workers."""
        p50, p99 = np.quantile(self.latencies, (0.5, 0.99)) if self.latencies else (0.0, 0.0)
        return PoolStats(
            alive=alive,
            wanted=wanted,
            restarts=restarts,
            batches=self.batches,
            mean_batch=self.patches / max(1, self.batches),
            frames_submitted=self.submitted,
            frames_scored=self.scored,
            frames_dropped=self.dropped.total(),
            frames_lost=self.lost,
            latency_p50=float(p50),
            latency_p99=float(p99),
            worker_pids=worker_pids,
        )
