"""One zone's scores of one minute, packed: per second how many, the least, the mean, the most.

Scores are kept as a byte each, in steps of 0.063 of log-odds between `LEAST` and `1 - LEAST`: an
error of at most 0.008 at 0.5 and 0.0003 at 0.99, where thresholds are fine.

A pack is `form, body`. Form 1 is the body as it is, form 2 the body deflated; whichever is
shorter. The body: 60 counts (255 means 255 or more), then a byte for the mean of each second that
has scores, then for each second with two scores or more how many steps the least lies below the
mean, then how many the most lies above it.
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
_MOST = 255


@dataclass(slots=True)
class Tallies:
    """The scores of one minute as they come; lists, for single scores go in one by one."""

    count: list[int] = field(default_factory=lambda: [0] * SECONDS)
    low: list[float] = field(default_factory=lambda: [1.0] * SECONDS)
    total: list[float] = field(default_factory=lambda: [0.0] * SECONDS)
    high: list[float] = field(default_factory=lambda: [0.0] * SECONDS)

    def add(self, second: int, score: float) -> None:
        """Count a score in [0, 1] of second 0 to 59."""
        self.count[second] += 1
        self.total[second] += score
        self.low[second] = min(self.low[second], score)
        self.high[second] = max(self.high[second], score)


@dataclass(frozen=True, slots=True)
class Minute:
    """Sixty seconds of scores: counts uint8, and P(someone) float64; all of shape (60,).

    Where the count is 0 the others mean nothing.
    """

    count: NDArray[np.uint8]
    low: NDArray[np.float64]
    mean: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, tallies: Tallies) -> Minute:
        """What was counted."""
        count = np.array(tallies.count)
        return cls(
            np.minimum(count, _MOST).astype(np.uint8),
            np.array(tallies.low),
            np.array(tallies.total) / np.maximum(count, 1),
            np.array(tallies.high),
        )

    def joined(self, other: Minute) -> Minute:
        """Of each second the account with more scores: joining a minute with itself is nothing."""
        theirs = other.count > self.count
        return Minute(
            np.where(theirs, other.count, self.count),
            np.where(theirs, other.low, self.low),
            np.where(theirs, other.mean, self.mean),
            np.where(theirs, other.high, self.high),
        )


def pack(minute: Minute) -> bytes:
    """The minute as few bytes."""
    seen = minute.count > 0
    many = minute.count > 1
    mean = _to_steps(minute.mean)
    below = mean[many] - _to_steps(minute.low)[many]
    above = _to_steps(minute.high)[many] - mean[many]
    parts = (minute.count, mean[seen], np.maximum(below, 0), np.maximum(above, 0))
    body = b"".join(part.astype(np.uint8).tobytes() for part in parts)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = deflater.compress(body) + deflater.flush()
    return _DEFLATED + deflated if len(deflated) < len(body) else _PLAIN + body


def unpack(data: bytes) -> Minute:
    """What `pack` packed. Raises ValueError for anything else."""
    form, body = data[:1], data[1:]
    if form == _DEFLATED:
        try:
            body = zlib.decompress(body, -15)
        except zlib.error as error:
            raise ValueError(f"a minute of scores is damaged: {error}") from error
    elif form != _PLAIN:
        raise ValueError(f"a minute of scores has the unknown form {form!r}")
    numbers = np.frombuffer(body, dtype=np.uint8)
    count = numbers[:SECONDS]
    seen, many = count > 0, count > 1
    singles, pairs = int(seen.sum()), int(many.sum())
    if numbers.size != SECONDS + singles + 2 * pairs:
        raise ValueError("a minute of scores has the wrong length")
    mean, low, high = (np.zeros(SECONDS, dtype=np.int64) for _ in range(3))
    mean[seen] = numbers[SECONDS : SECONDS + singles]
    low[:], high[:] = mean, mean
    low[many] -= numbers[SECONDS + singles : SECONDS + singles + pairs]
    high[many] += numbers[SECONDS + singles + pairs :]
    return Minute(count, _to_scores(low), _to_scores(mean), _to_scores(high))


def _to_steps(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    held = np.clip(scores, LEAST, 1.0 - LEAST)
    odds = np.log(held / (1.0 - held))
    return np.clip(np.round((odds + _RANGE) * (_STEPS / (2 * _RANGE))), 0, _STEPS).astype(np.int64)


def _to_scores(steps: NDArray[np.int64]) -> NDArray[np.float64]:
    odds = steps * (2 * _RANGE / _STEPS) - _RANGE
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))
