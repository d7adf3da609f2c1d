"""What settings tell on footage: the whole engine where there are pictures, else the machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.config.presence import PresenceConfig
from monitor.presence.metrics import Comparison, Span, compare, total
from monitor.review.simulate import simulate
from monitor.review.trace import Trace

LASTING = 300.0
"""Seconds of a false event that weigh as much as another one: one that never ends is no bargain."""

Events = tuple[tuple[Span, ...], ...]
"""Of each trace, in its seconds."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings and what came of them. The traces are as the engine took them under these settings.

    `false`: the events of the negatives. `found`: those of the positives, which `visits` judges.
    """

    settings: PresenceConfig
    negatives: tuple[Trace, ...]
    positives: tuple[Trace, ...]
    false: Events
    found: Events
    visits: Comparison

    @property
    def false_events(self) -> int:
        """Those of the negatives, and those outside the visits of the positives."""
        return sum(map(len, self.false)) + self.visits.false_events

    @property
    def weight(self) -> float:
        """False events as a budget counts them: long ones again for every LASTING seconds."""
        return weight(each for events in self.false for each in events) + self.visits.false_events


def trial(
    settings: PresenceConfig, negatives: Sequence[Trace], positives: Sequence[Trace]
) -> Trial:
    """Try settings on footage."""
    empty = [judged(trace, settings) for trace in negatives]
    visited = [judged(trace, settings) for trace in positives]
    return Trial(
        settings,
        tuple(trace for _, trace in empty),
        tuple(trace for _, trace in visited),
        tuple(events for events, _ in empty),
        tuple(events for events, _ in visited),
        compared(visited),
    )


def compared(told: Iterable[tuple[Sequence[Span], Trace]]) -> Comparison:
    """Events that were told of each trace, beside the visits that it has."""
    return total(
        compare(events, trace.visits, float(trace.at[-1]) if trace.at.size else 0.0)
        for events, trace in told
    )


def judged(trace: Trace, settings: PresenceConfig) -> tuple[tuple[Span, ...], Trace]:
    """The events that settings tell, and the trace with what they take its scores for."""
    if trace.film is None:
        return tuple(simulate(trace, settings)), trace
    seen = trace.film(settings)
    counted = [
        score if sensed is None else sensed.observation.score
        for score, sensed in zip(trace.score.tolist(), seen.sensed, strict=True)
    ]
    return seen.events, replace(trace, counted=np.array(counted, dtype=np.float64))


def weight(events: Iterable[Span]) -> float:
    """How much false events weigh."""
    return sum(1.0 + (event.end - event.start) // LASTING for event in events)
