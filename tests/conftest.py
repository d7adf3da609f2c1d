"""Fixtures that tests of several rooms share."""

from __future__ import annotations

from rtsp_server.fixture import gstreamer, rtsp_server

__all__ = ["gstreamer", "rtsp_server"]
