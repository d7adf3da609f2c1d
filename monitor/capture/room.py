"""The capture room: a reader for every camera, and one watchdog outside of them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from monitor.capture.reader import Reader
from monitor.capture.sources import source_of
from monitor.capture.status import ReaderStats
from monitor.clock import Clock
from monitor.config import CameraConfig
from monitor.errors import ConfigError
from monitor.messages import Attention, Frame, Outage
from monitor.telemetry import get_logger

log = get_logger(__name__)

WATCH_EVERY = 0.5
"""Seconds between two looks of the watchdog."""


class CaptureRoom:
    """Reads all enabled cameras; each is independent of the others.

    `on_frame` gets every sampled Frame in the camera's own thread: it may be slow, which delays
    this camera only. `on_outage` gets one Outage when a camera is no longer seen (or cannot be
    seen at start), with the stamp of its last picture; the next Frame ends it. It must not block,
    for the watchdog of all cameras calls it too. Stopping is no outage.
    `max_side`: longer side of `Frame.picture` in pixels.

    Raises ConfigError for a source of no known kind.
    """

    def __init__(
        self,
        cameras: Mapping[str, CameraConfig],
        *,
        on_frame: Callable[[Frame], None],
        on_outage: Callable[[Outage], None],
        clock: Clock,
        max_side: int,
    ) -> None:
        self._on_frame = on_frame
        self._on_outage = on_outage
        self._clock = clock
        self._max_side = max_side
        self._attention: dict[str, Attention] = {}
        self._readers = self._make_readers(cameras)
        self._stop = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def add(self, cameras: Mapping[str, CameraConfig]) -> None:
        """Read these, too, if they are enabled. Raises ConfigError, having started none."""
        readers = self._make_readers(cameras)
        self._readers = self._readers | readers
        for reader in readers.values():
            if (attention := self._attention.get(reader.camera)) is not None:
                reader.attend(attention)
            reader.start()

    def drop(self, cameras: Iterable[str], timeout: float = 2.0) -> None:
        """Read these no longer, within `timeout` seconds; as with `stop`, that is no outage."""
        names = set(cameras)
        gone = [reader for name, reader in self._readers.items() if name in names]
        self._readers = {n: reader for n, reader in self._readers.items() if n not in names}
        _end(gone, timeout)

    def start(self) -> None:
        """Start all readers; waits for no camera. A room starts once."""
        for reader in self._readers.values():
            reader.start()
        self._watchdog.start()

    def stop(self, timeout: float = 2.0) -> None:
        """Stop all readers within `timeout` seconds.

        No callback begins after it has returned. A thread that waits for a dead camera inside
        FFmpeg is left behind: it ends by itself at the camera's timeout, touching nothing.
        """
        deadline = time.monotonic() + timeout
        self._stop.set()
        _end(self._readers.values(), timeout)
        if self._watchdog.ident is not None:
            self._watchdog.join(max(0.0, deadline - time.monotonic()))

    def attend(self, attention: Attention) -> None:
        """Look at a camera as closely as that from now on; returns at once."""
        self._attention[attention.camera] = attention
        reader = self._readers.get(attention.camera)
        if reader is not None:
            reader.attend(attention)

    def stats(self) -> dict[str, ReaderStats]:
        """How every reader stands, by camera."""
        return {name: reader.stats() for name, reader in self._readers.items()}

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_EVERY):
            for reader in self._readers.values():
                reader.check()

    def _make_readers(self, cameras: Mapping[str, CameraConfig]) -> dict[str, Reader]:
        return {
            name: Reader(
                name,
                config,
                on_frame=self._on_frame,
                on_outage=self._on_outage,
                clock=self._clock,
                max_side=self._max_side,
            )
            for name, config in readable(cameras).items()
        }


def readable(cameras: Mapping[str, CameraConfig]) -> dict[str, CameraConfig]:
    """The enabled cameras. Raises ConfigError for a source of no known kind, naming the camera."""
    enabled = {name: config for name, config in cameras.items() if config.enabled}
    for name, config in enabled.items():
        try:
            source_of(config.source)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"camera {name}", remedy=error.remedy) from None
    return enabled


def _end(readers: Iterable[Reader], timeout: float) -> None:
    """Tell all of them first, then wait for each."""
    readers, deadline = list(readers), time.monotonic() + timeout
    for reader in readers:
        reader.request_stop()
    left = [
        reader.camera
        for reader in readers
        if not reader.join(max(0.0, deadline - time.monotonic()))
    ]
    if left:
        log.info("readers still wait for their cameras and are left behind", cameras=left)
