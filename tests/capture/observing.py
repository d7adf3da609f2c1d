"""A capture room under observation."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from monitor.capture import CaptureRoom, ReaderStats
from monitor.clock import SystemClock
from monitor.config import CameraConfig
from monitor.messages import Frame, Outage


def camera(
    url: object,
    *,
    sample_fps: float = 5.0,
    decode: str = "all",
    frozen_after: float = 60.0,
    **source: Any,
) -> CameraConfig:
    """A camera's configuration; keyword arguments belong to its source."""
    return CameraConfig.model_validate(
        {
            "source": {"url": str(url), **source},
            "sample_fps": sample_fps,
            "decode": decode,
            "frozen_after": frozen_after,
        }
    )


def eventually(true: Callable[[], object], timeout: float = 8.0, what: str = "") -> None:
    """Wait until it is true; fail if it does not come true in time."""
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not in {timeout} s: {what or true}")
        time.sleep(0.02)


class Watched:
    """A running CaptureRoom and everything it has said."""

    def __init__(
        self,
        cameras: dict[str, CameraConfig],
        *,
        max_side: int = 640,
        on_frame: Callable[[Frame], None] | None = None,
    ) -> None:
        self.frames: dict[str, list[Frame]] = defaultdict(list)
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self.outages: dict[str, list[Outage]] = defaultdict(list)
        self._lock = threading.Lock()
        self._on_frame = on_frame
        self.room = CaptureRoom(
            cameras,
            on_frame=self._frame,
            on_outage=self._outage,
            clock=SystemClock(),
            max_side=max_side,
        )
        self.room.start()

    def stats(self, name: str = "cam") -> ReaderStats:
        return self.room.stats()[name]

    def reasons(self, name: str = "cam") -> list[str]:
        with self._lock:
            return [outage.reason.value for outage in self.outages[name]]

    def longest_gap(self, name: str) -> float:
        """Seconds between two frames of a camera, at most."""
        times = self.arrivals[name]
        return max(b - a for a, b in pairwise(times))

    def _frame(self, frame: Frame) -> None:
        with self._lock:
            self.frames[frame.camera].append(frame)
            self.arrivals[frame.camera].append(time.monotonic())
        if self._on_frame is not None:
            self._on_frame(frame)

    def _outage(self, outage: Outage) -> None:
        with self._lock:
            self.outages[outage.camera].append(outage)
