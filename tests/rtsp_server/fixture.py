"""The pytest fixture `rtsp_server`: start as many servers as a test needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from rtsp_server.process import Clip, RtspServer, missing

StartServer = Callable[..., RtspServer]


@pytest.fixture(scope="session")
def gstreamer() -> None:
    """GStreamer's RTSP server is there, or the test fails (in CI) or is skipped, saying how."""
    if problem := missing():
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)


@pytest.fixture
def rtsp_server(gstreamer: None) -> Iterator[StartServer]:
    """Call it with clips by name (and `auth`, `user`, `password`); all are ended at the end."""
    servers: list[RtspServer] = []

    def start(clips: Mapping[str, Clip], **options: str) -> RtspServer:
        server = RtspServer(clips, **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.kill()
