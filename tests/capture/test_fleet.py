"""Cameras read by other processes: the same frames, and a process that dies is replaced."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from rtsp_server.clips import write_video

from capture.observing import camera, eventually
from monitor.capture import CaptureFleet, CaptureRoom, ReaderState, make_capture, read_recording
from monitor.capture import lookout as module
from monitor.clock import MediaClock, Stamp, SystemClock
from monitor.config import CameraConfig, CaptureConfig, LoggingConfig, SourceConfig, ViewKind
from monitor.errors import ConfigError
from monitor.messages import Attention, Frame, Outage

START = 60.0
"""Seconds a process may take to start on a busy machine."""


class Seen:
    """A running fleet and what it has said."""

    def __init__(self, cameras: dict[str, CameraConfig], processes: int = 2) -> None:
        self.frames: dict[str, list[Frame]] = defaultdict(list)
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self.outages: dict[str, list[Outage]] = defaultdict(list)
        self.fleet = make_capture(
            cameras,
            on_frame=self._frame,
            on_outage=lambda outage: self.outages[outage.camera].append(outage),
            clock=SystemClock(),
            max_side=640,
            settings=CaptureConfig(processes=processes),
            logging=LoggingConfig(),
        )
        assert isinstance(self.fleet, CaptureFleet)
        self.fleet.start()

    def count(self, name: str) -> int:
        return len(self.frames[name])

    def wait_for(self, count: int, *names: str) -> None:
        eventually(lambda: all(self.count(name) >= count for name in names), START)

    def pid_of(self, name: str) -> int:
        (found,) = [each for each in self.fleet.lookouts if name in each.cameras]
        assert found.pid is not None
        return found.pid

    def _frame(self, frame: Frame) -> None:
        self.frames[frame.camera].append(frame)
        self.arrivals[frame.camera].append(time.monotonic())


@pytest.fixture
def watch() -> Iterator[Callable[..., Seen]]:
    running: list[Seen] = []

    def start(*args: Any) -> Seen:
        running.append(Seen(*args))
        return running[-1]

    yield start
    for each in running:
        each.fleet.stop(5.0)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("fleet") / "a.mp4", frames=30)


def test_the_same_frames_as_in_this_process(watch, video: Path) -> None:
    config = camera(video, pacing="full_speed")
    seen = watch({"cam": config}, 1)
    eventually(lambda: seen.outages["cam"], START)
    clock = MediaClock(SystemClock().now().utc)
    expected = list(read_recording(video, "cam", config, clock=clock, max_side=640))
    frames = seen.frames["cam"]
    assert [f.sequence for f in frames] == [f.sequence for f in expected]
    assert [f.pts for f in frames] == [f.pts for f in expected]
    for ours, theirs in zip(frames, expected, strict=True):
        for a, b in zip(ours.cuts, theirs.cuts, strict=True):
            assert a.zone == b.zone
            np.testing.assert_array_equal(a.patches, b.patches)
        np.testing.assert_array_equal(ours.picture, theirs.picture)
        assert ours.scene.brightness == theirs.scene.brightness
    assert [outage.reason.value for outage in seen.outages["cam"]] == ["ended"]
    eventually(lambda: seen.fleet.stats()["cam"].state is ReaderState.FAILED)
    assert seen.fleet.stats()["cam"].frames_sampled == len(expected)


def test_more_patches_than_slots(watch, video: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "SLOTS", 4)
    tiled = camera(video, loop=True).model_copy(update={"view": ViewKind.TILES})
    seen = watch({"cam": tiled}, 1)
    seen.wait_for(2, "cam")
    assert seen.frames["cam"][0].cuts[0].patches.shape == (5, 224, 224, 3)
    assert seen.frames["cam"][0].cuts[0].patches.std() > 10.0


def test_a_killed_process_is_replaced_and_the_others_notice_nothing(watch, video: Path) -> None:
    config = camera(video, loop=True)
    seen = watch(dict.fromkeys("abcd", config))
    seen.wait_for(5, *"abcd")
    eventually(lambda: seen.fleet.stats()["a"].frames_decoded > 0)
    victim, spared = seen.pid_of("a"), seen.pid_of("b")
    hit = {name for name in "abcd" if seen.pid_of(name) == victim}
    assert hit == {"a", "c"}
    last = seen.frames["a"][-1]
    before = {name: seen.count(name) for name in "abcd"}
    decoded = seen.fleet.stats()["a"].frames_decoded
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: all(seen.outages[name] for name in hit))
    outage = seen.outages["a"][0]
    assert outage.reason.value == "error"
    assert abs(outage.stamp.since(last.stamp)) < 2.0
    seen.wait_for(before["a"] + 5, "a")
    seen.wait_for(before["c"] + 5, "c")
    assert seen.pid_of("a") != victim
    assert seen.pid_of("b") == spared
    assert [f.sequence for f in seen.frames["a"]] == list(range(seen.count("a")))
    assert not seen.outages["b"]
    assert not seen.outages["d"]
    assert seen.count("b") > before["b"] + 5
    assert len(seen.outages["a"]) == 1
    eventually(lambda: seen.fleet.stats()["a"].state is ReaderState.STREAMING)
    assert seen.fleet.stats()["a"].frames_decoded > decoded  # counted on, not anew
    # What the dead one had can be shown all the same, as the network saw it.
    assert last.picture.shape == (224, 224, 3)
    assert seen.frames["a"][-1].picture.shape == (240, 320, 3)


def test_a_process_that_hangs_is_replaced(watch, video: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 2.0)
    seen = watch({"cam": camera(video, loop=True)}, 1)
    seen.wait_for(2, "cam")
    hung = seen.pid_of("cam")
    os.kill(hung, signal.SIGSTOP)
    eventually(lambda: seen.outages["cam"], START)
    before = seen.count("cam")
    seen.wait_for(before + 2, "cam")
    assert seen.pid_of("cam") != hung


def test_closer_looks_survive_a_process(watch, video: Path) -> None:
    seen = watch({"cam": camera(video, loop=True, decode="adaptive")}, 1)
    seen.wait_for(2, "cam")
    seen.fleet.attend(Attention("cam", dense=True))
    eventually(lambda: seen.fleet.stats()["cam"].dense, START)
    os.kill(seen.pid_of("cam"), signal.SIGKILL)
    eventually(lambda: seen.outages["cam"], START)
    assert seen.fleet.stats()["cam"].state is ReaderState.BACKOFF
    eventually(lambda: seen.fleet.stats()["cam"].state is ReaderState.STREAMING, START)
    eventually(lambda: seen.fleet.stats()["cam"].dense)


def test_cameras_come_and_go(watch, video: Path) -> None:
    config = camera(video, loop=True)
    seen = watch({"a": config, "b": config})
    seen.wait_for(2, "a", "b")
    seen.fleet.drop(["a"])
    stopped = seen.count("a")
    seen.fleet.add({"c": config, "off": config.model_copy(update={"enabled": False})})
    seen.wait_for(3, "c")
    assert seen.count("a") == stopped
    assert not seen.outages["a"]
    assert set(seen.fleet.stats()) == {"b", "c"}
    assert [len(each.cameras) for each in seen.fleet.lookouts] == [1, 1]


def test_nothing_is_left_behind(video: Path) -> None:
    def levels() -> tuple[int, int]:
        gc.collect()
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    before = levels()
    seen = Seen({name: camera(video, loop=True) for name in "ab"})
    seen.wait_for(2, "a", "b")
    pids = [seen.pid_of(name) for name in "ab"]
    seen.fleet.stop(10.0)
    counts = seen.count("a")
    assert all(not Path(f"/proc/{pid}").exists() for pid in pids)
    seen.frames.clear()
    assert levels() == before
    time.sleep(0.3)
    assert counts
    assert not seen.frames["a"]


def test_a_source_of_no_kind_is_told_before_anything_starts(video: Path) -> None:
    source = SourceConfig.model_construct(url=SecretStr("ftp://host/a"))
    bad = camera(video).model_copy(update={"source": source})
    with pytest.raises(ConfigError) as caught:
        Seen({"good": camera(video), "bad": bad})
    assert caught.value.where == "camera bad"


@pytest.mark.parametrize(
    ("processes", "cameras", "count"),
    [("auto", 1, 0), ("auto", 128, 0), (0, 500, 0), (3, 10, 3), (3, 2, 2), ("2", 10, 2)],
)
def test_how_many_processes(processes: object, cameras: int, count: int) -> None:
    settings = CaptureConfig.model_validate({"processes": processes})
    assert settings.process_count(cameras) == count


def test_automatic_processes_are_no_more_than_processors(monkeypatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    counts = [CaptureConfig().process_count(cameras) for cameras in (129, 256, 257, 1000)]
    assert counts == [2, 2, 3, 4]


@pytest.mark.parametrize("processes", [-1, 65, 1.5, True, "many"])
def test_no_number_of_processes(processes: object) -> None:
    with pytest.raises(ValueError, match="auto, or a whole number from 0 to 64"):
        CaptureConfig.model_validate({"processes": processes})


def test_few_cameras_are_read_in_this_process(video: Path) -> None:
    made = make_capture(
        {"cam": camera(video)},
        on_frame=print,
        on_outage=print,
        clock=SystemClock(),
        max_side=640,
        settings=CaptureConfig(),
        logging=LoggingConfig(),
    )
    assert isinstance(made, CaptureRoom)


def test_stamps_of_another_process_are_of_the_same_clock(watch, video: Path) -> None:
    seen = watch({"cam": camera(video, loop=True)}, 1)
    seen.wait_for(1, "cam")
    arrived: Stamp = seen.frames["cam"][0].stamp
    assert 0.0 <= seen.arrivals["cam"][0] - arrived.monotonic < 5.0
