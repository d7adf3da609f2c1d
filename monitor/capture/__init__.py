"""Sources of pictures: readers for live cameras, and recordings for replay."""

from __future__ import annotations

from monitor.capture.fleet import CaptureFleet, make_capture
from monitor.capture.photographer import Photographer
from monitor.capture.recordings import (
    Recording,
    RecordingInfo,
    probe_recording,
    read_recording,
)
from monitor.capture.room import CaptureRoom
from monitor.capture.status import ReaderState, ReaderStats

__all__ = [
    "CaptureFleet",
    "CaptureRoom",
    "Photographer",
    "ReaderState",
    "ReaderStats",
    "Recording",
    "RecordingInfo",
    "make_capture",
    "probe_recording",
    "read_recording",
]
