"""Other settings on scores of the past: the presence machine itself, run again.

Most of a trace cannot start anything. While a zone is settled and empty, what lies further than a
warm-up before the next score that can count for somebody is left out; the average forgets faster
than that. What scores counted for, and what scene guards held back, is as the trace has it: as it
was under the settings of then. That is exact where nobody was thought to be there, then or now;
`monitor.review.reel` runs the whole engine, but takes the pictures for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.clock import Stamp
from monitor.config.presence import CalibrationConfig, PresenceConfig, PresenceMode
from monitor.messages import EndReason, PresenceState
from monitor.presence import machine
from monitor.presence.machine import Change, Hold, Observation, ZoneState
from monitor.presence.metrics import Span
from monitor.presence.reading import calibrated
from monitor.presence.report import Told, report
from monitor.presence.sense import EVEN
from monitor.review.trace import (
    BLIND,
    HELD_ENTRIES,
    HELD_EXITS,
    Numbers,
    Trace,
    logistic,
    odds_of,
)

WARM_UP = 12.0
"""Time constants of the average before a score that counts: what is older weighs 6 millionths."""

WARM_UP_OF_BELIEF = 60.0
"""Seconds in mode evidence."""


def simulate(trace: Trace, settings: PresenceConfig) -> list[Span]:
    """The occupancies that `settings` would have told, in seconds of the trace.

    One that is open at the end ends at its last evidence. `confirmed` is when it was told.
    """
    events = []
    opened: Change | None = None
    for change in changes(trace, settings):
        if change.current is PresenceState.OCCUPIED:
            opened = change
        elif opened is not None:
            start = opened.at.monotonic
            end = max(change.at.monotonic, start)
            events.append(Span(start, end, opened.confirmed.monotonic))
            opened = None
    return events


def changes(trace: Trace, settings: PresenceConfig) -> Iterator[Change]:
    """What `settings` would have told, as it comes; stop listening when you know enough."""
    run = _Run(settings)
    warm_up = max(WARM_UP * settings.smoothing, 1.0)
    if settings.mode is PresenceMode.EVIDENCE:
        warm_up = WARM_UP_OF_BELIEF
    sight = trace.sight if trace.sight is not None else np.zeros(trace.at.size, np.uint8)
    counts = trace.counts
    upcoming = np.flatnonzero(_can_count(counts, settings))
    resumes = np.searchsorted(trace.at, trace.at[upcoming] - warm_up)
    following = iter(zip(upcoming.tolist(), resumes.tolist(), strict=True))
    end = trace.at.size
    target, resume = next(following, (end, end))
    index = resume
    at = 0.0
    while index < end:
        at = float(trace.at[index])
        yield from run.take(trace.stamp(at), float(counts[index]), int(sight[index]))
        while target <= index:
            target, resume = next(following, (end, end))
        if run.idle and resume > index + 1:
            run.forget()
            index = resume
        else:
            index += 1
    yield from run.finish(trace.stamp(at))


def step(
    state: ZoneState, observation: Observation, settings: PresenceConfig, sight: int = 0
) -> machine.Step:
    """What `monitor.presence.tracker` makes of one score under scene guards: `Trace.sight` bits."""
    if sight & BLIND and not speaks(observation.score, settings):
        before = machine.tick(state, observation.at, settings)
        return machine.Step(machine.lost(before.state, observation.at), before.changes)
    hold = Hold(bool(sight & HELD_ENTRIES), bool(sight & HELD_EXITS))
    return machine.step(state, observation, settings, hold)


def speaks(score: float, settings: PresenceConfig) -> bool:
    """Whether a score speaks for somebody, in whatever picture."""
    if settings.mode is PresenceMode.EVIDENCE:
        return calibrated(score, settings.evidence.calibration) >= EVEN
    return score >= settings.enter_threshold


class _Run:
    """The machine and what was told of it."""

    def __init__(self, settings: PresenceConfig) -> None:
        self._settings = settings
        self._state = ZoneState()
        self._told = Told()

    @property
    def idle(self) -> bool:
        """Nobody is there, and nothing is held back."""
        told = self._told
        nobody = self._state.presence is not PresenceState.OCCUPIED and self._state.hits is None
        return nobody and told.withheld is None and told.presence is not PresenceState.OCCUPIED

    def take(self, at: Stamp, score: float, sight: int) -> tuple[Change, ...]:
        return self._hear(step(self._state, Observation(at, score), self._settings, sight))

    def forget(self) -> None:
        self._state = ZoneState()

    def finish(self, at: Stamp) -> tuple[Change, ...]:
        return self._hear(machine.ended(self._state, at, EndReason.END_OF_MEDIA))

    def _hear(self, result: machine.Step) -> tuple[Change, ...]:
        self._state = result.state
        self._told, news = report(self._told, result, self._settings)
        return news


def _can_count(score: Numbers, settings: PresenceConfig) -> NDArray[np.bool_]:
    """Which scores can begin something: an average exceeds no threshold that no score does."""
    if settings.mode is PresenceMode.EVIDENCE:
        return apply_calibration(score, settings.evidence.calibration) >= EVEN
    return score >= settings.enter_threshold


def apply_calibration(score: Numbers, calibration: CalibrationConfig) -> Numbers:
    """What scores mean, as `monitor.presence.reading.calibrated`, for many at once."""
    if calibration.table:
        known = np.array(calibration.table)
        return np.asarray(np.interp(score, known[:, 0], known[:, 1]))
    if calibration.slope == 1.0 and calibration.offset == 0.0:
        return score
    return logistic(calibration.slope * odds_of(score) + calibration.offset)
