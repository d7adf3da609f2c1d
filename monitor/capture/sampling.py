"""Which of the decoded frames are looked at: media time that only goes forward, and slots."""

from __future__ import annotations

from collections import deque
from math import floor

LONGEST_STEP = 10.0
"""Seconds between two frames of a live stream that are believed; PTS that leap further have
been set anew (a camera that found its NTP server, a wrapped counter)."""

SLOT_TOLERANCE = 0.002
"""Seconds a frame may come before its slot: containers round to milliseconds."""


class Timeline:
    """Seconds since the first frame, whatever a camera does to its time stamps.

    Follows the PTS as long as they go forward by no more than `longest_step` seconds. Where
    they are missing, stand still, run back or leap, it goes on by the step it is told.
    """

    def __init__(self, *, longest_step: float = LONGEST_STEP) -> None:
        self._longest_step = longest_step
        self._now: float | None = None
        self._last_pts: float | None = None
        self.breaks = 0
        """How often the PTS could not be followed."""

    def advance(self, pts: float | None, step: float) -> float:
        """The time of the next frame; `pts` in seconds, `step` taken where it is no use."""
        last, self._last_pts = self._last_pts, pts
        if self._now is None:
            self._now = 0.0
        elif pts is not None and last is not None and 0.0 < pts - last <= self._longest_step:
            self._now += pts - last
        else:
            self.breaks += 1
            self._now += max(0.0, step)
        return self._now


class Sampler:
    """Takes the first frame of every slot of 1/fps seconds: `fps` on average, no bursts."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._slot = -1

    def due(self, seconds: float) -> bool:
        """Whether the frame at `seconds` (never going back) is to be looked at."""
        slot = floor((seconds + SLOT_TOLERANCE) * self._fps)
        if slot <= self._slot:
            return False
        self._slot = slot
        return True


class RateMeter:
    """Frames a second over the last 32 frames."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=32)

    def add(self, seconds: float) -> float | None:
        """Count a frame at `seconds`; the rate so far, None while it cannot be told."""
        self._times.append(seconds)
        span = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / span if span > 0.0 else None
