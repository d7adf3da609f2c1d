"""Why an occupancy was told: the machine run again over its scores, every step noted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from monitor.config.presence import EvidenceConfig, PresenceConfig
from monitor.errors import InputError
from monitor.messages import EndReason, PresenceState
from monitor.presence import machine
from monitor.presence.arrival import WEIGHED, Evidence
from monitor.presence.machine import Change, Observation, ZoneState
from monitor.presence.metrics import Span
from monitor.presence.reading import Reading
from monitor.presence.report import Told, report
from monitor.presence.sense import came
from monitor.review.simulate import step
from monitor.review.story import Line, Moment, level_word, tell
from monitor.review.trace import Trace

NOTHING = Reading(0.0, hit=False, clear=False, rising=False, present=False)

CLOSE = 2.0
"""Seconds by which the run may differ from what was told and still be called the same."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """An occupancy, the steps around it, and the sentences about them.

    `opened` and `closed` are the run's own changes, None where it told none.
    """

    event: Span
    settings: PresenceConfig
    moments: tuple[Moment, ...]
    opened: Change | None
    closed: Change | None
    lines: tuple[Line, ...]

    @property
    def level(self) -> str:
        """What is compared with the thresholds: average or belief."""
        return level_word(self.settings)

    @property
    def agrees(self) -> bool:
        """Whether the run told the event when it was told."""
        if self.opened is None or self.event.confirmed is None:
            return self.opened is not None
        return abs(self.opened.confirmed.monotonic - self.event.confirmed) <= CLOSE


def settings_in_force(stored: Mapping[str, Any]) -> PresenceConfig:
    """The settings noted with an event; keys of other versions are left out.

    Raises InputError if what is left makes no settings.
    """
    known = {key: value for key, value in stored.items() if key in PresenceConfig.model_fields}
    if isinstance(evidence := known.get("evidence"), Mapping):
        fields = EvidenceConfig.model_fields
        known["evidence"] = {key: value for key, value in evidence.items() if key in fields}
    try:
        return PresenceConfig.model_validate(known)
    except ValidationError as error:
        raise InputError("the settings noted with this event cannot be read") from error


def noted_evidence(stored: Mapping[str, Any]) -> Evidence | None:
    """What the score counted for that confirmed the event; None if that was not noted."""
    noted = stored.get(WEIGHED)
    try:
        return Evidence(**noted) if isinstance(noted, Mapping) else None
    except TypeError:
        return None


def explain(trace: Trace, settings: PresenceConfig, event: Span) -> Explanation:
    """Explain `event`, in seconds of the trace, under the settings that were in force."""
    moments, told = _run(trace, settings)
    opened, closed = _matching(told, event)
    lines = tell(moments, settings, event, opened, closed)
    return Explanation(event, settings, tuple(moments), opened, closed, lines)


def found_events(trace: Trace, settings: PresenceConfig) -> list[Span]:
    """The occupancies that the run itself tells."""
    _, told = _run(trace, settings)
    return [
        Span(opened.at.monotonic, closed.at.monotonic, opened.confirmed.monotonic)
        for opened, closed in _pairs(told)
        if closed is not None
    ]


def _run(trace: Trace, settings: PresenceConfig) -> tuple[list[Moment], list[Change]]:
    state, told = ZoneState(), Told()
    moments: list[Moment] = []
    changes: list[Change] = []
    weighed = trace.weighed or (None,) * trace.at.size
    sights = [0] * trace.at.size if trace.sight is None else trace.sight.tolist()
    columns = (trace.at.tolist(), trace.score.tolist(), trace.counts.tolist(), weighed, sights)
    for at, score, counts, why, sight in zip(*columns, strict=True):
        seen = Observation(trace.stamp(at), counts, came=came(counts, why, settings))
        result = step(state, seen, settings, sight)
        state = result.state
        told, news = report(told, result, settings)
        changes += news
        moments.append(_moment(at, score, state, counts=counts, weighed=why, sight=sight))
    if moments:
        last = machine.ended(state, trace.stamp(moments[-1].at), EndReason.END_OF_MEDIA)
        told, news = report(told, last, settings)
        changes += news
    return moments, changes


def _moment(
    at: float,
    score: float,
    state: ZoneState,
    *,
    counts: float,
    weighed: Evidence | None,
    sight: int,
) -> Moment:
    reading = state.reading if state.unseen is None else None  # one unseen is not read
    reading = reading or NOTHING
    return Moment(
        at,
        score,
        reading.level,
        reading.hit,
        reading.clear,
        reading.rising,
        state.presence,
        state.hits.count if state.hits else 0,
        state.clears.count if state.clears else 0,
        counts,
        weighed,
        sight,
    )


def _pairs(told: Sequence[Change]) -> Iterator[tuple[Change, Change | None]]:
    opened: Change | None = None
    for change in told:
        if change.current is PresenceState.OCCUPIED:
            opened = change
        elif opened is not None:
            yield opened, change
            opened = None
    if opened is not None:
        yield opened, None


def _matching(told: Sequence[Change], event: Span) -> tuple[Change | None, Change | None]:
    """The run's occupancy that shares the most time with the event."""
    best: tuple[float, Change | None, Change | None] = (-CLOSE, None, None)
    for opened, closed in _pairs(told):
        start = opened.at.monotonic
        end = closed.at.monotonic if closed is not None else event.end
        shared = min(end, event.end) - max(start, event.start)
        if shared > best[0]:
            best = (shared, opened, closed)
    return best[1], best[2]
