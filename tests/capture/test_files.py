"""Files as cameras: pacing, looping, ending; consumers that are slow or broken."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from rtsp_server.clips import write_video
from structlog.testing import capture_logs

from capture.observing import camera, eventually
from monitor.capture import CaptureRoom, ReaderState
from monitor.capture.composing import fingerprint
from monitor.capture.converting import plane
from monitor.clock import SystemClock
from monitor.messages import OutageReason


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second."""
    return write_video(tmp_path_factory.mktemp("files") / "a.mp4", frames=15)


def test_a_file_is_paced_as_a_camera_and_ends_once(watch, video: Path) -> None:
    watched = watch(camera(video))
    eventually(watched.reasons)
    times = watched.arrivals["cam"]
    assert len(times) == 5
    assert times[-1] - times[0] == pytest.approx(0.8, abs=0.25)
    assert watched.reasons() == ["ended"]
    stats = watched.stats()
    assert stats.state is ReaderState.FAILED
    assert stats.reason is OutageReason.ENDED
    assert (stats.frames_decoded, stats.frames_sampled, stats.frames_corrupt) == (15, 5, 0)
    assert (stats.codec, stats.width, stats.height) == ("h264", 320, 240)
    assert stats.fps == pytest.approx(15.0, abs=0.1)
    assert watched.outages["cam"][0].stamp.monotonic == stats.last_frame


def test_full_speed_is_faster(watch, tmp_path: Path) -> None:
    minute = write_video(tmp_path / "minute.mp4", frames=300, fps=5, size=(64, 64))
    watched = watch(camera(minute, pacing="full_speed"))
    begin = time.monotonic()
    eventually(lambda: watched.stats().state is ReaderState.FAILED)
    assert time.monotonic() - begin < 6.0
    assert len(watched.frames["cam"]) == 300


def test_a_looped_file_goes_on_without_an_outage(watch, video: Path) -> None:
    watched = watch(camera(video, loop=True))
    eventually(lambda: len(watched.frames["cam"]) >= 12)
    assert watched.reasons() == []
    assert watched.stats().reconnects == 0
    assert [frame.sequence for frame in watched.frames["cam"]][:12] == list(range(12))
    assert watched.longest_gap("cam") < 1.0


def test_stamps_are_the_machines_time_and_go_forward(watch, video: Path) -> None:
    begin = time.monotonic()
    watched = watch(camera(video, loop=True))
    eventually(lambda: len(watched.frames["cam"]) >= 8)
    stamps = [frame.stamp.monotonic for frame in watched.frames["cam"]]
    assert stamps == sorted(set(stamps))
    assert begin < stamps[0] < time.monotonic()


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "not_found"), (b"", "corrupt"), (b"no video " * 999, "corrupt")],
    ids=["missing", "empty", "text"],
)
def test_a_file_that_is_no_video_is_tried_again(
    watch, tmp_path: Path, content, reason: str, loop: bool
) -> None:
    path = tmp_path / "broken.mp4"
    if content is not None:
        path.write_bytes(content)
    watched = watch(camera(path, loop=loop))
    eventually(lambda: watched.stats().state is ReaderState.BACKOFF)
    time.sleep(0.7)
    assert watched.reasons() == [reason]


def test_a_file_that_appears_is_read(watch, video: Path, tmp_path: Path) -> None:
    path = tmp_path / "later.mp4"
    path.write_bytes(b"nothing yet")
    watched = watch(camera(path, loop=True))
    eventually(lambda: watched.reasons() == ["corrupt"])
    path.write_bytes(video.read_bytes())
    eventually(lambda: watched.stats().state is ReaderState.STREAMING)


def test_a_slow_consumer_slows_its_own_camera_only(watch, video: Path) -> None:
    release = threading.Event()

    def slow(frame) -> None:
        if frame.camera == "slow":
            release.wait(8.0)

    cameras = {
        "slow": camera(video, loop=True, read_timeout=0.5),
        "fast": camera(video, loop=True),
    }
    watched = watch(cameras, on_frame=slow)
    eventually(lambda: watched.reasons("slow") == ["lagging"])
    eventually(lambda: len(watched.frames["fast"]) >= 8)
    assert watched.longest_gap("fast") < 1.0
    assert watched.stats("slow").state is ReaderState.STALLED
    assert len(watched.frames["slow"]) == 1
    release.set()
    eventually(lambda: len(watched.frames["slow"]) >= 3)
    assert watched.stats("slow").state is ReaderState.STREAMING


