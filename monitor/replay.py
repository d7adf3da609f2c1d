"""Recordings through the very same rooms as live cameras, with media time as the clock.

Everything downstream is measured by it: capture samples and cuts, the pool scores, presence
judges. Only the database is left out; the transitions become `ReplayEvent`s instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from uuid import UUID

from monitor.capture import probe_recording, read_recording
from monitor.clock import MediaClock, Stamp, SystemClock
from monitor.config import CameraConfig, DecodePolicy, InferenceConfig
from monitor.inference.pool import InferencePool
from monitor.messages import Attention, EndReason, PresenceState, Progress, Score, Transition
from monitor.presence.room import PresenceRoom
from monitor.presence.sense import Sensed

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Second 0 of every recording; only differences are reported."""

PICTURE_SIDE = 320
"""Longer side of the pictures that travel with the frames; replay keeps no snapshots."""


@dataclass(frozen=True, slots=True)
class ReplayEvent:
    """One occupancy, in seconds of media time; scores are P(someone) in [0, 1].

    `start_s` and `end_s` are back-dated to the evidence; `confirmed_s` is when it was told.
    """

    camera: str
    zone: str
    start_s: float
    end_s: float
    peak_score: float
    confirmed_s: float


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """One score of the recording, kept for plots and calibration; `sensed`: what it was taken
    for."""

    zone: str
    at_s: float
    value: float
    sensed: Sensed | None = None


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a recording amounted to."""

    source: str
    duration_s: float
    frames_decoded: int
    frames_scored: int
    events: tuple[ReplayEvent, ...]
    scores: tuple[ScorePoint, ...]


class Replayer:
    """Sends recordings through one pool, one after the other; a context manager.

    Raises ModelError from `__enter__` if the model cannot be used.
    """

    def __init__(self, inference: InferenceConfig) -> None:
        self._lock = Lock()
        self._on_score: Callable[[Score], None] | None = None
        self._pool = InferencePool(inference, on_score=self._score, clock=SystemClock())

    def __enter__(self) -> Replayer:
        self._pool.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._pool.stop()

    def run(
        self,
        path: Path,
        name: str,
        camera: CameraConfig,
        *,
        on_progress: Callable[[float], None] = lambda _seconds: None,
        on_score: Callable[[Score, float], None] = lambda _score, _counted: None,
        on_message: Callable[[Transition | Progress], None] = lambda _message: None,
        max_side: int = PICTURE_SIDE,
    ) -> ReplayResult:
        """Replay one recording as camera `name`; `on_progress` hears the media time in seconds.

        `on_score` and `on_message` hear what goes into presence (a score, and what it was taken
        for) and what comes out of it; `max_side` is the longer side of the pictures they may look
        at.

        Raises InputError if the file is no video.
        """
        duration = probe_recording(path).duration_s
        recording = read_recording(path, name, camera, clock=MediaClock(EPOCH), max_side=max_side)
        collector = _Collector(name, camera, self._pool.model_id, recording.attend, on_message)

        def hear(score: Score) -> None:
            on_score(score, collector.on_score(score))

        with self._lock:
            self._on_score = hear
        last = Stamp(0.0, EPOCH)
        for frame in recording:
            self._pool.submit(frame, wait=True)
            if camera.decode is DecodePolicy.ADAPTIVE:
                self._pool.drain()  # what presence makes of it decides how to go on
            last = frame.stamp
            on_progress(recording.position_s)
        self._pool.drain()
        return ReplayResult(
            source=str(path),
            duration_s=round(duration, 3),
            frames_decoded=recording.decoded,
            frames_scored=collector.frames,
            events=collector.finish(last),
            scores=tuple(collector.scores),
        )

    def _score(self, score: Score) -> None:
        with self._lock:
            if self._on_score is not None:
                self._on_score(score)


class _Collector:
    """Stands where the events room stands in the daemon."""

    def __init__(
        self,
        name: str,
        camera: CameraConfig,
        model_id: str,
        attend: Callable[[Attention], None],
        on_message: Callable[[Transition | Progress], None],
    ) -> None:
        self._on_message = on_message
        self.scores: list[ScorePoint] = []
        self._sequences: set[int] = set()
        self._opened: dict[UUID, Transition] = {}
        self._events: list[ReplayEvent] = []
        self._presence = PresenceRoom(
            {name: camera},
            on_message=self._take,
            on_attention=attend,
            encode=None,
            model_id=model_id,
        )

    @property
    def frames(self) -> int:
        """How many frames were scored."""
        return len(self._sequences)

    def on_score(self, score: Score) -> float:
        """What presence takes it for."""
        self._sequences.add(score.frame.sequence)
        self._presence.on_score(score)
        sensed = self._presence.sensed(score.camera, score.zone)
        at = score.frame.stamp.monotonic
        self.scores.append(ScorePoint(score.zone, at, score.value, sensed))
        return score.value if sensed is None else sensed.observation.score

    def finish(self, last: Stamp) -> tuple[ReplayEvent, ...]:
        """End what is open and return the events in the order of their start."""
        self._presence.finish(EndReason.END_OF_MEDIA, last)
        return tuple(sorted(self._events, key=lambda event: (event.start_s, event.zone)))

    def _take(self, message: Transition | Progress) -> None:
        self._on_message(message)
        if isinstance(message, Progress) or message.event_id is None:
            return
        if message.current is PresenceState.OCCUPIED:
            self._opened[message.event_id] = message
            return
        opened = self._opened.pop(message.event_id)
        assert message.summary is not None
        self._events.append(
            ReplayEvent(
                camera=message.camera,
                zone=message.zone,
                start_s=round(opened.at.monotonic, 3),
                end_s=round(message.at.monotonic, 3),
                peak_score=round(message.summary.peak_score, 4),
                confirmed_s=round(opened.confirmed.monotonic, 3),
            )
        )


def camera_name(path: Path) -> str:
    """A camera name made from a file name."""
    return re.sub(r"[^\w.-]+", "-", path.stem).strip("-.")[:64] or "recording"


def videos_in(paths: list[Path]) -> Iterator[Path]:
    """The recordings among `paths`; folders stand for the videos in them, sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
        else:
            yield path


VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".avi", ".mov", ".m4v", ".ts", ".webm", ".mpg"})
