"""Cameras that come and go while others are read; and the last words of one that is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtsp_server.clips import write_video
from structlog.testing import capture_logs

from capture.observing import camera, eventually
from monitor.capture.reader import Reader
from monitor.capture.status import ReaderStats, Status
from monitor.clock import SystemClock
from monitor.messages import Attention


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second."""
    return write_video(tmp_path_factory.mktemp("changing") / "a.mp4", frames=15)


def test_a_camera_is_added_and_dropped_and_the_other_reads_on(watch, video: Path) -> None:
    looped = camera(video, loop=True)
    watched = watch({"stays": looped, "goes": looped})
    eventually(lambda: watched.frames["stays"] and watched.frames["goes"])
    watched.room.drop(["goes"])
    dropped = len(watched.frames["goes"])
    before = watched.room.stats()["stays"].frames_received
    watched.room.add({"comes": looped, "off": looped.model_copy(update={"enabled": False})})
    eventually(lambda: watched.frames["comes"])
    stats = watched.room.stats()
    assert set(stats) == {"stays", "comes"}
    assert stats["stays"].frames_received > before
    assert len(watched.frames["goes"]) == dropped
    assert not watched.outages


def test_a_camera_that_is_opened_anew_is_looked_at_as_closely_as_before(watch, video: Path) -> None:
    looped = camera(video, loop=True, decode="adaptive")
    watched = watch(looped)
    watched.room.attend(Attention("cam", dense=True))
    eventually(lambda: watched.stats().dense)
    watched.room.drop(["cam"])
    watched.room.add({"cam": looped})
    eventually(lambda: watched.stats().dense)


def test_a_picture_that_comes_after_the_stop_is_not_announced(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(
        "cam",
        camera(video),
        on_frame=lambda _frame: None,
        on_outage=lambda _outage: None,
        clock=SystemClock(),
        max_side=640,
    )
    stats = Status.stats

    def stopped_meanwhile(status: Status) -> ReaderStats:
        reader.request_stop()
        return stats(status)

    monkeypatch.setattr(Status, "stats", stopped_meanwhile)
    with capture_logs() as lines:
        reader.start()
        assert reader.join(10.0)
    assert "camera seen" not in [line["event"] for line in lines]