def test_a_raising_consumer_is_logged_once_and_survived(watch, video: Path) -> None:
    def broken(frame) -> None:
        if frame.sequence < 4:
            raise RuntimeError("bug of another room")

    with capture_logs() as logs:
        watched = watch(camera(video, loop=True), on_frame=broken)
        eventually(lambda: len(watched.frames["cam"]) >= 7)
    assert watched.reasons() == []
    assert [line["event"] for line in logs].count("a frame was refused by its consumer") == 1


def test_a_camera_that_cannot_be_cut_is_tried_again(watch, video: Path, monkeypatch) -> None:
    def broken(*_args: object) -> None:
        raise ValueError("cv2 is out of sorts")

    monkeypatch.setattr("monitor.capture.composing.measure", broken)
    watched = watch(camera(video, loop=True))
    eventually(lambda: watched.reasons() == ["error"])
    assert watched.outages["cam"][0].detail.startswith("ValueError in test_files.py")
    monkeypatch.undo()
    eventually(lambda: len(watched.frames["cam"]) >= 2)


def test_a_disabled_camera_is_not_read(watch, video: Path) -> None:
    off = camera(video).model_copy(update={"enabled": False})
    watched = watch({"on": camera(video), "off": off})
    assert set(watched.room.stats()) == {"on"}


def test_a_room_that_never_started_stops(video: Path) -> None:
    room = CaptureRoom(
        {"cam": camera(video)}, on_frame=print, on_outage=print, clock=SystemClock(), max_side=64
    )
    assert room.stats()["cam"].state is ReaderState.IDLE
    room.stop()
    assert room.stats()["cam"].state is ReaderState.STOPPED


def test_stop_is_prompt_while_a_file_is_paced(watch, tmp_path: Path) -> None:
    slow = write_video(tmp_path / "slow.mp4", frames=3, fps=1)
    watched = watch(camera(slow))
    eventually(lambda: len(watched.frames["cam"]) == 1)
    begin = time.monotonic()
    watched.room.stop()
    assert time.monotonic() - begin < 0.5
    assert watched.stats().state is ReaderState.STOPPED
    assert watched.reasons() == []


def test_the_process_ends_while_a_reader_hangs_in_ffmpeg() -> None:
    """A host that accepts and never answers holds up neither stop nor the interpreter's end."""
    program = """
import socket, time
from capture.observing import Watched, camera
silent = socket.create_server(("127.0.0.1", 0))
watched = Watched({"cam": camera(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/", open_timeout=99)})
time.sleep(0.5)
begin = time.monotonic()
watched.room.stop(1.0)
print("stopped in", time.monotonic() - begin)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env=env,
        timeout=60,  # less than the hanging open would take
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.rpartition("stopped in ")[2]) < 1.5


def test_a_picture_that_does_not_change_is_a_frozen_camera(watch, tmp_path: Path) -> None:
    """A still picture IS frozen, unless the configuration says that it may be."""
    still = tmp_path / "still.mp4"
    with av.open(still, "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.options = {"qp": "20", "bf": "0"}
        for index in range(90):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8))
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    moving = write_video(tmp_path / "moving.mp4", frames=15)
    watched = watch(
        {
            "frozen": camera(still, frozen_after=1.0),
            "painting": camera(still, frozen_after=0.0),
            "moving": camera(moving, loop=True, frozen_after=1.0),
        }
    )
    eventually(lambda: watched.reasons("frozen") == ["frozen"])
    eventually(lambda: watched.stats("frozen").reconnects >= 1)  # perhaps that helps
    frames = len(watched.frames["frozen"])
    assert frames <= 7
    eventually(lambda: len(watched.frames["painting"]) > 12)
    assert len(watched.frames["frozen"]) == frames
    assert watched.reasons("frozen") == ["frozen"]
    assert watched.reasons("painting") == watched.reasons("moving") == []


def test_noise_alone_keeps_a_camera_alive() -> None:
    frame = av.VideoFrame(64, 64, "yuv420p")
    mark = fingerprint(frame)
    assert mark == fingerprint(frame)
    plane(frame, 0)[32, 40] ^= 1
    assert fingerprint(frame) != mark
