"""How long to wait before a camera is tried again."""

from __future__ import annotations

from monitor.messages import OutageReason

SHORTEST = 0.5
LONGEST = 30.0
"""Bounds of the waits, in seconds."""

SLOW_REASONS = frozenset(
    {OutageReason.UNAUTHORIZED, OutageReason.NOT_FOUND, OutageReason.CODEC_UNSUPPORTED}
)
"""What only a person can put right; trying often makes cameras lock the account."""


def backoff_delay(attempt: int, reason: OutageReason, jitter: float) -> float:
    """Seconds to wait before the next try, between SHORTEST and LONGEST.

    `attempt`: how many tries have failed in a row before this one (0 for the first). The wait
    doubles with each, and starts at its longest where only a person can help. `jitter` in
    [0, 1) takes away up to half, so that cameras behind one switch do not return in step.
    """
    if reason in SLOW_REASONS:
        return LONGEST * (1.0 - 0.2 * jitter)
    doubled = SHORTEST * 2.0 ** min(attempt, 16)
    return max(SHORTEST, min(LONGEST, doubled) * (1.0 - 0.5 * jitter))
