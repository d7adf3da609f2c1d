"""What is known of one reader: its state, its counters, and whether an outage is under way.

    IDLE ─▶ CONNECTING ─▶ STREAMING ◀─▶ STALLED
               ▲  │           │            │
               │  └───────────┴─────┬──────┘
               └────── BACKOFF ◀────┴──▶ FAILED          any ─▶ STOPPED

STREAMING means that pictures are decoded, not that a connection stands. The reader thread and
the watchdog both write here; one lock guards all of it and is never held while a callback runs.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from enum import StrEnum

from monitor.capture.failures import Failure
from monitor.clock import Clock, Stamp
from monitor.messages import Outage, OutageReason


class ReaderState(StrEnum):
    """Where a reader stands."""

    IDLE = "idle"
    """Not started."""
    CONNECTING = "connecting"
    """Opening the source, or waiting for its first picture."""
    STREAMING = "streaming"
    """Pictures are being decoded."""
    STALLED = "stalled"
    """Connected, but no picture for longer than the timeouts allow."""
    BACKOFF = "backoff"
    """Waiting before the next try."""
    FAILED = "failed"
    """Over for good: a file that is not to be looped has ended."""
    STOPPED = "stopped"
    """Told to stop."""


_S = ReaderState
NEXT: dict[ReaderState, frozenset[ReaderState]] = {
    _S.IDLE: frozenset({_S.CONNECTING, _S.STOPPED}),
    _S.CONNECTING: frozenset({_S.STREAMING, _S.STALLED, _S.BACKOFF, _S.FAILED, _S.STOPPED}),
    _S.STREAMING: frozenset({_S.STALLED, _S.BACKOFF, _S.FAILED, _S.STOPPED}),
    _S.STALLED: frozenset({_S.STREAMING, _S.BACKOFF, _S.FAILED, _S.STOPPED}),
    _S.BACKOFF: frozenset({_S.CONNECTING, _S.STOPPED}),
    _S.FAILED: frozenset({_S.STOPPED}),
    _S.STOPPED: frozenset(),
}
"""Which state may follow which. STOPPED is final: a thread that wakes up late changes nothing."""


FROZEN = Failure(OutageReason.FROZEN, "the picture does not change any more")


@dataclass(frozen=True, slots=True)
class ReaderStats:
    """A reader at one instant.

    `reason`, `detail`: why it is not (or was last not) streaming; None before any trouble.
    `since`: when the state began. `last_frame`: when the last picture was decoded, monotonic
    seconds. `frames_received`, `frames_decoded`, `frames_sampled`, `frames_corrupt` and
    `reconnects` (tries to open it after the first) count from the start. `width`, `height`:
    pixels; `codec`: FFmpeg's name; `fps`: frames a second that it sends; `group`: seconds between
    keyframes; `lag`: seconds that it is behind its own clock. `dense`: it is looked at closely.
    """

    state: ReaderState
    reason: OutageReason | None
    detail: str
    since: Stamp
    frames_received: int = 0
    frames_decoded: int = 0
    frames_sampled: int = 0
    frames_corrupt: int = 0
    last_frame: float | None = None
    reconnects: int = 0
    width: int | None = None
    height: int | None = None
    codec: str | None = None
    fps: float | None = None
    group: float | None = None
    lag: float = 0.0
    dense: bool = False


class Status:
    """The one record that reader, watchdog and health look at."""

    def __init__(self, camera: str, clock: Clock, *, frozen_after: float = 0.0) -> None:
        """`frozen_after`: seconds after which the same picture is no sight; 0: never."""
        self._camera = camera
        self._clock = clock
        self._frozen_after = frozen_after
        self._mark: int | None = None
        self._changed: float | None = None
        self._lock = threading.Lock()
        self._stats = ReaderStats(ReaderState.IDLE, None, "", clock.now())
        # What changes with every packet: a copy of the record for each took longer than all else.
        self._received = self._corrupt = 0
        self._fps: float | None = None
        self._group: float | None = None
        self._lag = 0.0
        self._dense = False
        self._seen: Stamp | None = None
        self._packet: float | None = None
        self._dark = False
        self._tries = 0
        self._busy = False
        self._waiting = False
        self.patience = 0.0
        """Seconds between two pictures that the decode policy allows on purpose."""

    def stats(self) -> ReaderStats:
        """A consistent copy."""
        with self._lock:
            return replace(
                self._stats,
                frames_received=self._received,
                frames_corrupt=self._corrupt,
                fps=self._fps,
                group=self._group,
                lag=self._lag,
                dense=self._dense,
            )

    def connecting(self) -> None:
        """A try to open the source begins."""
        with self._lock:
            if not self._frozen():
                self._mark = self._changed = None
            if self._enter(ReaderState.CONNECTING):
                self._stats = replace(self._stats, reconnects=self._tries)
                self._tries += 1

    def stopped(self) -> None:
        """The reader was told to stop."""
        with self._lock:
            if self._enter(ReaderState.STOPPED):
                self._stats = replace(self._stats, reason=OutageReason.STOPPED, detail="")

    def received(self, now: Stamp, fps: float | None) -> None:
        """A packet came at `now`, of a stream with that many a second."""
        with self._lock:
            self._packet = now.monotonic
            self._waiting = False
            self._received += 1
            self._fps = fps

    def worked(self, *, corrupt: int, group: float | None, lag: float, dense: bool) -> None:
        """A packet was dealt with; `corrupt`: how many more pictures are damaged."""
        with self._lock:
            self._corrupt += corrupt
            self._group, self._lag, self._dense = group, lag, dense

    def looked(self, mark: int) -> bool:
        """A picture was looked at, `mark` tells it from others; whether the camera is alive.

        A camera that froze stays so, reconnects or not, until its picture is another one.
        """
        with self._lock:
            if mark != self._mark:
                self._mark, self._changed = mark, self._clock.now().monotonic
            return not self._frozen()

    def decoded(self, codec: str, width: int, height: int) -> Stamp:
        """A picture was decoded: the camera is seen, any outage is over. When that was.

        A frozen camera's pictures are counted, but show nothing.
        """
        with self._lock:
            now = self._clock.now()
            if not self._frozen():
                self._seen = now
                self._enter(ReaderState.STREAMING)
                self._dark = False
            self._stats = replace(
                self._stats,
                frames_decoded=self._stats.frames_decoded + 1,
                last_frame=now.monotonic,
                width=width,
                height=height,
                codec=codec,
            )
            return now

    def sampled(self) -> None:
        """A picture is sent out."""
        with self._lock:
            total = self._stats.frames_sampled + 1
            self._stats = replace(self._stats, frames_sampled=total)

    def waiting(self) -> None:
        """The reader waits on purpose (a paced file) before it takes the next packet."""
        with self._lock:
            self._waiting = True

    def busy(self, yes: bool) -> None:
        """The reader is inside the consumer's callback."""
        with self._lock:
            self._busy = yes

    def lost(self, state: ReaderState, failure: Failure) -> Outage | None:
        """The source is lost, `state` follows; the Outage to send unless one is under way."""
        with self._lock:
            return self._lose(state, failure)

    def overdue(self, open_timeout: float, read_timeout: float) -> Outage | None:
        """For the watchdog: go to STALLED if a picture is overdue; the Outage to send, if any.

        A first picture may take both timeouts, each further packet the read timeout, and each
        further picture the `patience` of the decode policy on top.
        """
        with self._lock:
            now = self._clock.now().monotonic
            silent = self._packet is None or now - self._packet > read_timeout
            if self._stats.state is ReaderState.CONNECTING:
                age = now - self._stats.since.monotonic
                late = age > open_timeout + read_timeout + self.patience
            elif self._stats.state is ReaderState.STREAMING and self._seen is not None:
                age = now - self._seen.monotonic
                late = silent or self._frozen() or age > read_timeout + self.patience
            else:
                return None
            if not late or self._waiting:
                return None
            return self._lose(ReaderState.STALLED, self._why_overdue(age, silent))

    def _why_overdue(self, age: float, silent: bool) -> Failure:
        if self._busy:
            return Failure(OutageReason.LAGGING, "the frames are not taken off the reader's hands")
        if self._frozen():
            return FROZEN
        if not silent:
            return Failure(OutageReason.CORRUPT, "data comes, but no picture can be decoded")
        return Failure(OutageReason.TIMEOUT, f"no picture for {age:.1f} s")

    def _frozen(self) -> bool:
        if not self._frozen_after or self._changed is None:
            return False
        return self._clock.now().monotonic - self._changed > self._frozen_after

    def _lose(self, state: ReaderState, failure: Failure) -> Outage | None:
        if not self._enter(state):
            return None
        self._stats = replace(self._stats, reason=failure.reason, detail=failure.detail)
        if self._dark:
            return None
        self._dark = True
        since = self._seen or self._stats.since
        return Outage(self._camera, since, failure.reason, failure.detail)

    def _enter(self, state: ReaderState) -> bool:
        """Go to `state` if that may follow; whether the reader is in it now."""
        if state is self._stats.state:
            return True
        if state not in NEXT[self._stats.state]:
            return False
        self._stats = replace(self._stats, state=state, since=self._clock.now())
        return True
