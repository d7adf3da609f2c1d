"""What a capture process and its parent say to each other. Patches never travel, slots do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.capture.status import ReaderStats
from monitor.clock import Stamp
from monitor.config import CameraConfig, LoggingConfig
from monitor.messages import Attention, Picture, Scene


@dataclass(frozen=True, slots=True)
class Task:
    """What a process is told at its start. `attention`: how closely to look at cameras."""

    cameras: Mapping[str, CameraConfig]
    max_side: int
    logging: LoggingConfig
    attention: tuple[Attention, ...]


@dataclass(frozen=True, slots=True)
class Sighted:
    """A Frame, its patches in `slots`, zone after zone as many as `zones` says.

    `patches`: they themselves, for a frame with more of them than there are slots.
    """

    camera: str
    sequence: int
    stamp: Stamp
    pts: float | None
    zones: tuple[tuple[str, int], ...]
    slots: tuple[int, ...]
    patches: NDArray[np.uint8] | None
    scene: Scene | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How all readers of a process stand; said twice a second, which also tells that it lives."""

    stats: Mapping[str, ReaderStats]


@dataclass(frozen=True, slots=True)
class Freed:
    """The patches in `slots` have been read; nobody can ask for the pictures of `frames` now."""

    slots: tuple[int, ...]
    frames: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Added:
    """Read these, too."""

    cameras: Mapping[str, CameraConfig]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Read these no longer."""

    cameras: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """On the second line: the picture for people of a frame. Answered in order."""

    ticket: int
    camera: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Shown:
    """The picture, None if it cannot be made any more."""

    ticket: int
    picture: Picture | None
