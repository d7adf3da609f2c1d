"""The messages that pass between the rooms; a room knows these and no other room.

    capture ──Frame──▶ inference ──Score──▶ presence ──Transition, Progress, CameraHealth──▶ events
       │  └──────Outage───────────────────────▲ │
       └─────────────Attention──────────────────┘

Pictures are RGB uint8 arrays of shape (height, width, 3) everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from monitor.clock import Stamp

Picture = NDArray[np.uint8]
"""RGB, uint8, (height, width, 3)."""

WHOLE_FRAME = "frame"
"""Zone name of a camera that has no polygons: the whole picture."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One zone of a frame, cut for the network.

    `patches`: RGB uint8 (n, 224, 224, 3); the zone's score is the maximum over them.
    """

    zone: str
    patches: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What a picture is like, whoever is in it: numbers that scene guards judge.

    `brightness`, `contrast`: mean and standard deviation of luma, 0 to 255. `saturation`: mean
    distance between a pixel's strongest and weakest channel, 0 to 255; that of an infrared
    picture is next to 0. `sharpness`: variance of the Laplacian of the 224 × 224 luma. `luma`:
    the picture as uint8 (56, 56); `zones`: the same of each zone's cut.
    """

    brightness: float
    contrast: float
    saturation: float
    sharpness: float
    luma: NDArray[np.uint8]
    zones: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled picture of a camera.

    `pts`: media time in seconds, None if the stream has none. `stamp`: when it arrived (live)
    or its media time (recordings). `shown`: the picture for people, or how it is made: most
    frames are never looked at by any. `scene`: what it is like, None if nobody measured it.
    """

    camera: str
    sequence: int
    stamp: Stamp
    pts: float | None
    cuts: tuple[Cut, ...]
    shown: Picture | Callable[[], Picture]
    scene: Scene | None = None

    @property
    def picture(self) -> Picture:
        """The frame for snapshots, privacy masks applied; made anew each time."""
        return self.shown() if callable(self.shown) else self.shown


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture of a camera's better stream, taken on demand, for people only."""

    camera: str
    stamp: Stamp
    picture: Picture


@dataclass(frozen=True, slots=True)
class Score:
    """P(someone) of one zone of one frame, in [0, 1]."""

    camera: str
    zone: str
    value: float
    frame: Frame
    scored: Stamp


class OutageReason(StrEnum):
    """Why a camera is not seen. A closed list: metrics and alerts are keyed by it."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    TIMEOUT = "timeout"
    ENDED = "ended"
    CORRUPT = "corrupt"
    FROZEN = "frozen"
    LAGGING = "lagging"
    RESOLUTION_CHANGED = "resolution_changed"
    CODEC_UNSUPPORTED = "codec_unsupported"
    STOPPED = "stopped"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Outage:
    """Capture says: since `stamp` this camera is not seen. The next Score ends it."""

    camera: str
    stamp: Stamp
    reason: OutageReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Attention:
    """Presence says: look closely at this camera (`dense`), or a glance now and then will do.

    `sparse`: somebody is there, plainly, and a glance will do as rarely as `max_blind` and
    `exit_after` allow.
    """

    camera: str
    dense: bool
    sparse: bool = False


class PresenceState(StrEnum):
    """What is known about a zone. Never VACANT for want of seeing."""

    UNKNOWN = "unknown"
    VACANT = "vacant"
    OCCUPIED = "occupied"


class EndReason(StrEnum):
    """Why an occupancy event ended."""

    VACATED = "vacated"
    SIGNAL_LOST = "signal_lost"
    RESTART = "restart"
    CONFIG_CHANGED = "config_changed"
    END_OF_MEDIA = "end_of_media"


@dataclass(frozen=True, slots=True)
class Summary:
    """What an occupancy amounted to so far; scores are P(someone) in [0, 1]."""

    peak_score: float
    mean_score: float
    score_count: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A confirmed change of a zone, the only verdict that leaves the presence room.

    `at` is back-dated to the first evidence; `confirmed` is when the debounce was over.
    `event_id` names the occupancy this change opens or closes (None between UNKNOWN and VACANT).
    `end_reason` is set when OCCUPIED is left. `snapshot`: JPEG of the peak, if there is one.
    """

    camera: str
    zone: str
    previous: PresenceState
    current: PresenceState
    at: Stamp
    confirmed: Stamp
    event_id: UUID | None
    summary: Summary | None = None
    end_reason: EndReason | None = None
    snapshot: bytes | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_id: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """An occupancy goes on: last seen at `seen`, with its summary and perhaps a better snapshot."""

    event_id: UUID
    camera: str
    zone: str
    seen: Stamp
    summary: Summary
    snapshot: bytes | None = None


class Light(StrEnum):
    """By what light a camera sees."""

    COLOUR = "colour"
    """Visible light."""
    IR = "ir"
    """Infrared: a picture without colours."""
    DARK = "dark"
    """None: the picture shows nothing."""


class HealthCategory(StrEnum):
    """What kind of thing happens to a camera."""

    TAMPER = "tamper"
    """It may be somebody's doing: somebody should look."""
    SCENE_CHANGE = "scene_change"
    """The scene looks different now, as scenes do."""
    DARK = "dark"
    """There is nothing to be seen."""


class HealthKind(StrEnum):
    """What happens to a camera's picture. A closed list: metrics and alerts are keyed by it."""

    COVERED = "covered"
    MOVED = "moved"
    DEFOCUSED = "defocused"
    FROZEN = "frozen"
    LIGHT_SWITCHED = "light_switched"
    IR_SWITCHED = "ir_switched"
    CLUTTER = "clutter"
    """Rain, snow or insects before an infrared lamp."""
    DARK = "dark"

    @property
    def category(self) -> HealthCategory:
        """What kind of thing it is."""
        if self is HealthKind.DARK:
            return HealthCategory.DARK
        changes = (HealthKind.LIGHT_SWITCHED, HealthKind.IR_SWITCHED, HealthKind.CLUTTER)
        return HealthCategory.SCENE_CHANGE if self in changes else HealthCategory.TAMPER


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """Something happens to a camera's picture (`ended` is None), or no longer does.

    Both messages of a span carry the same `id`. `at`: when it began, back-dated to the first
    sign; `confirmed`: when this was certain. `detail` is for people.
    """

    id: UUID
    camera: str
    kind: HealthKind
    at: Stamp
    confirmed: Stamp
    ended: Stamp | None = None
    detail: str = ""

    @property
    def zone(self) -> str:
        """None in particular: what happens to a picture happens to all its zones."""
        return ""

    @property
    def event_id(self) -> None:
        """It belongs to no occupancy."""
        return

    @property
    def snapshot(self) -> None:
        """It brings no picture."""
        return


@dataclass(frozen=True, slots=True)
class OpenOccupancy:
    """An event found open in the database at start: presence resumes it or ends it."""

    event_id: UUID
    camera: str
    zone: str
    started: Stamp
    seen: Stamp
    summary: Summary
