"""What one zone scored over some time, from a recording or from the score history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from monitor.clock import Stamp
from monitor.events.history import ScoreHistory
from monitor.events.minutes import Spread
from monitor.presence.arrival import Evidence
from monitor.presence.metrics import Span
from monitor.presence.sense import Sensed
from monitor.review.reel import Film

Numbers = NDArray[np.float64]

LONGEST_STEP = 10.0
"""Seconds between two scores that still count as watched; longer ones are a gap."""

RECORDED = datetime(2000, 1, 1, tzinfo=UTC)
"""Second 0 of recordings, whose date nobody knows."""

HELD_ENTRIES, HELD_EXITS, BLIND = 1, 2, 4
"""What scene guards say of a score's picture: bits of `Trace.sight`."""

SURE = 1e-6
"""Scores keep this far from 0 and 1 when their log-odds are taken."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Scores of one zone in the order of time.

    `at`: seconds since `start`, float64 (n,), rising. `score`: P(someone) in [0, 1], float64
    (n,). `visits`: when somebody was there, in seconds since `start`. `dated`: whether `start` is
    a real date. `counted`: what presence took each score for, float64 (n,), NaN where nobody knows
    any more; None where scores are taken for what they say. `weighed`: why (empty: not known).
    `sight`: what scene guards held back at each score, uint8 (n,) of HELD_ENTRIES, HELD_EXITS and
    BLIND; without it nothing. `film`: shows the recording to other settings, if it is one.
    """

    name: str
    start: datetime
    at: Numbers
    score: Numbers
    visits: tuple[Span, ...] = ()
    dated: bool = False
    counted: Numbers | None = None
    weighed: tuple[Evidence | None, ...] = ()
    sight: NDArray[np.uint8] | None = None
    film: Film | None = None

    @property
    def counts(self) -> Numbers:
        """What each score is taken for; for what it says where nobody knows better."""
        if self.counted is None:
            return self.score
        return np.where(np.isnan(self.counted), self.score, self.counted)

    @property
    def unweighed_s(self) -> float:
        """Watched seconds of whose scores nobody knows what the monitor took them for."""
        if self.counted is None:
            return 0.0
        return float(self._steps[(np.isnan(self.counted) & ~self._under(BLIND))[:-1]].sum())

    @property
    def watched_s(self) -> float:
        """Seconds in which the zone was looked at; gaps, and blindness, left out."""
        return float(self._steps[~self._under(BLIND)[:-1]].sum())

    @property
    def guarded_s(self) -> float:
        """Seconds in which scene guards held something back."""
        return float(self._steps[self._under(HELD_ENTRIES | HELD_EXITS | BLIND)[:-1]].sum())

    @property
    def _steps(self) -> Numbers:
        return np.asarray(np.minimum(np.diff(self.at), LONGEST_STEP))

    def _under(self, bits: int) -> NDArray[np.bool_]:
        """Which scores a guard says one of these of."""
        if self.sight is None:
            return np.zeros(self.at.size, bool)
        return np.asarray((self.sight & bits) > 0)

    @property
    def blind(self) -> NDArray[np.bool_]:
        """Which scores are of pictures that show nothing."""
        return self._under(BLIND)

    @property
    def held(self) -> NDArray[np.bool_]:
        """At which scores no entry is confirmed."""
        return self._under(HELD_ENTRIES)

    def stamp(self, seconds: float) -> Stamp:
        """The instant `seconds` after the start."""
        return Stamp(seconds, self.start + timedelta(seconds=seconds))

    def part(self, since: float, until: float) -> Trace:
        """What lies between two of its seconds; seconds stay as they are."""
        chosen = (self.at >= since) & (self.at <= until)
        return replace(
            self,
            at=self.at[chosen],
            score=self.score[chosen],
            counted=self.counted[chosen] if self.counted is not None else None,
            weighed=tuple(compress(self.weighed, chosen.tolist())),
            sight=self.sight[chosen] if self.sight is not None else None,
        )

    def noted(self, evidence: Evidence, confirmed: float) -> Trace:
        """With what is noted with an event of the score that confirmed it."""
        if not self.at.size:
            return self
        nearest = int(np.abs(self.at - confirmed).argmin())
        weighed: list[Evidence | None] = [None] * self.at.size
        weighed[nearest] = evidence
        return replace(self, weighed=tuple(weighed))

    def occupied(self, edge: float = 0.5) -> NDArray[np.int8]:
        """Per score 1 within a visit, 0 outside, -1 nearer than `edge` seconds to its ends, and
        where the picture shows nothing."""
        label = np.zeros(self.at.size, dtype=np.int8)
        for visit in self.visits:
            around = (self.at > visit.start - edge) & (self.at < visit.end + edge)
            label[around] = -1
            label[(self.at >= visit.start + edge) & (self.at <= visit.end - edge)] = 1
        label[self.blind] = -1
        return label


