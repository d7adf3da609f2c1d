"""One zone's scores of one minute, packed: per second how many, the least, the mean, the most.

The same of what presence took the scores for (`monitor.presence.sense`), if that is known.

Scores are kept as a byte each, in steps of 0.063 of log-odds between `LEAST` and `1 - LEAST`: an
error of at most 0.008 at 0.5 and 0.0003 at 0.99, where thresholds are fine.

A pack is `form, body`. Form 1 is the body as it is, form 2 the body deflated; whichever is
shorter. The body: 60 counts (255 means 255 or more), then a byte for the mean of each second that
has scores, then for each second with two scores or more how many steps the least lies below the
mean, then how many the most lies above it. Forms 3 and 4, plain and deflated, have what the scores
counted for besides: those three rows once more, each byte less its fellow in the first three,
modulo 256. Mostly that is nothing but zeros, which take next to no room.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SECONDS = 60
LEAST = 0.000335
"""The smallest score that is told from 0: the logistic of -8."""

_RANGE = 8.0
_STEPS = 255
_PLAIN, _DEFLATED = b"\x01", b"\x02"
_PLAIN_WEIGHED, _DEFLATED_WEIGHED = b"\x03", b"\x04"
_MOST = 255

Scores = NDArray[np.float64]
Steps = NDArray[np.int64]


@dataclass(slots=True)
class _Sums:
    """Least, sum and most of numbers in [0, 1], for each second."""

    low: list[float] = field(default_factory=lambda: [1.0] * SECONDS)
    total: list[float] = field(default_factory=lambda: [0.0] * SECONDS)
    high: list[float] = field(default_factory=lambda: [0.0] * SECONDS)

    def add(self, second: int, value: float) -> None:
        self.total[second] += value
        self.low[second] = min(self.low[second], value)
        self.high[second] = max(self.high[second], value)


@dataclass(slots=True)
class Tallies:
    """The scores of one minute as they come; lists, for single scores go in one by one.

    `weighed`: of each it is known what it counted for.
    """

    count: list[int] = field(default_factory=lambda: [0] * SECONDS)
    scores: _Sums = field(default_factory=_Sums)
    counted: _Sums = field(default_factory=_Sums)
    weighed: bool = True

    def add(self, second: int, score: float, counted: float | None = None) -> None:
        """Count a score in [0, 1] of second 0 to 59, and what it `counted` for, if known."""
        self.count[second] += 1
        self.scores.add(second, score)
        if counted is None:
            self.weighed = False
        else:
            self.counted.add(second, counted)


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, mean and most of each second: P(someone), float64 (60,)."""

    low: Scores
    mean: Scores
    high: Scores

    @classmethod
    def of(cls, sums: _Sums, count: NDArray[np.int64]) -> Spread:
        """Of what was added up."""
        return cls(
            np.array(sums.low), np.array(sums.total) / np.maximum(count, 1), np.array(sums.high)
        )

    def chosen(self, other: Spread, theirs: NDArray[np.bool_]) -> Spread:
        """Those seconds of the other, else ours."""
        return Spread(
            np.where(theirs, other.low, self.low),
            np.where(theirs, other.mean, self.mean),
            np.where(theirs, other.high, self.high),
        )


@dataclass(frozen=True, slots=True)
class Minute:
    """Sixty seconds: counts, uint8 (60,), the scores, and what they `counted` for (None: that is
    not known). Where the count is 0 the others mean nothing."""

    count: NDArray[np.uint8]
    scores: Spread
    counted: Spread | None = None

    @classmethod
    def of(cls, tallies: Tallies) -> Minute:
        """What was counted."""
        count = np.array(tallies.count)
        return cls(
            np.minimum(count, _MOST).astype(np.uint8),
            Spread.of(tallies.scores, count),
            Spread.of(tallies.counted, count) if tallies.weighed else None,
        )

    def joined(self, other: Minute) -> Minute:
        """Of each second the account with more scores: joining a minute with itself is nothing."""
        theirs = other.count > self.count
        counted = None
        if self.counted is not None and other.counted is not None:
            counted = self.counted.chosen(other.counted, theirs)
        return Minute(
            np.where(theirs, other.count, self.count),
            self.scores.chosen(other.scores, theirs),
            counted,
        )


def pack(minute: Minute) -> bytes:
    """The minute as few bytes."""
    rows = _rows(minute.scores, minute.count)
    plain, packed = _PLAIN, _DEFLATED
    if minute.counted is not None:
        plain, packed = _PLAIN_WEIGHED, _DEFLATED_WEIGHED
        rows = np.concatenate([rows, _rows(minute.counted, minute.count) - rows])
    body = minute.count.tobytes() + (rows % (_MOST + 1)).astype(np.uint8).tobytes()
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = deflater.compress(body) + deflater.flush()
    return packed + deflated if len(deflated) < len(body) else plain + body


def _rows(spread: Spread, count: NDArray[np.uint8]) -> Steps:
    """The mean of each second that has scores; of those with more how far the others lie off."""
    many = count > 1
    mean = _to_steps(spread.mean)
    below = mean[many] - _to_steps(spread.low)[many]
    above = _to_steps(spread.high)[many] - mean[many]
    return np.concatenate([mean[count > 0], np.maximum(below, 0), np.maximum(above, 0)])


def unpack(data: bytes) -> Minute:
    """What `pack` packed. Raises ValueError for anything else."""
    form, body = data[:1], data[1:]
    if form in {_DEFLATED, _DEFLATED_WEIGHED}:
        try:
            body = zlib.decompress(body, -15)
        except zlib.error as error:
            raise ValueError(f"a minute of scores is damaged: {error}") from error
    elif form not in {_PLAIN, _PLAIN_WEIGHED}:
        raise ValueError(f"a minute of scores has the unknown form {form!r}")
    weighed = form in {_PLAIN_WEIGHED, _DEFLATED_WEIGHED}
    numbers = np.frombuffer(body, dtype=np.uint8)
    count = numbers[:SECONDS]
    length = int((count > 0).sum()) + 2 * int((count > 1).sum())
    if count.size != SECONDS or numbers.size != SECONDS + length * (2 if weighed else 1):
        raise ValueError("a minute of scores has the wrong length")
    rows = numbers[SECONDS : SECONDS + length].astype(np.int64)
    if not weighed:
        return Minute(count, _spread(rows, count))
    counted = (rows + numbers[SECONDS + length :]) % (_MOST + 1)
    return Minute(count, _spread(rows, count), _spread(counted, count))


def _spread(rows: Steps, count: NDArray[np.uint8]) -> Spread:
    """What `_rows` came from."""
    seen, many = count > 0, count > 1
    singles, pairs = int(seen.sum()), int(many.sum())
    mean = np.zeros(SECONDS, dtype=np.int64)
    mean[seen] = rows[:singles]
    low, high = mean.copy(), mean.copy()
    low[many] -= rows[singles : singles + pairs]
    high[many] += rows[singles + pairs :]
    return Spread(_to_scores(low), _to_scores(mean), _to_scores(high))


def _to_steps(scores: Scores) -> Steps:
    held = np.clip(scores, LEAST, 1.0 - LEAST)
    odds = np.log(held / (1.0 - held))
    return np.clip(np.round((odds + _RANGE) * (_STEPS / (2 * _RANGE))), 0, _STEPS).astype(np.int64)


def _to_scores(steps: Steps) -> Scores:
    odds = steps * (2 * _RANGE / _STEPS) - _RANGE
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))
