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


class LagMeter:
    """How far a live stream has fallen behind: arrival against its own time.

    The least delay seen is taken for none. It may creep up by `CREEP`, for no two clocks run
    alike: 0.5 % forgives a camera that stamps 25 frames where it sends 24.9, and still tells
    when a network, or the reader, is too slow for what comes.
    """

    CREEP = 0.005
    STUBBORN = 3.0
    """Seconds a lag must last: after a hiccup the rest comes in a burst, and all is well."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._least: float | None = None
        self._before = 0.0
        self._since: float | None = None
        self.lag = 0.0
        """Seconds behind, as of the latest packet."""

    def too_late(self, seconds: float, arrived: float) -> bool:
        """Whether the stream is more than `most` seconds behind and does not catch up.

        `seconds`: the packet's media time; `arrived`: when it came, monotonic seconds.
        """
        delay = arrived - seconds
        if self._least is None:
            self._least = delay
        else:
            self._least = min(delay, self._least + self.CREEP * (arrived - self._before))
        self._before = arrived
        self.lag = delay - self._least
        if self.lag <= self._most:
            self._since = None
        elif self._since is None:
            self._since = arrived
        return self._since is not None and arrived - self._since >= self.STUBBORN


class RateMeter:
    """Frames a second over the last 32 frames."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=32)

    def add(self, seconds: float) -> float | None:
        """Count a frame at `seconds`; the rate so far, None while it cannot be told."""
        self._times.append(seconds)
        span = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / span if span > 0.0 else None
