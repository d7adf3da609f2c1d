"""How well occupancies match the truth: pure functions of spans in seconds of media time.

Truth knows its edges only to about half a second, so `tolerance` seconds around every truth edge
are not judged: an event may start that much early without being false, and the time is left out
of the accuracy. Words: a *visit* is a span of truth, an *event* a span that was reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, lgamma, log

import numpy as np

TOLERANCE = 0.5
"""Seconds around a truth edge that are not judged."""

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to `end`, seconds; `confirmed` is when an event was first told, if known.

    Raises ValueError if it ends before it starts.
    """

    start: float
    end: float
    confirmed: float | None = None

    def __post_init__(self) -> None:
        if not self.start <= self.end:
            raise ValueError(f"a span cannot end ({self.end}) before it starts ({self.start})")

    def touches(self, other: Span, slack: float = 0.0) -> bool:
        """Whether the two share an instant, allowing `slack` seconds between them."""
        return self.start <= other.end + slack and other.start <= self.end + slack


@dataclass(frozen=True, slots=True)
class Comparison:
    """Counts from which every figure follows; the counts of several clips add up.

    `visits`, `visits_found`; `events`, `events_true`; `flaps`: events beyond the first of a
    visit. `watched_s`: length of the media. `judged_s`, `right_s`: its judged part, and how much
    of that agrees with the truth. `onset_delays`, `confirm_delays`: seconds from the start of
    each found visit to the start of its first event and to its confirmation (0 if earlier).
    """

    visits: int = 0
    visits_found: int = 0
    events: int = 0
    events_true: int = 0
    flaps: int = 0
    watched_s: float = 0.0
    judged_s: float = 0.0
    right_s: float = 0.0
    onset_delays: tuple[float, ...] = ()
    confirm_delays: tuple[float, ...] = ()

    @property
    def recall(self) -> float | None:
        """Share of visits with an event; None without visits."""
        return _ratio(self.visits_found, self.visits)

    @property
    def precision(self) -> float | None:
        """Share of events that touch a visit; None without events."""
        return _ratio(self.events_true, self.events)

    @property
    def false_events(self) -> int:
        """Events that touch no visit."""
        return self.events - self.events_true

    @property
    def false_per_day(self) -> float | None:
        """False events a day of media; None without media."""
        return _ratio(self.false_events * DAY, self.watched_s)

    @property
    def false_per_day_bound(self) -> float | None:
        """Upper 95 % bound of the rate of false events a day (Poisson): what the hours allow."""
        return _ratio(poisson_bound(self.false_events) * DAY, self.watched_s)

    @property
    def flaps_per_event(self) -> float | None:
        """Needless events for each found visit; None if none was found."""
        return _ratio(self.flaps, self.visits_found)

    @property
    def accuracy(self) -> float | None:
        """Share of the judged time in which presence and truth agree."""
        return _ratio(self.right_s, self.judged_s)

    @property
    def onset_p50(self) -> float | None:
        """Median onset delay, seconds."""
        return percentile(self.onset_delays, 50)

    @property
    def onset_p95(self) -> float | None:
        """95th percentile of the onset delay, seconds."""
        return percentile(self.onset_delays, 95)

    @property
    def confirm_p50(self) -> float | None:
        """Median delay until the event was told, seconds; None if confirmations are not known."""
        return percentile(self.confirm_delays, 50)

    @property
    def confirm_p95(self) -> float | None:
        """95th percentile of the delay until the event was told, seconds."""
        return percentile(self.confirm_delays, 95)


def compare(
    events: Iterable[Span], truth: Iterable[Span], watched_s: float, tolerance: float = TOLERANCE
) -> Comparison:
    """Judge the events of one camera in one clip of `watched_s` seconds.

    Events of several zones that overlap count as one if the truth is the camera's: pass
    `merged(events)`. Truth spans that overlap or touch are one visit.
    """
    reported, visits = sorted(events, key=_order), merged(truth)
    found = [[e for e in reported if e.touches(visit, tolerance)] for visit in visits]
    true = {i for i, e in enumerate(reported) if any(e.touches(v, tolerance) for v in visits)}
    firsts = [(visit, mine[0]) for visit, mine in zip(visits, found, strict=True) if mine]
    judged, right = _agreement(merged(reported), visits, watched_s, tolerance)
    return Comparison(
        visits=len(visits),
        visits_found=len(firsts),
        events=len(reported),
        events_true=len(true),
        flaps=sum(max(len(mine) - 1, 0) for mine in found),
        watched_s=watched_s,
        judged_s=judged,
        right_s=right,
        onset_delays=tuple(max(event.start - visit.start, 0.0) for visit, event in firsts),
        confirm_delays=tuple(
            max(event.confirmed - visit.start, 0.0)
            for visit, event in firsts
            if event.confirmed is not None
        ),
    )


def total(comparisons: Iterable[Comparison]) -> Comparison:
    """The counts of several clips together."""
    parts = list(comparisons)
    return Comparison(
        visits=sum(c.visits for c in parts),
        visits_found=sum(c.visits_found for c in parts),
        events=sum(c.events for c in parts),
        events_true=sum(c.events_true for c in parts),
        flaps=sum(c.flaps for c in parts),
        watched_s=sum(c.watched_s for c in parts),
        judged_s=sum(c.judged_s for c in parts),
        right_s=sum(c.right_s for c in parts),
        onset_delays=tuple(d for c in parts for d in c.onset_delays),
        confirm_delays=tuple(d for c in parts for d in c.confirm_delays),
    )


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, those that overlap or touch made one (told at the earlier confirmation)."""
    result: list[Span] = []
    for span in sorted(spans, key=_order):
        if result and span.start <= result[-1].end:
            last = result[-1]
            told = [c for c in (last.confirmed, span.confirmed) if c is not None]
            result[-1] = Span(last.start, max(last.end, span.end), min(told, default=None))
        else:
            result.append(span)
    return result


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Linear percentile; None of nothing."""
    return float(np.percentile(values, percent)) if values else None


def poisson_bound(count: int, confidence: float = 0.95) -> float:
    """The largest mean under which `count` events or fewer still have probability 1 - confidence.

    3.0 for none seen ("rule of three").
    """
    low, high = 0.0, 10.0 + 4.0 * count
    while high - low > 1e-9:
        middle = (low + high) / 2
        if _poisson_at_most(count, middle) > 1.0 - confidence:
            low = middle
        else:
            high = middle
    return high


def _poisson_at_most(count: int, mean: float) -> float:
    logs = (k * log(mean) - mean - lgamma(k + 1) for k in range(count + 1))
    return sum(exp(each) for each in logs)


def _agreement(
    events: Sequence[Span], visits: Sequence[Span], watched_s: float, tolerance: float
) -> tuple[float, float]:
    """Seconds judged, and seconds of them in which events and visits agree."""
    edges = {0.0, watched_s}
    for span in (*events, *visits):
        edges |= {span.start, span.end}
    for visit in visits:
        for edge in (visit.start, visit.end):
            edges |= {edge - tolerance, edge + tolerance}
    cuts = sorted(edge for edge in edges if 0.0 <= edge <= watched_s)
    judged = right = 0.0
    for start, end in pairwise(cuts):
        middle = (start + end) / 2
        if any(abs(middle - e) < tolerance for v in visits for e in (v.start, v.end)):
            continue
        judged += end - start
        if _within(middle, events) == _within(middle, visits):
            right += end - start
    return judged, right


def _order(span: Span) -> tuple[float, float]:
    return span.start, span.end


def _within(instant: float, spans: Sequence[Span]) -> bool:
    return any(span.start <= instant <= span.end for span in spans)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
