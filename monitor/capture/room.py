"""The capture room: a reader for every camera, and one watchdog outside of them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from monitor.capture.reader import Reader
from monitor.capture.status import ReaderStats
from monitor.clock import Clock
from monitor.config import CameraConfig
from monitor.errors import ConfigError
from monitor.messages import Attention, Frame, Outage
from monitor.telemetry import get_logger

log = get_logger(__name__)

WATCH_EVERY = 0.25
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
        self._readers: dict[str, Reader] = {}
        for name, config in cameras.items():
            if not config.enabled:
                continue
            try:
                self._readers[name] = Reader(
                    name,
                    config,
                    on_frame=on_frame,
                    on_outage=on_outage,
                    clock=clock,
                    max_side=max_side,
                )
            except ConfigError as error:
                raise ConfigError(error.what, where=f"camera {name}", remedy=error.remedy) from None
        self._stop = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)

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
        for reader in self._readers.values():
            reader.request_stop()
        left = [
            reader.camera
            for reader in self._readers.values()
            if not reader.join(max(0.0, deadline - time.monotonic()))
        ]
        if self._watchdog.ident is not None:
            self._watchdog.join(max(0.0, deadline - time.monotonic()))
        if left:
            log.info("readers still wait for their cameras and are left behind", cameras=left)

    def attend(self, attention: Attention) -> None:
        """Look closely at a camera, or no longer; returns at once. Others are ignored."""
        reader = self._readers.get(attention.camera)
        if reader is not None:
            reader.attend(attention.dense)

    def stats(self) -> dict[str, ReaderStats]:
        """How every reader stands, by camera."""
        return {name: reader.stats() for name, reader in self._readers.items()}

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_EVERY):
            for reader in self._readers.values():
                reader.check()
