"""Transitions as the presence room sends them, and quantiles, for the benchmarks of the memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from monitor.clock import SystemClock
from monitor.messages import EndReason, PresenceState, Summary, Transition


def change(camera: str, event_id: UUID, snapshot: bytes | None, *, opens: bool) -> Transition:
    """Somebody comes (`opens`) or goes, now."""
    now = SystemClock().now()
    states = PresenceState.VACANT, PresenceState.OCCUPIED
    previous, current = states if opens else states[::-1]
    return Transition(
        camera, "frame", previous, current, now, now, event_id,
        summary=Summary(0.99, 0.9, 3 if opens else 9),
        end_reason=None if opens else EndReason.VACATED,
        snapshot=snapshot,
        settings={"enter_threshold": 0.8, "exit_threshold": 0.4, "enter_after": 0.6},
        model_id="PPLCNet_x1_0-b1946ac9",
    )  # fmt: skip


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and maximum in milliseconds; nothing of nothing."""
    ordered = sorted(seconds)
    return {
        name: round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        if ordered
    }
