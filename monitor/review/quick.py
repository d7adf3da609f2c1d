"""Whether settings would have told anything at all, without running the machine.

The level that a score leads to (average or belief) does not depend on thresholds, nor on whether
the zone is occupied. So it is computed once, by the machine's own reading, for all thresholds and
waits. An occupancy begins only with a run of hits that is long enough, and the first such run
always begins one: no run, no event.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.presence.machine import TOLERANCE
from monitor.presence.reading import Reading, read, thresholds
from monitor.review.trace import Numbers, Trace


class Levels:
    """The levels of some traces, remembered for settings that differ in thresholds only."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self._traces = traces
        self._known: dict[Hashable, list[Numbers]] = {}

    def runs(self, settings: PresenceConfig) -> int:
        """How many runs of hits would suffice to make an empty zone occupied."""
        enter, _ = thresholds(settings)
        key = _what_matters(settings)
        if key not in self._known:
            self._known[key] = [levels(trace, settings) for trace in self._traces]
        return sum(
            _long_runs(trace.at, level >= enter, settings)
            for trace, level in zip(self._traces, self._known[key], strict=True)
        )


def levels(trace: Trace, settings: PresenceConfig) -> Numbers:
    """The average, or the belief, after each score."""
    found = np.zeros(trace.at.size)
    before: Reading | None = None
    last = 0.0
    for i, (at, score) in enumerate(zip(trace.at.tolist(), trace.score.tolist(), strict=True)):
        if at - last >= settings.max_gap:
            before = None
        before = read(score, before, at - last, occupied=False, settings=settings)
        found[i], last = before.level, at
    return found


def _what_matters(settings: PresenceConfig) -> Hashable:
    """All that levels depend on."""
    if settings.mode is PresenceMode.PLAIN:
        return settings.smoothing, settings.max_gap
    evidence = settings.evidence.model_copy(update={"enter_belief": 0.9, "exit_belief": 0.1})
    return evidence.model_dump_json(), settings.max_gap


def _long_runs(at: Numbers, hit: NDArray[np.bool_], settings: PresenceConfig) -> int:
    """Runs of hits that last `enter_after` and number `enter_hits`, gaps breaking them."""
    if not hit.any():
        return 0
    broken = np.diff(at, prepend=at[0]) >= settings.max_gap
    index = np.flatnonzero(hit)
    begins = np.diff(index, prepend=-2) > 1
    begins |= broken[index]
    first = np.flatnonzero(begins)
    last = np.append(first[1:], index.size) - 1
    lasted = at[index[last]] - at[index[first]]
    enough = (lasted >= settings.enter_after - TOLERANCE) & (
        last - first + 1 >= settings.enter_hits
    )
    return int(enough.sum())
