"""Fixtures that tests of several rooms share, and a second try for those that live in real time."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtsp_server.fixture import gstreamer, rtsp_server

__all__ = ["gstreamer", "rtsp_server"]

REAL_TIME = {"alerts", "capture", "daemon", "e2e", "events", "inference", "jobs", "web"}
"""Folders of tests with real servers, processes and clocks. A machine that gives a test nothing
for a second makes it late, not wrong; so it is tried once more, and the summary names it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        if item.path.relative_to(tests).parts[0] in REAL_TIME:
            item.add_marker(pytest.mark.flaky(max_runs=2))
