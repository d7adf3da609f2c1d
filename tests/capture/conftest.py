"""Fixtures of the capture room's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from capture.observing import Watched
from monitor.config import CameraConfig


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    """Start a room; it is stopped at the end of the test."""
    watched: list[Watched] = []

    def start(cameras: dict[str, CameraConfig] | CameraConfig, **options: Any) -> Watched:
        if isinstance(cameras, CameraConfig):
            cameras = {"cam": cameras}
        watched.append(Watched(cameras, **options))
        return watched[-1]

    yield start
    for each in watched:
        each.room.stop(5.0)
