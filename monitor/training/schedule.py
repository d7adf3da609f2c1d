"""The learning rate of each iteration: linear warm-up, then a cosine.

As PaddleClas ppcls/optimizer/learning_rate.py: `warmup_epoch` epochs rise from zero, the
cosine spans what is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CosineSchedule:
    """`peak` and `floor` are learning rates, the rest counts iterations."""

    peak: float
    total_steps: int
    warmup_steps: int = 0
    floor: float = 0.0

    def at(self, step: int) -> float:
        """The rate of iteration `step`, counted from 0."""
        if step < self.warmup_steps:
            return self.peak * step / self.warmup_steps
        span = self.total_steps - self.warmup_steps
        if span <= 0:
            return self.peak
        progress = min(1.0, (step - self.warmup_steps) / span)
        return self.floor + (self.peak - self.floor) * (1.0 + math.cos(math.pi * progress)) / 2.0
