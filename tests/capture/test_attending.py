"""Live cameras and recordings that are looked at closely when presence asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from rtsp_server.clips import write_video

from capture.observing import camera, eventually
from monitor import replay
from monitor.clock import SystemClock
from monitor.config import CameraConfig, InferenceConfig
from monitor.messages import Attention, Frame, Score

FPS = 15


class BrightnessPool:
    """Stands for the workers: a bright picture shows somebody."""

    model_id = "brightness"

    def __init__(self, _config: InferenceConfig, *, on_score: Callable[[Score], None], **_: Any):
        self._on_score = on_score

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def drain(self) -> None: ...

    def submit(self, frame: Frame, *, wait: bool = False) -> None:
        for cut in frame.cuts:
            value = min(1.0, float(cut.patches.mean()) / 200)
            self._on_score(Score(frame.camera, cut.zone, value, frame, SystemClock().now()))


@pytest.fixture
def replayer(monkeypatch: pytest.MonkeyPatch) -> Iterator[replay.Replayer]:
    monkeypatch.setattr(replay, "InferencePool", BrightnessPool)
    with replay.Replayer(InferenceConfig()) as replayer:
        yield replayer


def write_visits(path: Path, visits: list[tuple[float, float]], seconds: float, gop: int) -> Path:
    """A dark video that is bright during the visits."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = 0
        stream.codec_context.options = {"sc_threshold": "0", "tune": "zerolatency"}
        for index in range(round(seconds * FPS)):
            inside = any(start <= index / FPS < end for start, end in visits)
            rgb = np.full((64, 64, 3), 230 if inside else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("gop", [15, 30, 90])
def test_the_same_events_from_fewer_pictures(
    replayer: replay.Replayer, tmp_path: Path, gop: int
) -> None:
    """Adaptive finds what decoding all finds; onsets within a group, or within `max_blind`."""
    visits = [(4.4, 9.0), (20.5, 30.0), (41.0, 44.0)]
    path = write_visits(tmp_path / "visits.mp4", visits, 60.0, gop)
    settings = {"source": {"url": "-"}, "presence": {"exit_after": "2s"}}
    full, sparse = (
        replayer.run(path, "cam", CameraConfig.model_validate({**settings, "decode": decode}))
        for decode in ("all", "adaptive")
    )
    assert len(full.events) == len(sparse.events) == len(visits)
    for truth, found in zip(full.events, sparse.events, strict=True):
        assert abs(found.start_s - truth.start_s) <= min(gop / FPS, 2.0) + 0.1
        assert found.end_s == pytest.approx(truth.end_s, abs=min(gop / FPS, 2.0) + 0.1)
    assert full.frames_decoded == 900
    assert sparse.frames_decoded < (450 if gop <= 30 else 900)
    again = replayer.run(path, "cam", CameraConfig.model_validate(settings))
    assert again == sparse  # adaptive is the default, and replay gives the same twice


def test_a_live_camera_is_looked_at_closely_on_demand(watch, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", frames=150, gop=30)
    watched = watch(camera(video, decode="adaptive", loop=True))
    eventually(lambda: len(watched.frames["cam"]) >= 2)
    watched.room.attend(Attention("cam", dense=True))
    watched.room.attend(Attention("no such camera", dense=True))
    begin = len(watched.frames["cam"])
    eventually(lambda: len(watched.frames["cam"]) >= begin + 6)
    assert watched.stats().dense
    frames = watched.frames["cam"]
    assert frames[1].stamp.since(frames[0].stamp) == pytest.approx(2.0, abs=0.4)
    closely = [b.stamp.since(a.stamp) for a, b in pairwise(frames[begin:])]
    assert np.median(closely) == pytest.approx(0.2, abs=0.1)
    watched.room.attend(Attention("cam", dense=False))
    eventually(lambda: not watched.stats().dense)
    stats = watched.stats()
    assert stats.group == pytest.approx(2.0, abs=0.01)
    assert stats.frames_received > stats.frames_decoded
    assert watched.reasons() == []


def test_keyframes_that_are_rarer_than_the_timeout_are_no_outage(watch, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", frames=90, gop=45)
    watched = watch(camera(video, decode="keyframes", read_timeout=0.8, loop=True))
    eventually(lambda: len(watched.frames["cam"]) >= 3, 12.0)
    assert watched.reasons() == []
