"""How hard a channel may be pressed: backoff, circuit breaker, rate. Seconds are monotonic."""

from __future__ import annotations

from collections.abc import Callable

FIRST_PAUSE, LAST_PAUSE = 1.0, 300.0
"""Seconds before the second try, and the most before any other."""

LAST_TRIAL = 30.0
"""Most seconds between two single tries of a channel that does not work."""

FAILURES_TO_OPEN = 3
"""Failures in a row after which a channel is left alone for a while."""


def backoff(attempts: int, random: Callable[[], float]) -> float:
    """Seconds to wait after `attempts` failed tries: doubling, half of it by chance."""
    pause = min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 20))
    return pause * (0.5 + 0.5 * random())


class Breaker:
    """Opens after failures in a row, then lets one try through after growing pauses."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self.failures = 0
        self._closed_at = 0.0

    @property
    def open(self) -> bool:
        """Whether the channel failed so often that only single tries are made."""
        return self.failures >= FAILURES_TO_OPEN

    def wait(self, now: float) -> float:
        """Seconds until the next try may be made."""
        return max(0.0, self._closed_at - now) if self.open else 0.0

    def succeeded(self) -> bool:
        """Note a success; True if it ends a row of failures."""
        recovered, self.failures = self.failures > 0, 0
        return recovered

    def failed(self, now: float) -> None:
        """Note a failure."""
        self.failures += 1
        if self.open:
            pause = backoff(self.failures - FAILURES_TO_OPEN + 1, self._random)
            self._closed_at = now + min(pause, LAST_TRIAL)


class Rate:
    """A bucket of tokens: at most `per_minute`, a tenth of them at once."""

    def __init__(self, per_minute: float | None) -> None:
        self._per_second = None if per_minute is None else per_minute / 60.0
        self._burst = max(1.0, (per_minute or 0.0) / 10.0)
        self._tokens = self._burst
        self._at: float | None = None

    def wait(self, now: float) -> float:
        """Seconds until one more may go; 0 takes a token."""
        if self._per_second is None:
            return 0.0
        if self._at is not None:
            self._tokens += max(0.0, now - self._at) * self._per_second
            self._tokens = min(self._burst, self._tokens)
        self._at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._per_second
