"""Frames whose scores by the tiny model are known."""

from __future__ import annotations

import numpy as np

from monitor.clock import SystemClock
from monitor.messages import Cut, Frame

CLOCK = SystemClock()


def patches_of(*reds: int) -> np.ndarray:
    """Patches of one colour each, which the tiny model scores `red / 255`."""
    patches = np.zeros((len(reds), 224, 224, 3), np.uint8)
    patches[..., 0] = np.array(reds)[:, None, None]
    return patches


def make_frame(camera: str, sequence: int, **zones: tuple[int, ...]) -> Frame:
    """A frame whose zones have patches of these reds; the zone `frame` scores `sequence` else."""
    zones = zones or {"frame": (sequence % 256,)}
    cuts = tuple(Cut(zone, patches_of(*reds)) for zone, reds in zones.items())
    return Frame(camera, sequence, CLOCK.now(), None, cuts, np.zeros((4, 4, 3), np.uint8))
