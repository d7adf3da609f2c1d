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
from monitor.presence.arrival import GAIN, SLOPE, SPREADS, Evidence
from monitor.presence.metrics import Span
from monitor.presence.sense import Sensed

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
    a real date. `counted`: what each score was taken for, float64 (n,), and `weighed` why (empty:
    not known); without it scores are taken for what they say. `sight`: what scene guards held back
    at each score, uint8 (n,) of HELD_ENTRIES, HELD_EXITS and BLIND; without it nothing.
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

    def gained(self, noted: Evidence, since: float, until: float) -> Trace:
        """With the scores between two seconds taken for what they would have counted for beside
        the `noted` one: against the same empty zone, while the picture differed from it."""
        if noted.level is None or noted.spread is None or noted.gain <= 0.0:
            return self
        inside = (self.at >= since) & (self.at <= until)
        odds = odds_of(self.score)
        gain = np.where(inside, np.minimum(rise(odds, noted.level, noted.spread), GAIN), 0.0)
        return replace(self, counted=logistic(odds + gain), weighed=(noted,) * self.at.size)

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


def rise(odds: Numbers, level: float, spread: float) -> Numbers:
    """As `monitor.presence.arrival.Empty.rise`, for many at once."""
    return np.asarray(SLOPE * np.maximum((odds - level) / spread - SPREADS, 0.0))


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
    score: list[float] = []
    means = history.mean.tolist()
    rising = np.gradient(history.mean).tolist() if len(history) > 1 else [0.0] * len(history)
    columns = (history.second, history.count, history.low, history.high)
    rows = zip(*(column.tolist() for column in columns), means, rising, strict=True)
    for second, count, low, high, mean, slope in rows:
        values = _spread(count, low, mean, high)
        at += [second - base + (i + 0.5) / count for i in range(count)]
        score += values if slope >= 0.0 else values[::-1]
    return Trace(name, since, np.array(at), np.array(score), dated=True)


def _spread(count: int, low: float, mean: float, high: float) -> list[float]:
    """`count` rising numbers with this least, mean and most."""
    if count == 1:
        return [mean]
    if count == 2:
        return [low, high]
    middle = (mean * count - low - high) / (count - 2)
    return [low, *[min(max(middle, low), high)] * (count - 2), high]
