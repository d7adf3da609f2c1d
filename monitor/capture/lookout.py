"""A lookout: some of the cameras, read by a process of their own that is replaced when it dies."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.capture.process import Process
from monitor.capture.protocol import Added, Dropped, Sighted, Standing, Task
from monitor.capture.status import ReaderState, ReaderStats
from monitor.clock import Clock, Stamp
from monitor.config import CameraConfig, LoggingConfig
from monitor.imaging.slots import Slots
from monitor.messages import Attention, Cut, Frame, Outage, OutageReason, Picture
from monitor.telemetry import get_logger

log = get_logger(__name__)

SLOTS = 32
"""Patches on their way from a process; each is copied as soon as it comes."""

LOOK_UP = 0.1
"""Seconds after which a lookout that hears nothing sees whether it is to stop."""

SILENCE = 10.0
"""Seconds without a word after which a process is taken for hung; each says one twice a second."""

FIRST_WORD = 60.0
"""The same for its first word: it has to start."""

PAUSES = (0.0, 1.0, 5.0, 15.0, 30.0)
"""Seconds before a process is started again, the longer the more often it died in a row."""

STEADY = 60.0
"""Seconds after which a process's earlier deaths are forgotten."""

_COUNTERS = (
    "frames_received",
    "frames_decoded",
    "frames_sampled",
    "frames_corrupt",
    "reconnects",
)

_LOST = "the process that reads it has ended; another one is started"


