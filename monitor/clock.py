"""Time as it is used everywhere: one stamp that carries both of its faces.

Durations are computed on `monotonic` seconds only, which never step; `utc` is what people
read and databases keep. Media files bring a clock of their own: `MediaClock` turns PTS into
stamps so that a recording passes through the very same rooms as a live camera.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """One instant: `monotonic` in seconds (order, durations) and its aware UTC time."""

    monotonic: float
    utc: datetime

    def __post_init__(self) -> None:
        if self.utc.tzinfo is None:
            raise ValueError("a Stamp needs an aware UTC datetime, got a naive one")

    def since(self, earlier: Stamp) -> float:
        """Seconds from `earlier` to here, on the monotonic clock."""
        return self.monotonic - earlier.monotonic

    def shifted(self, seconds: float) -> Stamp:
        """The instant `seconds` later (earlier when negative)."""
        return Stamp(self.monotonic + seconds, self.utc + timedelta(seconds=seconds))


class Clock(Protocol):
    """What parts that need the time are given."""

    def now(self) -> Stamp:
        """The present instant."""
        ...


class SystemClock:
    """The machine's clock: `time.monotonic` beside UTC wall time."""

    def now(self) -> Stamp:
        return Stamp(time.monotonic(), datetime.now(UTC))


class MediaClock:
    """Instants of a recording: second 0 of the media is `epoch`."""

    def __init__(self, epoch: datetime) -> None:
        self._start = Stamp(0.0, epoch)

    def at(self, seconds: float) -> Stamp:
        """The instant `seconds` into the media."""
        return self._start.shifted(seconds)
