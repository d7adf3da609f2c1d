"""The learning room: hears scores and events, keeps the pictures worth a look, slows nobody."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from types import MappingProxyType
from uuid import UUID

from monitor.config.camera import CameraConfig
from monitor.config.learning import LearningConfig
from monitor.config.presence import PresenceConfig
from monitor.imaging import jpeg
from monitor.imaging.zones import crop_zone
from monitor.learning.doubts import Reason, ZoneDoubts
from monitor.learning.folder import Kind, LearningFolder
from monitor.messages import (
    WHOLE_FRAME,
    Frame,
    Picture,
    PresenceState,
    Progress,
    Score,
    Transition,
)
from monitor.telemetry import get_logger

WAITING = 8
"""Pictures that wait to be written; more are dropped and counted, for each holds a frame."""

LISTS_EVERY = 30.0
"""Seconds between two writings of the lists, and between two looks whether one is due."""

QUALITY = 90

Place = tuple[str, str]


class _Look:
    """Wakes the thread: other settings may be in force, or the lists be due."""


log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LearningStats:
    """Since the start: pictures `kept`, `dropped` for want of time, `refused` for want of room.

    `enabled`: whether any are kept now. `trouble`: why none can be, empty if they can.
    """

    enabled: bool
    kept: int
    dropped: int
    refused: int
    trouble: str


@dataclass(frozen=True, slots=True)
class _Job:
    """A picture to keep; without a kind, one to drop. `camera`: as configured when it was seen."""

    kind: Kind | None
    place: Place
    name: str
    shown: Frame | bytes
    camera: CameraConfig | None


class LearningRoom:
    """Keeps doubtful pictures from a thread of its own; without `config.enabled`, none.

    With `wait`, for recordings, callers wait for the disk instead, and nothing is dropped.
    `shown_as`: other names for cameras' folders.
    """

    def __init__(
        self,
        config: LearningConfig,
        cameras: Mapping[str, CameraConfig],
        *,
        wait: bool = False,
        shown_as: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._shown_as = shown_as
        self._config = config
        self._cameras = cameras
        self._folder = LearningFolder(config)
        self._wait = wait
        self._lock = threading.Lock()
        self._zones = _doubts(config, cameras, {})
        self._opened: dict[UUID, tuple[datetime, bytes | None]] = {}
        self._queue: queue.Queue[_Job | _Look | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="learning", daemon=True)
        self._kept = self._dropped = self._refused = 0
        self._trouble = ""
        self._lists_at = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def reconfigure(self, config: LearningConfig, cameras: Mapping[str, CameraConfig]) -> None:
        """Go by these settings from now on, pictures that wait to be written included."""
        with self._lock:
            self._zones = _doubts(config, cameras, self._zones)
            self._config, self._cameras = config, cameras
            if not config.enabled:
                self._opened.clear()
        with suppress(queue.Full):  # then the thread is awake already
            self._queue.put_nowait(_Look())

    def stop(self, timeout: float) -> None:
        """Write what waits, and the lists; at most `timeout` seconds."""
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def stats(self) -> LearningStats:
        """What came of it so far."""
        on = self._config.enabled
        return LearningStats(on, self._kept, self._dropped, self._refused, self._trouble)

    def on_score(self, score: Score, counted: float) -> None:
        """Take a score in, and what presence took it for; quick unless `wait`."""
        if not self._config.enabled:
            return
        place = score.camera, score.zone
        with self._lock:
            zone = self._zones.get(place)
            found = zone.on_score(score, counted) if zone is not None else []
        for reason, doubtful in found:
            name = _name(doubtful.frame.stamp.utc, score.zone, reason, doubtful.value)
            self._put(Kind.DOUBTFUL, place, name, doubtful.frame)

    def on_message(self, message: Transition | Progress) -> None:
        """Hear what presence tells; quick."""
        if isinstance(message, Progress):
            if message.snapshot is not None:
                with self._lock:
                    opened = self._opened.get(message.event_id)
                    if opened is not None:
                        self._opened[message.event_id] = (opened[0], message.snapshot)
            return
        short = self._heard(message)
        if short is not None:
            self._put(Kind.DOUBTFUL, (message.camera, message.zone), *short)

    def keep(self, kind: Kind, score: Score) -> None:
        """Keep the picture of a score that somebody knows the truth of."""
        name = _name(score.frame.stamp.utc, score.zone, "known", score.value)
        self._put(kind, (score.camera, score.zone), name, score.frame)

    def on_mark(self, kind: Kind | None, place: Place, name: str, snapshot: bytes | None) -> None:
        """Keep the snapshot of an event that somebody marked, or drop it when `kind` is None."""
        if self._config.enabled and (kind is None or snapshot is not None):
            self._put(kind, place, name, snapshot or b"")

    def _heard(self, message: Transition) -> tuple[str, bytes] | None:
        """Name and picture of an event that is over and was doubtfully short."""
        with self._lock:
            zone = self._zones.get((message.camera, message.zone))
            if zone is None:
                return None
            zone.on_occupied(occupied=message.current is PresenceState.OCCUPIED)
            if message.event_id is None or not self._config.enabled:
                return None
            if message.current is PresenceState.OCCUPIED:
                self._opened[message.event_id] = (message.at.utc, message.snapshot)
                return None
            if message.event_id not in self._opened:
                return None  # it began before anybody listened: how long it was is not known
            started, picture = self._opened.pop(message.event_id)
            picture = message.snapshot or picture
            lasted = (message.at.utc - started).total_seconds()
            if picture is None or not zone.short(lasted, message.confirmed):
                return None
        peak = message.summary.peak_score if message.summary else 0.0
        return _name(started, message.zone, Reason.SHORT, peak), picture

    def _put(self, kind: Kind | None, place: Place, name: str, shown: Frame | bytes) -> None:
        try:
            camera = self._cameras.get(place[0])
            self._queue.put(_Job(kind, place, name, shown, camera), block=self._wait)
        except queue.Full:
            self._dropped += 1

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._safely(job)
        self._safely(None)

    def _next(self) -> _Job | _Look | None:
        try:
            return self._queue.get(timeout=LISTS_EVERY)
        except queue.Empty:
            return _Look()

    def _safely(self, job: _Job | _Look | None) -> None:
        """Do a job, or with None the last one; trouble is told once and never spreads."""
        try:
            self._move()
            if isinstance(job, _Job) and self._folder.config.enabled:
                self._write(job)
            if job is None or monotonic() - self._lists_at >= LISTS_EVERY:
                self._list()
        except OSError as error:
            if not self._trouble:
                log.warning("pictures to learn from cannot be kept", reason=str(error))
            self._trouble = error.strerror or str(error)
        except Exception:
            log.exception("the learning room stumbled")
        else:
            self._trouble = ""

    def _move(self) -> None:
        """Go to another folder if other settings are in force."""
        if self._folder.config != self._config:
            leaving, self._folder = self._folder, LearningFolder(self._config)
            self._list(leaving)

    def _list(self, folder: LearningFolder | None = None) -> None:
        folder = folder or self._folder
        self._lists_at = monotonic()
        if folder.config.enabled and folder.unlisted:
            folder.write_lists()

    def _write(self, job: _Job) -> None:
        camera, zone = job.place
        folder = self._shown_as.get(camera, camera)
        if job.kind is None:
            self._folder.drop(folder, job.name)
            return
        if job.camera is None or (job.camera.zones and zone not in job.camera.zones):
            log.info("a picture is not kept: its zone is no longer configured", camera=camera,
                     zone=zone)  # fmt: skip
            return
        data = zone_jpeg(job.shown, job.camera, zone)
        if self._folder.keep(job.kind, folder, job.name, data) is None:
            self._refused += 1
            return
        self._kept += 1


def zone_jpeg(shown: Frame | bytes, camera: CameraConfig, zone: str) -> bytes:
    """The part of a frame, or of a snapshot, that the network sees of the zone, as JPEG.

    Raises InputError for bytes that are no picture, LookupError if there is no such zone.
    """
    if isinstance(shown, bytes) and zone == WHOLE_FRAME and not camera.zones:
        return shown
    picture: Picture = jpeg.decode(shown) if isinstance(shown, bytes) else shown.picture
    if camera.zones:
        picture = crop_zone(picture, camera.zones[zone].polygon)
    return jpeg.encode(picture, quality=QUALITY)


def _doubts(
    config: LearningConfig,
    cameras: Mapping[str, CameraConfig],
    before: Mapping[Place, ZoneDoubts],
) -> dict[Place, ZoneDoubts]:
    """The zones' doubts; whose settings are the same remembers what it knows."""
    zones: dict[Place, ZoneDoubts] = {}
    for name, camera in cameras.items():
        for zone, settings in _zones(camera).items():
            known = before.get((name, zone))
            if known is None or (known.settings, known.every) != (settings, config.every):
                occupied = known is not None and known.occupied
                known = ZoneDoubts(settings, config.every, occupied)
            zones[name, zone] = known
    return zones


def _zones(camera: CameraConfig) -> dict[str, PresenceConfig]:
    if not camera.zones:
        return {WHOLE_FRAME: camera.presence}
    return {name: zone.presence for name, zone in camera.zones.items()}


def _name(at: datetime, zone: str, why: str, score: float) -> str:
    """Says all there is to know; no spaces, for lists separate by them."""
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}Z-{zone}-{why}-{score:.3f}"