def odds_of(score: Numbers) -> Numbers:
    """Log-odds of scores."""
    held = np.clip(score, SURE, 1.0 - SURE)
    return np.asarray(np.log(held / (1.0 - held)))


def logistic(odds: Numbers) -> Numbers:
    """Probabilities of log-odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def from_scores(name: str, scores: Sequence[tuple[float, float]]) -> Trace:
    """Of a recording's (seconds, score) pairs."""
    pairs = np.array(sorted(scores), dtype=np.float64).reshape(-1, 2)
    return Trace(name, RECORDED, pairs[:, 0].copy(), pairs[:, 1].copy())


def from_sensed(name: str, scores: Sequence[tuple[float, float, Sensed | None]]) -> Trace:
    """Of a recording's (seconds, score, what it was taken for) in the order of time."""
    trace = from_scores(name, [(at, score) for at, score, _ in scores])
    counted = [sensed.observation.score if sensed else score for _, score, sensed in scores]
    weighed = tuple(sensed.evidence if sensed else None for _, _, sensed in scores)
    sight = np.array([_sight_of(sensed) for _, _, sensed in scores], dtype=np.uint8)
    counts = np.array(counted, dtype=np.float64)
    return replace(trace, counted=counts, weighed=weighed, sight=sight)


def _sight_of(sensed: Sensed | None) -> int:
    if sensed is None:
        return 0
    held = HELD_ENTRIES * sensed.hold.entries | HELD_EXITS * sensed.hold.exits
    return held | BLIND * sensed.blind


def from_history(name: str, history: ScoreHistory, since: datetime) -> Trace:
    """Of stored seconds: each gets as many scores as it had, evenly spaced.

    Least, mean and most are met; in which order they came is not kept, so they rise or fall with
    the seconds around them.
    """
    base = since.timestamp()
    at: list[float] = []
    for second, count in zip(history.second.tolist(), history.count.tolist(), strict=True):
        at += [second - base + (i + 0.5) / count for i in range(count)]
    score = _one_by_one(history.scores, history.count)
    counted = _one_by_one(history.counted, history.count)
    return Trace(name, since, np.array(at), score, dated=True, counted=counted)


def _one_by_one(seconds: Spread, counts: NDArray[np.uint8]) -> Numbers:
    means = seconds.mean
    rising = np.gradient(means).tolist() if means.size > 1 else [0.0] * means.size
    columns = (counts, seconds.low, means, seconds.high)
    values: list[float] = []
    rows = zip(*(column.tolist() for column in columns), rising, strict=True)
    for count, low, mean, high, slope in rows:
        spread = _spread(count, low, mean, high)
        values += spread[::-1] if slope < 0.0 else spread
    return np.array(values)


def _spread(count: int, low: float, mean: float, high: float) -> list[float]:
    """`count` rising numbers with this least, mean and most."""
    if count == 1:
        return [mean]
    if count == 2:
        return [low, high]
    middle = (mean * count - low - high) / (count - 2)
    return [low, *[min(max(middle, low), high)] * (count - 2), high]
