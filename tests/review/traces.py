"""Made-up scores for the tests: quiet noise, with visits and bursts on top."""

from __future__ import annotations

import numpy as np

from monitor.presence.metrics import Span
from monitor.review.trace import RECORDED, Trace, logistic

FPS = 5.0


def noise(seconds: float, seed: int, mean: float = -3.5, spread: float = 0.8) -> np.ndarray:
    """Log-odds that hang together over half a second."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-1.0 / FPS / 0.5)
    shocks = rng.normal(0.0, spread * np.sqrt(1.0 - keep**2), int(seconds * FPS))
    odds, value = np.empty(shocks.size), 0.0
    for i, shock in enumerate(shocks):
        value = keep * value + shock
        odds[i] = value
    return odds + mean


def trace(
    odds: np.ndarray, visits: tuple[Span, ...] = (), name: str = "made up", lift: float = 6.0
) -> Trace:
    """The scores of log-odds, lifted where somebody is."""
    at = np.arange(odds.size) / FPS
    raised = odds.copy()
    for visit in visits:
        raised[(at >= visit.start) & (at <= visit.end)] += lift
    return Trace(name, RECORDED, at, logistic(raised), visits)
