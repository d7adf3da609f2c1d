"""What an occupancy, or what may become one, amounts to: its scores and its best picture."""

from __future__ import annotations

from collections.abc import Callable

from monitor.clock import Stamp
from monitor.messages import OpenOccupancy, Picture, Score, Summary

Encode = Callable[[Picture], bytes]
"""Makes a JPEG of an RGB picture."""


class Tally:
    """Scores counted: their number, sum and peak, and the picture of the peak as JPEG."""

    def __init__(self, count: int = 0, total: float = 0.0, peak: float = -1.0) -> None:
        self.count = count
        self.total = total
        self.peak = peak
        self.snapshot: bytes | None = None

    def add(self, score: float) -> None:
        """Count one score."""
        self.count += 1
        self.total += score
        self.peak = max(self.peak, score)

    def absorb(self, later: Tally) -> None:
        """Count what `later` counted, too."""
        self.count += later.count
        self.total += later.total
        if later.peak > self.peak:
            self.peak, self.snapshot = later.peak, later.snapshot


class Occupancy:
    """Gathers from `onset` on; holds two JPEGs at most, however long it lasts.

    Scores after the last evidence wait in a tail: they count once evidence follows, and never
    if the occupancy ends, since it then ended before them.
    """

    def __init__(self, onset: Stamp, encode: Encode | None) -> None:
        self.onset = onset
        self._encode = encode
        self._settled = Tally()
        self._tail = Tally()
        self._handed_out: bytes | None = None

    @classmethod
    def resumed(cls, onset: Stamp, summary: Summary, encode: Encode | None) -> Occupancy:
        """Go on with what was gathered before a restart; its picture is in the database."""
        occupancy = cls(onset, encode)
        total = summary.mean_score * summary.score_count
        occupancy._settled = Tally(summary.score_count, total, summary.peak_score)
        return occupancy

    def add(self, score: Score, *, evident: bool) -> None:
        """Count a score; `evident` says that it speaks for somebody being there."""
        beats = score.value > max(self._settled.peak, self._tail.peak)
        self._tail.add(score.value)
        if beats and self._encode is not None:
            self._tail.snapshot = self._encode(score.frame.picture)
        if evident:
            self._settled.absorb(self._tail)
            self._tail = Tally()

    def summary(self) -> Summary:
        """Peak, mean and number of the scores from the onset to the last evidence."""
        settled = self._settled
        return Summary(settled.peak, settled.total / max(settled.count, 1), settled.count)

    def new_snapshot(self) -> bytes | None:
        """The JPEG of the peak, unless this very picture was handed out before."""
        snapshot = self._settled.snapshot
        if snapshot is self._handed_out:
            return None
        self._handed_out = snapshot
        return snapshot


def rebased(found: OpenOccupancy, now: Stamp) -> OpenOccupancy:
    """The same occupancy with stamps of this run's monotonic clock.

    Monotonic seconds mean nothing across a restart; ages come from UTC. A `seen` in the future
    (the wall clock was set back) becomes now.
    """
    seen_age = max((now.utc - found.seen.utc).total_seconds(), 0.0)
    started_age = max((now.utc - found.started.utc).total_seconds(), seen_age)
    return OpenOccupancy(
        found.event_id,
        found.camera,
        found.zone,
        Stamp(now.monotonic - started_age, min(found.started.utc, now.utc)),
        Stamp(now.monotonic - seen_age, min(found.seen.utc, now.utc)),
        found.summary,
    )
