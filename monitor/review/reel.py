"""A recording as presence saw it, to be judged again: the engine itself, under other settings.

What the network and the scene guards say of a picture does not depend on a zone's settings; what
its score counts for does, for that depends on whether the zone was thought to be occupied. So each
score is kept with what its picture showed of the zone (56 x 56 luma, 3 kB, in a temporary file:
56 MB an hour at five a second), and `Reel.judged` shows them to a new tracker.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import numpy as np

from monitor.clock import Stamp
from monitor.config.guards import GuardConfig
from monitor.config.presence import PresenceConfig
from monitor.errors import UsageError
from monitor.imaging.scene import SMALL
from monitor.messages import (
    Cut,
    EndReason,
    Frame,
    Picture,
    PresenceState,
    Progress,
    Scene,
    Score,
    Transition,
)
from monitor.presence.guards import Sight
from monitor.presence.metrics import Span
from monitor.presence.sense import Sensed
from monitor.presence.sentinel import Sentinel
from monitor.presence.tracker import Surroundings, ZoneTracker

NO_CUTS: tuple[Cut, ...] = ()
NO_PICTURE: Picture = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class _Look:
    """One score. `moved`: from this picture on the camera's new view is the usual one.
    `pictured`: its luma is kept."""

    at: float
    utc: datetime
    score: float
    sight: Sight
    moved: bool
    pictured: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """What the engine told, in seconds of the recording, and what it took each score for."""

    events: tuple[Span, ...]
    sensed: tuple[Sensed | None, ...]


class Reel:
    """The looks at one zone in one recording. Not thread-safe."""

    def __init__(self, camera: str, zone: str) -> None:
        self._camera = camera
        self._zone = zone
        self._looks: list[_Look] = []
        try:
            self._file = tempfile.TemporaryFile(prefix="presence-reel-")  # noqa: SIM115
        except OSError as error:
            raise _no_room(error) from error

    def close(self) -> None:
        """Give the temporary file back."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._looks)

    def add(self, score: Score, sight: Sight, *, moved: bool) -> None:
        """Keep a score of this zone, in the order of time. Raises UsageError on a full disk."""
        scene = score.frame.scene
        luma = scene.zones.get(self._zone) if scene is not None else None
        stamp = score.frame.stamp
        shown = luma if luma is not None else np.zeros((SMALL, SMALL), np.uint8)
        try:
            self._file.write(np.ascontiguousarray(shown, np.uint8).tobytes())
        except OSError as error:
            raise _no_room(error) from error
        self._looks.append(
            _Look(stamp.monotonic, stamp.utc, score.value, sight, moved, luma is not None)
        )

    def judged(self, settings: PresenceConfig) -> Judged:
        """What these settings would have told of it, from an engine that knows nothing before."""
        told = Told()
        around = Surroundings(told.hear, uuid4, None, "", float("inf"))
        tracker = ZoneTracker(self._camera, self._zone, settings, around)
        sensed: list[Sensed | None] = []
        stamp = None
        for score, look in self._again():
            if look.moved:
                tracker.forget()
            tracker.on_score(score, look.sight)
            sensed.append(tracker.sensed)
            stamp = score.frame.stamp
        if stamp is not None:
            tracker.finish(EndReason.END_OF_MEDIA, stamp)
        return Judged(tuple(told.events), tuple(sensed))

    def _again(self) -> Iterator[tuple[Score, _Look]]:
        """The scores as they came."""
        self._file.flush()
        descriptor = self._file.fileno()
        for number, look in enumerate(self._looks):
            stamp = Stamp(look.at, look.utc)
            scene = None
            if look.pictured:
                data = os.pread(descriptor, SMALL * SMALL, number * SMALL * SMALL)
                luma = np.frombuffer(data, np.uint8).reshape(SMALL, SMALL)
                scene = Scene(0.0, 0.0, 0.0, 0.0, luma, {self._zone: luma})
            frame = Frame(self._camera, number, stamp, look.at, NO_CUTS, NO_PICTURE, scene)
            yield Score(self._camera, self._zone, look.score, frame, stamp), look


class Told:
    """The events of one zone, in seconds; stands where the events room stands in the daemon."""

    def __init__(self) -> None:
        self.events: list[Span] = []
        self._opened: Transition | None = None

    def hear(self, message: Transition | Progress) -> None:
        """Take a message of presence in."""
        if isinstance(message, Progress):
            return
        if message.current is PresenceState.OCCUPIED:
            self._opened = message
        elif self._opened is not None:
            start = self._opened.at.monotonic
            end = max(message.at.monotonic, start)
            self.events.append(Span(start, end, self._opened.confirmed.monotonic))
            self._opened = None


class Filming:
    """Hears the scores of one recording and keeps a reel of each zone.

    The guards look once, as they do for the camera: all zones of a frame are seen alike.
    """

    def __init__(self, camera: str, zones: Sequence[str], guards: GuardConfig) -> None:
        self.reels = {zone: Reel(camera, zone) for zone in zones}
        self._moved: Stamp | None = None
        self._seen: Stamp | None = None
        self._sentinel = Sentinel(
            camera, guards, tell=lambda _health: None, new_id=uuid4, forget=self._forget
        )

    def on_score(self, score: Score) -> None:
        """Take a score in."""
        self._seen = score.frame.stamp
        sight = self._sentinel.look(score.frame)
        reel = self.reels.get(score.zone)
        if reel is not None:
            reel.add(score, sight, moved=self._moved == score.frame.stamp)

    def _forget(self) -> None:
        self._moved = self._seen


Film = Callable[[PresenceConfig], Judged]
"""What settings would have told: `Reel.judged`, as a trace carries it."""


def _no_room(error: OSError) -> UsageError:
    return UsageError(
        f"what a recording shows cannot be kept for a while: {error.strerror}",
        where=tempfile.gettempdir(),
        remedy="name a folder with more room by the environment variable TMPDIR",
    )
