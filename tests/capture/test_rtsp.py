"""Cameras behind a real RTSP server: TCP, UDP, logins, death, silence and return."""

from __future__ import annotations

import ctypes
import gc
import mmap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from rtsp_server.clips import write_clip
from rtsp_server.process import Clip
from structlog.testing import capture_logs

from capture.observing import Watched, camera, eventually
from monitor.capture import ReaderState
from monitor.capture.converting import Converter
from monitor.capture.reader import Reader
from monitor.clock import SystemClock
from monitor.messages import Attention

pytestmark = pytest.mark.rtsp

STEADY = 1.0
"""Seconds between two of 5 frames a second that are allowed on a busy machine."""
GOP = 15
"""Frames from keyframe to keyframe of the clips (`write_clip`)."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(write_clip(tmp_path_factory.mktemp("clips") / "a.au"))


@pytest.fixture(scope="module")
def clip_h265(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(write_clip(tmp_path_factory.mktemp("clips") / "b.au", "h265"), "h265")


def streaming(watched: Watched, *names: str) -> bool:
    return all(watched.stats(name).state is ReaderState.STREAMING for name in names)


def test_several_cameras_over_tcp_and_udp(watch, rtsp_server, clip, clip_h265) -> None:
    server = rtsp_server({"one": clip, "two": clip, "three": clip_h265})
    begin = time.monotonic()
    watched = watch(
        {
            "one": camera(server.url("one")),
            "two": camera(server.url("two"), transport="udp"),
            "three": camera(server.url("three"), transport="udp"),
            "four": camera(server.url("three")),
        }
    )
    assert time.monotonic() - begin < 0.5  # start waits for no camera
    names = ("one", "two", "three", "four")
    eventually(lambda: all(len(watched.frames[name]) >= 10 for name in names))
    assert [watched.stats(name).codec for name in names] == ["h264", "h264", "hevc", "hevc"]
    for name in names:
        assert watched.reasons(name) == []
        assert watched.longest_gap(name) < STEADY
        stats = watched.stats(name)
        assert (stats.width, stats.height) == (320, 240)
        # A camera joined in mid-GOP is decoded from its next keyframe on.
        assert stats.frames_received - GOP - 3 <= stats.frames_decoded <= stats.frames_received
        assert stats.frames_sampled < stats.frames_decoded / 2
        sequences = [frame.sequence for frame in watched.frames[name]]
        assert sequences == list(range(len(sequences)))
        picture = watched.frames[name][-1].picture
        assert picture[60:84].max(axis=(0, 1))[0] > 190  # the red square is there
        assert watched.frames[name][-1].pts is not None


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_logins(watch, rtsp_server, clip, auth: str) -> None:
    password = "p@ss/w:rd?%#"
    server = rtsp_server({"cam": clip}, auth=auth, user="viewer", password=password)
    with capture_logs() as logs:
        watched = watch(
            {
                "right": camera(server.url("cam", "viewer", password)),
                "wrong": camera(server.url("cam", "viewer", "s3cret-guess")),
                "none": camera(server.url("cam")),
            }
        )
        eventually(lambda: streaming(watched, "right"))
        eventually(lambda: watched.reasons("wrong") == ["unauthorized"])
        eventually(lambda: watched.reasons("none") == ["unauthorized"])
    assert watched.stats("wrong").state is ReaderState.BACKOFF
    assert "s3cret" not in repr((logs, watched.outages, watched.room.stats()))
    waits = [line["seconds"] for line in logs if line["event"] == "next try"]
    assert waits
    assert min(waits) >= 24.0  # no account is locked by trying


def test_absent_mounts_and_closed_ports(watch, rtsp_server, clip) -> None:
    server = rtsp_server({"cam": clip})
    watched = watch(
        {
            "absent": camera(server.url("nothing")),
            "closed": camera("rtsp://127.0.0.1:1/cam"),
            "unknown": camera("rtsp://no-such-host.invalid/cam"),
        }
    )
    eventually(lambda: watched.reasons("absent") == ["not_found"])
    eventually(lambda: watched.reasons("closed") == ["refused"])
    eventually(lambda: watched.reasons("unknown") == ["unreachable"])
    eventually(lambda: watched.stats("closed").reconnects >= 1)
    assert watched.reasons("closed") == ["refused"]  # one outage, one message


def test_a_killed_camera_returns_and_the_others_do_not_notice(watch, rtsp_server, clip) -> None:
    dying, healthy = rtsp_server({"cam": clip}), rtsp_server({"cam": clip})
    watched = watch({"dying": camera(dying.url("cam")), "healthy": camera(healthy.url("cam"))})
    eventually(lambda: len(watched.frames["dying"]) >= 3 and len(watched.frames["healthy"]) >= 3)

    dying.kill()
    eventually(lambda: watched.reasons("dying"))
    last = watched.frames["dying"][-1]
    outage = watched.outages["dying"][0]
    assert outage.reason.value == "ended"
    assert last.stamp.monotonic <= outage.stamp.monotonic < last.stamp.monotonic + 0.5
    eventually(lambda: watched.stats("dying").reason.value == "refused")

    before = len(watched.frames["dying"])
    dying.restart()
    eventually(lambda: len(watched.frames["dying"]) >= before + 3)
    assert watched.reasons("dying") == ["ended"]
    assert streaming(watched, "dying", "healthy")
    sequences = [frame.sequence for frame in watched.frames["dying"]]
    assert sequences == list(range(len(sequences)))
    assert watched.reasons("healthy") == []
    assert watched.longest_gap("healthy") < STEADY


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_frozen_camera_stalls_and_returns(watch, rtsp_server, clip, transport: str) -> None:
    frozen, healthy = rtsp_server({"cam": clip}), rtsp_server({"cam": clip})
    watched = watch(
        {
            "frozen": camera(
                frozen.url("cam"), open_timeout=1.0, read_timeout=1.0, transport=transport
            ),
            "healthy": camera(healthy.url("cam")),
        }
    )
    eventually(lambda: streaming(watched, "frozen", "healthy"))
    frozen.freeze()
    eventually(lambda: watched.reasons("frozen") == ["timeout"], 4.0)
    # The watchdog tells at once; then FFmpeg gives up, too, and it is opened anew.
    eventually(lambda: watched.stats("frozen").reconnects >= 1, 6.0)
    frozen.thaw()
    eventually(lambda: streaming(watched, "frozen"))
    assert watched.reasons("frozen") == ["timeout"]
    assert watched.longest_gap("healthy") < STEADY


def test_resolution_changes_in_mid_stream(watch, rtsp_server, tmp_path: Path) -> None:
    sizes = ((320, 240), (160, 120))
    clip = Clip(write_clip(tmp_path / "two.au", sizes=sizes, frames=15))
    with capture_logs() as logs:
        watched = watch(camera(rtsp_server({"cam": clip}).url("cam")))
        eventually(lambda: len(watched.frames["cam"]) >= 12)
    shapes = {frame.picture.shape for frame in watched.frames["cam"]}
    assert shapes == {(240, 320, 3), (120, 160, 3)}
    assert watched.reasons() == []
    assert watched.stats().reconnects == 0
    assert any(line.get("reason") == "resolution_changed" for line in logs)


def test_a_camera_comes_back_with_another_codec(watch, rtsp_server, clip, clip_h265) -> None:
    server = rtsp_server({"cam": clip})
    watched = watch(camera(server.url("cam"), decode="adaptive"))
    eventually(lambda: watched.stats().codec == "h264")
    server.kill()
    server.restart({"cam": clip_h265})
    eventually(lambda: watched.stats().codec == "hevc" and streaming(watched, "cam"), 15.0)
    assert watched.reasons() == ["ended"]


def test_keyframes_are_enough_until_a_closer_look_is_asked_for(watch, rtsp_server, clip) -> None:
    server = rtsp_server({"cam": clip})
    watched = watch(camera(server.url("cam"), decode="adaptive"))
    eventually(lambda: len(watched.frames["cam"]) >= 3)
    stats = watched.stats()
    assert stats.group is not None
    assert stats.group > 0.7  # a second where the machine has the time to send it
    assert stats.frames_decoded < stats.frames_received / 5
    watched.room.attend(Attention("cam", dense=True))
    before = len(watched.frames["cam"])
    eventually(lambda: len(watched.frames["cam"]) >= before + 8, 5.0)
    stamps = [frame.stamp.monotonic for frame in watched.frames["cam"]]
    assert stamps == sorted(set(stamps))
    for frame in watched.frames["cam"]:  # the red square is there, whole, in every picture
        assert frame.picture[60:84].max(axis=(0, 1))[0] > 190
    assert watched.reasons() == []


def test_a_stream_that_falls_behind_is_opened_anew(watch, rtsp_server, tmp_path: Path) -> None:
    """The consumer takes its time, TCP holds everything back, and nothing is lost but time."""
    noisy = Clip(write_clip(tmp_path / "n.au", frames=60, sizes=((640, 480),)))
    server = rtsp_server({"cam": noisy})
    watched = watch(
        camera(server.url("cam"), max_lag=0.5), on_frame=lambda _frame: time.sleep(0.45)
    )
    eventually(lambda: "lagging" in watched.reasons(), 15.0)
    eventually(lambda: watched.stats().reconnects >= 1)


def test_stop_is_prompt_while_a_camera_is_frozen(watch, rtsp_server, clip) -> None:
    server = rtsp_server({"cam": clip})
    watched = watch(camera(server.url("cam"), read_timeout=2.0))
    eventually(lambda: streaming(watched, "cam"))
    server.freeze()
    time.sleep(0.3)
    begin = time.monotonic()
    watched.room.stop(0.5)
    assert time.monotonic() - begin < 0.9
    assert watched.stats().state is ReaderState.STOPPED
    count = len(watched.frames["cam"])
    server.thaw()
    time.sleep(0.5)
    assert len(watched.frames["cam"]) == count


def test_stop_is_prompt_while_streaming(watch, rtsp_server, clip) -> None:
    server = rtsp_server({"cam": clip})
    watched = watch({name: camera(server.url("cam")) for name in ("a", "b", "c")})
    eventually(lambda: streaming(watched, "a", "b", "c"))
    begin = time.monotonic()
    watched.room.stop()
    assert time.monotonic() - begin < 0.5
    assert not any(t.name.startswith("reader-") for t in threading.enumerate())


def test_reconnects_leave_nothing_behind(watch, rtsp_server, tmp_path: Path) -> None:
    """Twenty times opened and closed: threads, descriptors and memory return to their level."""
    clip = Clip(write_clip(tmp_path / "a.au", gop=2, sizes=((640, 480),)))
    server = rtsp_server({"cam": clip})
    viewer = watch({"viewer": camera(server.url("cam"))})  # keeps the server's pipeline warm
    eventually(lambda: streaming(viewer, "viewer"))
    seen = threading.Semaphore(0)

    def levels() -> tuple[int, int]:
        gc.collect()
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    def in_use() -> int:
        """Bytes of the process, without what the allocator keeps for later and the test itself."""
        viewer.frames["viewer"].clear()
        ctypes.CDLL(None).malloc_trim(0)
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    def once() -> None:
        reader = Reader(
            "cam",
            camera(server.url("cam")),
            on_frame=lambda _frame: seen.release(),
            on_outage=print,
            clock=SystemClock(),
            max_side=64,
        )
        reader.start()
        assert seen.acquire(timeout=8.0)
        reader.request_stop()
        assert reader.join(2.0)

    for _ in range(5):
        once()
    before, bytes_before = levels(), in_use()
    for _ in range(20):
        once()
    assert levels() == before
    assert in_use() - bytes_before < 16 * 2**20  # a decoder that stays is 2 MB, twenty times
    assert viewer.longest_gap("viewer") < STEADY
    assert viewer.reasons("viewer") == []


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_pictures_of_several_slices_come_whole(watch, rtsp_server, tmp_path, codec: str) -> None:
    """The server puts parameter sets before each slice of a keyframe: FFmpeg cuts it there."""
    path = write_clip(tmp_path / "sliced.au", codec, slices=2)
    server = rtsp_server({"cam": Clip(path, codec)})
    policies = ("keyframes", "adaptive", "all")
    watched = watch({each: camera(server.url("cam"), decode=each) for each in policies})
    eventually(lambda: all(len(watched.frames[each]) >= 4 for each in policies), 12.0)
    true = {rgb.tobytes() for rgb in whole_pictures(path, codec)}
    for policy in policies:
        assert watched.reasons(policy) == []
        assert watched.stats(policy).frames_corrupt == 0
        assert all(frame.picture.tobytes() in true for frame in watched.frames[policy])
    assert watched.stats("adaptive").group == pytest.approx(1.0, abs=0.4)
    assert watched.stats("all").fps == pytest.approx(15.0, abs=4.0)


def whole_pictures(path: Path, codec: str) -> Iterator[np.ndarray]:
    """A clip's pictures in RGB, each decoded from all of its data."""
    data, context = path.read_bytes(), av.CodecContext.create(codec.replace("h265", "hevc"), "r")
    packets: list[av.Packet | None] = []
    while data:
        size = int.from_bytes(data[:4], "big")
        packets.append(av.Packet(data[4 : 4 + size]))
        data = data[4 + size :]
    for packet in [*packets, None]:
        for decoded in context.decode(packet):
            yield Converter().full(decoded)
