"""Which scores a person should look at: a pure rule for each zone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from monitor.clock import Stamp
from monitor.config.presence import PresenceConfig, PresenceMode
from monitor.messages import Score

BELOW, ABOVE = 0.25, 0.75
"""Mode evidence: scores in between count as unsure."""

BY = 0.5
"""Mode plain: scores count as unsure up to this share of the way from the enter threshold to 1."""

GIVEN_UP = 5.0
"""Seconds after the last score that spoke for somebody: nothing came of it."""

SHORT = 3.0
"""Seconds: an event that lasts no longer is doubtful."""


class Reason(StrEnum):
    """Why a picture is kept."""

    UNSURE = "unsure"
    """Its score lies near the thresholds, or what it counts for beside the empty zone lies on the
    other side of them."""
    UNCONFIRMED = "unconfirmed"
    """Scores spoke for somebody, but not for long enough to be told."""
    SHORT = "short"
    """An event came of it, but a very short one."""


@dataclass(slots=True)
class ZoneDoubts:
    """One zone. `every`: seconds between two pictures for the same reason. Not thread-safe.

    At most one picture is held back: the best of what may come to nothing.
    """

    settings: PresenceConfig
    every: float
    occupied: bool = False
    _best: Score | None = None
    _last_hit: Stamp | None = None
    _kept: dict[Reason, Stamp] | None = None

    def on_score(self, score: Score, counted: float) -> list[tuple[Reason, Score]]:
        """What of this and earlier scores is to be kept; `counted`: what presence took it for."""
        found = []
        now = score.frame.stamp
        low, high, hit = self._bounds()
        if not self.occupied and counted >= hit:
            self._last_hit = now
            if self._best is None or score.value > self._best.value:
                self._best = score
        elif self._best and self._last_hit and now.since(self._last_hit) >= GIVEN_UP:
            found.append((Reason.UNCONFIRMED, self._best))
            self._best = self._last_hit = None
        if low <= score.value < high or (score.value >= hit) is not (counted >= hit):
            found.append((Reason.UNSURE, score))
        return [each for each in found if self._due(each[0], now)]

    def on_occupied(self, *, occupied: bool) -> None:
        """The zone is told to be occupied, or no longer."""
        self.occupied = occupied
        self._best = self._last_hit = None

    def short(self, lasted: float, now: Stamp) -> bool:
        """Whether an event that ended was so short that its picture is to be kept."""
        return lasted <= SHORT and self._due(Reason.SHORT, now)

    def _bounds(self) -> tuple[float, float, float]:
        if self.settings.mode is PresenceMode.EVIDENCE:
            return BELOW, ABOVE, 0.5
        enter = self.settings.enter_threshold
        return self.settings.exit_threshold, enter + (1.0 - enter) * BY, enter

    def _due(self, reason: Reason, now: Stamp) -> bool:
        kept = self._kept = self._kept if self._kept is not None else {}
        last = kept.get(reason)
        if last is not None and 0.0 <= now.since(last) < self.every:
            return False
        kept[reason] = now
        return True