class Lookout:
    """Reads its cameras in a child process; the callbacks run in the lookout's own thread."""

    def __init__(
        self,
        name: str,
        cameras: Mapping[str, CameraConfig],
        *,
        on_frame: Callable[[Frame], None],
        on_outage: Callable[[Outage], None],
        clock: Clock,
        max_side: int,
        logging: LoggingConfig,
    ) -> None:
        """Raises ServiceError if there is no memory for the frames on their way."""
        self._name = name
        self._on_frame = on_frame
        self._on_outage = on_outage
        self._clock = clock
        self._max_side = max_side
        self._logging = logging
        self._passing = threading.Lock()
        """Held while a callback runs, so that `drop` can wait for its end."""
        self._lock = threading.Lock()
        self._cameras = dict(cameras)
        self._attention: dict[str, Attention] = {}
        self._sequences: Counter[str] = Counter()
        self._visible: dict[str, Stamp] = {}
        """When the latest frame was taken, of the cameras that are seen."""
        self._before: dict[str, ReaderStats] = {}
        self._stats = {camera: self._idle() for camera in cameras}
        self._slots = Slots.create(
            SLOTS, room=f"capture process {name}", remedy="set `capture.processes: 0`"
        )
        self._process: Process | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lookout-{name}", daemon=True)

    @property
    def cameras(self) -> frozenset[str]:
        """The names of its cameras."""
        return frozenset(self._cameras)

    @property
    def pid(self) -> int | None:
        """The number of its process, if one runs."""
        process = self._process
        return process.pid if process is not None else None

    def start(self) -> None:
        """Start the process; returns at once."""
        self._thread.start()

    def add(self, cameras: Mapping[str, CameraConfig]) -> None:
        """Read these, too."""
        with self._lock:
            self._cameras |= cameras
            self._stats = {camera: self._idle() for camera in cameras} | self._stats
            self._tell(Added(cameras))
            for camera in self._attention.keys() & set(cameras):
                self._tell(self._attention[camera])

    def drop(self, cameras: Iterable[str]) -> None:
        """Read these no longer. No callback of theirs begins after it has returned."""
        names = set(cameras)
        with self._passing, self._lock:
            self._cameras = {n: camera for n, camera in self._cameras.items() if n not in names}
            self._stats = {n: stats for n, stats in self._stats.items() if n not in names}
            for name in names:
                self._before.pop(name, None)
            self._tell(Dropped(tuple(names)))

    def attend(self, attention: Attention) -> None:
        """Look at a camera as closely as that from now on; returns at once."""
        with self._lock:
            self._attention[attention.camera] = attention
            self._tell(attention)

    def log_by(self, settings: LoggingConfig) -> None:
        """Let the process, and those that take its place, write their log like this."""
        with self._lock:
            self._logging = settings
            self._tell(settings)

    def stats(self) -> dict[str, ReaderStats]:
        """How its readers stood half a second ago at most, counted through all processes."""
        with self._lock:
            return dict(self._stats)

    def request_stop(self) -> None:
        """Tell it to stop; returns at once."""
        self._stop.set()

    def join(self, timeout: float) -> None:
        """Wait for its thread, after which no callback runs."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if not self._thread.is_alive():
            self._slots.close()

    def _tell(self, message: Added | Dropped | Attention | LoggingConfig) -> None:
        if self._process is not None:
            self._process.tell(message)

    def _idle(self) -> ReaderStats:
        return ReaderStats(ReaderState.IDLE, None, "", self._clock.now())

    # What follows runs in the lookout's thread.

    def _run(self) -> None:
        deaths = 0
        while not self._stop.is_set():
            began = time.monotonic()
            with self._lock:
                attention = tuple(self._attention.values())
                task = Task(dict(self._cameras), self._max_side, self._logging, attention)
                self._process = process = Process(self._slots, task)
            why = self._listen(process)
            with self._lock:
                self._process = None
            code = process.end(1.5 if self._stop.is_set() else 0.0)
            if self._stop.is_set():
                return
            deaths = 0 if time.monotonic() - began > STEADY else deaths
            pause = PAUSES[min(deaths, len(PAUSES) - 1)]
            deaths += 1
            log.error(
                f"a capture process {why}; it is started again",
                process=self._name,
                exit_code=code,
                pause_s=pause,
                cameras=len(self._cameras),
            )
            self._lose_sight()
            self._stop.wait(pause)

    def _listen(self, process: Process) -> str:
        """Pass on what it says until it falls silent; in which way."""
        heard, patience = time.monotonic(), FIRST_WORD
        while not self._stop.is_set():
            try:
                message = process.hear(LOOK_UP)
            except (EOFError, OSError):
                return "died"
            now = time.monotonic()
            if message is not None:
                heard, patience = now, SILENCE
                self._pass_on(message, process)
            elif now - heard > patience:
                return "hangs"
        return "is told to stop"

    def _pass_on(self, message: Sighted | Standing | Outage, process: Process) -> None:
        if isinstance(message, Standing):
            with self._lock:
                known = {n: each for n, each in message.stats.items() if n in self._cameras}
                self._stats |= {n: self._sum(n, each) for n, each in known.items()}
            return
        frame = self._frame(message, process) if isinstance(message, Sighted) else None
        with self._passing:
            if message.camera not in self._cameras:
                return
            if frame is not None:
                self._visible[frame.camera] = frame.stamp
                self._call(self._on_frame, frame)
            elif isinstance(message, Outage):
                self._visible.pop(message.camera, None)
                self._call(self._on_outage, message)

    def _call(self, callback: Callable[[Any], None], message: Frame | Outage) -> None:
        try:
            callback(message)
        except Exception:
            log.exception("a message was refused by its consumer", process=self._name)

    def _frame(self, sighted: Sighted, process: Process) -> Frame:
        """The Frame with patches of its own, so that the slots are free again at once."""
        patches = sighted.patches
        if patches is None:
            patches = self._slots.patches[list(sighted.slots)]  # a copy
        process.free(sighted.slots)
        sequence = self._sequences[sighted.camera]
        self._sequences[sighted.camera] += 1
        return Frame(
            sighted.camera,
            sequence,
            sighted.stamp,
            sighted.pts,
            tuple(_cuts(patches, sighted.zones)),
            RemotePicture(process, sighted.camera, sighted.sequence, patches[0]),
            sighted.scene,
        )

    def _sum(self, camera: str, stats: ReaderStats) -> ReaderStats:
        """With what was counted by processes before this one."""
        before = self._before.get(camera)
        if before is None:
            return stats
        added = {each: getattr(stats, each) + getattr(before, each) for each in _COUNTERS}
        return replace(stats, **added)

    def _lose_sight(self) -> None:
        """Its cameras are not seen until another process reads them."""
        now = self._clock.now()
        with self._passing, self._lock:
            self._before = dict(self._stats)
            self._stats = {
                name: replace(
                    stats,
                    state=ReaderState.BACKOFF,
                    reason=OutageReason.ERROR,
                    detail=_LOST,
                    since=now,
                )
                for name, stats in self._before.items()
            }
            seen = {n: at for n, at in self._visible.items() if n in self._cameras}
            self._visible.clear()
        for name, stamp in seen.items():
            self._call(self._on_outage, Outage(name, stamp, OutageReason.ERROR, _LOST))


@dataclass(slots=True)
class RemotePicture:
    """The picture for people of a frame that another process has.

    The process keeps what it takes for as long as this exists. Where the process is dead, the
    first patch has to do: the network's own view.
    """

    process: Process
    camera: str
    sequence: int
    patch: NDArray[np.uint8]

    def __call__(self) -> Picture:
        picture = self.process.picture(self.camera, self.sequence)
        return self.patch if picture is None else picture

    def __del__(self) -> None:
        self.process.forget(self.camera, self.sequence)


def _cuts(patches: NDArray[np.uint8], zones: Iterable[tuple[str, int]]) -> Iterable[Cut]:
    at = 0
    for zone, count in zones:
        yield Cut(zone, patches[at : at + count])
        at += count
