"""Whether anything moves in a zone, down to a hand: a pure function of (state, picture, time).

Each picture is compared with a slow average of those before it. A cell moved if it differs by
more than sensor noise, and by more than this cell does when the place is empty (leaves, a
flickering lamp): that unrest is learned while the zone is VACANT only, or somebody who fidgets
would be learned. Something stirs where three neighbouring cells moved: of 56 × 56 over a zone, a
sitting person's head is about ten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.clock import Stamp
from monitor.presence.likeness import Grid, Luma, motion

LEAST = 4.0
"""Grey levels by which a cell must differ to have moved."""

NEIGHBOURS = 3
"""Cells in one place that must have moved."""

FOLLOWS = 10.0
"""Time constant in seconds of the average picture: sunlight creeps, people do not."""

UNREST_MEMORY, UNREST_FACTOR = 600.0, 4.0
"""Seconds over which a cell's unrest is averaged, and how far beyond it is motion."""

PAUSE, LIVELY_AFTER = 3.0, 3.0
"""Seconds between two stirs of one bustle, and how long it lasts to be lively: neither a shadow
nor an insect does."""


@dataclass(frozen=True, slots=True, eq=False)
class Stillness:
    """What is remembered of a zone's motion; of constant size.

    `usual`: the average picture. `unrest`: each cell's usual distance from it. `since`: when the
    first picture was seen, `stirred`: when something last moved, `bustle`: since when it has
    done so without a pause.
    """

    usual: Grid | None = None
    unrest: Grid | None = None
    seen: Stamp | None = None
    since: Stamp | None = None
    stirred: Stamp | None = None
    bustle: Stamp | None = None

    @property
    def still_since(self) -> Stamp | None:
        """Since when nothing has moved."""
        return self.stirred or self.since

    @property
    def stirs(self) -> bool:
        """Whether something moved in the last picture."""
        return self.stirred is not None and self.stirred == self.seen

    @property
    def lively(self) -> bool:
        """Whether something keeps moving."""
        if self.bustle is None or self.stirred is None or self.seen is None:
            return False
        lasted = self.stirred.since(self.bustle) >= LIVELY_AFTER
        return lasted and self.seen.since(self.stirred) <= PAUSE


def look(still: Stillness, luma: Luma, now: Stamp, *, comparable: bool, vacant: bool) -> Stillness:
    """Take a picture of the zone in: uint8 (56, 56).

    `comparable`: False while the light changes, when everything differs and nothing moved.
    `vacant`: nobody is there, so what moves is the place.
    """
    picture = luma.astype(np.float32)
    if still.usual is None or still.unrest is None or not comparable:
        unrest = still.unrest if still.unrest is not None else np.zeros_like(picture)
        since = still.since or now
        return replace(still, usual=picture, unrest=unrest, seen=now, since=since)
    elapsed = now.since(still.seen) if still.seen is not None else 0.0
    moved = motion(picture, still.usual)
    cells = moved.moved(LEAST) & (moved.distance > UNREST_FACTOR * still.unrest)
    stirs = np.count_nonzero(cells) >= NEIGHBOURS and largest(cells) >= NEIGHBOURS
    unrest = still.unrest
    if vacant:
        rate = np.float32(1.0 - np.exp(-min(elapsed, PAUSE) / UNREST_MEMORY))
        unrest = unrest + rate * (moved.distance - unrest)
    if not stirs:
        follow = np.float32(1.0 - np.exp(-elapsed / FOLLOWS))
        usual = still.usual + follow * (picture - still.usual)
        return replace(still, usual=usual, unrest=unrest, seen=now)
    paused = still.stirred is None or now.since(still.stirred) > PAUSE
    bustle = now if paused else still.bustle
    return replace(still, usual=picture, unrest=unrest, seen=now, stirred=now, bustle=bustle)


def largest(cells: NDArray[np.bool_]) -> int:
    """Of the cells that moved or differ, how many lie in the largest place."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(cells.view(np.uint8), connectivity=8)
    return int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
