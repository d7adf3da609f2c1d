"""Whether settings would have told anything at all, without running the machine.

The level that a score leads to (average or belief) does not depend on thresholds, nor on whether
the zone is occupied. So it is computed once, by the machine's own reading, for all thresholds and
waits. An occupancy begins only with a run of hits that is long enough, by a score at which no
scene guard holds entries back, and the first such run always begins one: no run, no event.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.presence.machine import TOLERANCE
from monitor.presence.reading import Reading, read, thresholds
from monitor.review.simulate import speaks
from monitor.review.trace import Numbers, Trace


class Levels:
    """The levels of some traces, remembered for settings that differ in thresholds only."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self._traces = traces
        self._known: dict[Hashable, list[Numbers]] = {}
        self._blind = any(trace.blind.any() for trace in traces)

    def runs(self, settings: PresenceConfig) -> int:
        """How many runs of hits would suffice to make an empty zone occupied."""
        enter, _ = thresholds(settings)
        key = self._what_matters(settings)
        if key not in self._known:
            self._known[key] = [levels(trace, settings) for trace in self._traces]
        return sum(
            _long_runs(trace, level >= enter, settings)
            for trace, level in zip(self._traces, self._known[key], strict=True)
        )

    def _what_matters(self, settings: PresenceConfig) -> Hashable:
        """All that levels depend on: in blind pictures, which scores speak for somebody, too."""
        speaking = settings.enter_threshold if self._blind else None
        if settings.mode is PresenceMode.PLAIN:
            return settings.smoothing, settings.max_gap, speaking
        evidence = settings.evidence.model_copy(update={"enter_belief": 0.9, "exit_belief": 0.1})
        return evidence.model_dump_json(), settings.max_gap


def levels(trace: Trace, settings: PresenceConfig) -> Numbers:
    """The average, or the belief, after each score; 0 where it does not count."""
    found = np.zeros(trace.at.size)
    before: Reading | None = None
    last = 0.0
    rows = zip(trace.at.tolist(), trace.counts.tolist(), trace.blind.tolist(), strict=True)
    for i, (at, score, blind) in enumerate(rows):
        if blind and not speaks(score, settings):
            before = None
            continue
        if at - last >= settings.max_gap:
            before = None
        before = read(score, before, at - last, occupied=False, settings=settings)
        found[i], last = before.level, at
    return found


def _long_runs(trace: Trace, hit: NDArray[np.bool_], settings: PresenceConfig) -> int:
    """Runs of hits that last `enter_after` and number `enter_hits`, gaps breaking them, at the
    last of their scores at which entries are not held back."""
    if not hit.any():
        return 0
    at = trace.at
    broken = np.diff(at, prepend=at[0]) >= settings.max_gap
    index = np.flatnonzero(hit)
    begins = np.diff(index, prepend=-2) > 1
    begins |= broken[index]
    first = np.flatnonzero(begins)
    last = np.append(first[1:], index.size) - 1
    free = np.where(trace.held[index], -1, np.arange(index.size))
    last = np.maximum.accumulate(free)[last]
    first, last = first[last >= first], last[last >= first]
    lasted = at[index[last]] - at[index[first]]
    enough = (lasted >= settings.enter_after - TOLERANCE) & (
        last - first + 1 >= settings.enter_hits
    )
    return int(enough.sum())
