"""What a few seconds of a stream tell, and what is advised."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtsp_server.clips import picture, write_clip, write_video
from rtsp_server.process import Clip
from ruamel.yaml import YAML

from monitor.capture.advice import advise, as_yaml, camera_name, entry, shareable_url
from monitor.capture.probing import (
    Sighting,
    StreamReport,
    bit_rate,
    frame_interval,
    keyframe_distances,
    probe,
    reordered,
    seconds_watched,
)
from monitor.config import CameraConfig, SourceConfig, Transport
from monitor.config.camera import check_name
from monitor.errors import InputError, ServiceError


def source(url: object, **options: object) -> SourceConfig:
    return SourceConfig.model_validate({"url": str(url), **options})


def sightings(pts: list[float | None], keys: set[int], size: int = 1000) -> list[Sighting]:
    return [
        Sighting(each, 100.0 + index / 10, size, index in keys) for index, each in enumerate(pts)
    ]


GOOD = StreamReport(
    url="rtsp://***@cam/sub",
    codec="h264",
    profile="Main",
    width=640,
    height=360,
    pixel_format="yuv420p",
    fps=15.0,
    gop_frames=30,
    gop_seconds=2.0,
    gop_varies=False,
    b_frames=False,
    bitrate=5e5,
    audio=None,
    opened_after=0.1,
    seconds=6.0,
    packets=90,
)


def test_a_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=45, fps=15, gop=15)
    report = probe(source(path), seconds=2.0)
    assert (report.codec, report.width, report.height) == ("h264", 320, 240)
    assert report.fps == pytest.approx(15.0)
    assert (report.gop_frames, report.gop_seconds) == (15, pytest.approx(1.0))
    assert (report.b_frames, report.gop_varies, report.audio) == (False, False, None)
    assert report.pixel_format == "yuv420p"
    assert report.packets <= 32  # it stops when it has seen enough
    assert report.bitrate is not None
    assert report.bitrate > 1000


def test_b_frames_and_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=15)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.codec_context.gop_size, video.codec_context.max_b_frames = 15, 2
        video.codec_context.options = {"preset": "fast", "b-adapt": "0", "threads": "1"}
        sound = container.add_stream("pcm_s16le", rate=8000)
        sound.layout = "mono"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        silence.sample_rate, silence.pts = 8000, 0
        container.mux(sound.encode(silence))
        for index in range(45):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 15)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    report = probe(source(path), seconds=6.0)
    assert report.b_frames
    assert report.audio == "pcm_s16le"
    assert report.fps == pytest.approx(15.0, rel=0.02)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        probe(source(tmp_path / "nothing.mp4"), seconds=1.0)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError):
        probe(source(tmp_path / "text.mp4"), seconds=1.0)


def test_a_closed_port_and_its_login_are_told_apart() -> None:
    with pytest.raises(ServiceError, match="nothing listens") as caught:
        probe(source("rtsp://viewer:s3cret@127.0.0.1:1/x"), seconds=1.0)
    assert "s3cret" not in str(caught.value)


@pytest.mark.rtsp
def test_a_camera(rtsp_server, tmp_path: Path) -> None:
    clips = {"cam": Clip(write_clip(tmp_path / "a.au", gop=15))}
    server = rtsp_server(clips, auth="digest", user="viewer", password="s3cret")
    report = probe(source(server.url("cam", "viewer", "s3cret")), seconds=2.5)
    assert "s3cret" not in repr(report)
    assert (report.codec, report.width, report.height) == ("h264", 320, 240)
    assert report.fps == pytest.approx(15.0, rel=0.35)  # the server keeps time as it can
    assert report.gop_frames == 15
    for path, user, what in (("cam", "wrong", "user or password"), ("no", "viewer", "no such")):
        with pytest.raises(ServiceError, match=what) as caught:
            probe(source(server.url(path, user, "s3cret")), seconds=1.0)
        assert caught.value.remedy
        assert "s3cret" not in str(caught.value)


def test_the_clock_of_a_camera_may_jump() -> None:
    pts: list[float | None] = [
        None,
        *(n / 10 for n in range(20)),
        *(900 + n / 10 for n in range(9)),
    ]
    assert frame_interval(sightings(pts, set()), True) == pytest.approx(0.1)
    assert frame_interval(sightings([None] * 5, set()), False) == pytest.approx(0.1)
    assert frame_interval(sightings([1.0], {0}), True) is None


def test_time_is_told_by_the_media_or_else_by_the_clock() -> None:
    assert seconds_watched(sightings([1.0, 2.0, 9.0], {0}), True) == pytest.approx(8.0)
    assert seconds_watched(sightings([1.0, 2.0, 9.0], {0}), False) == pytest.approx(0.2)
    assert seconds_watched(sightings([None, 2.0, 9.0], {0}), True) == pytest.approx(0.2)


def test_keyframes_bit_rate_and_order() -> None:
    seen = sightings([n / 10 for n in range(30)], {3, 13, 28})
    assert keyframe_distances(seen, True) == [(10, pytest.approx(1.0)), (15, pytest.approx(1.5))]
    assert bit_rate(seen, 0.1) == pytest.approx(80_000)
    assert bit_rate(seen[:2], None) is None
    assert not reordered(seen)
    assert reordered(sightings([0.0, 0.3, 0.1, 0.2, 0.6, 0.4, 0.5], {0}))
    assert not reordered(sightings([8.0, 9.0, 0.0, 1.0], {0}))  # set back once


def test_a_good_stream_needs_nothing() -> None:
    assert advise(GOOD) == []
    assert advise(replace(GOOD, gop_seconds=2.04)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gop_seconds": 8.0, "gop_frames": 120}, "set a keyframe every 2 s (every 30 pictures"),
        ({"gop_seconds": None, "gop_frames": None}, "no two keyframes within 6 s"),
        ({"gop_seconds": None, "gop_frames": None, "seconds": 1.0}, "too briefly"),
        ({"gop_varies": True}, "smart codec"),
        ({"width": 3840, "height": 2160}, "sub-stream"),
        ({"fps": 25.0}, "set 15 or fewer"),
        ({"b_frames": True}, "B-frames"),
        ({"audio": "aac"}, "sound"),
        ({"codec": "mjpeg", "gop_seconds": 0.06}, "H.264"),
        ({"codec": "mpeg4"}, "no usual camera codec"),
        ({"pixel_format": "yuv420p10le"}, "8 bit"),
    ],
)
def test_advice(change: dict[str, object], said: str) -> None:
    (line,) = advise(replace(GOOD, **change))
    assert said in line


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://v:p%40ss@cam:554/s?a=1", "rtsp://v:${CAMERA_PASSWORD}@cam:554/s?a=1"),
        ("rtsp://cam/s", "rtsp://cam/s"),
        ("rtsp://v@cam/s", "rtsp://v@cam/s"),
        ("rtsp://cam/s?password=x", "rtsp://cam/s?password=***"),
        ("rtsp://v:1/secret@cam/s", "rtsp://***@cam/s"),
        ("rtsp://cam/${x}", "rtsp://cam/$${x}"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_urls_that_may_be_shown(url: str, shown: str) -> None:
    assert shareable_url(url) == shown


def test_the_entry_is_a_camera_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = replace(GOOD, fps=2.0, audio="aac # : {")
    made = entry(slow, "rtsp://v:p@[::1]:5/a?b=c&d", name="10.0.0.5", transport=Transport.UDP)
    (name, camera), *_ = YAML(typ="safe").load(as_yaml([made]))["cameras"].items()
    assert name == "10.0.0.5"
    config = CameraConfig.model_validate(camera)
    assert config.source.url.get_secret_value() == "rtsp://v:${CAMERA_PASSWORD}@[::1]:5/a?b=c&d"
    assert (config.sample_fps, config.source.transport) == (2.0, Transport.UDP)


@settings(deadline=None, max_examples=40)
@given(st.text(), st.text())
def test_any_text_becomes_a_name(text: str, url: str) -> None:
    first = camera_name(text)
    second = camera_name(text, [first])
    assert check_name(first) != check_name(second)
    made = entry(GOOD, f"/videos/{url}", name=first, transport=Transport.TCP)
    printable = "".join(c for c in url if c.isprintable())
    if printable == url:
        (camera,) = YAML(typ="safe").load(as_yaml([made]))["cameras"].values()
        assert camera["source"]["url"] == f"/videos/{url}"
