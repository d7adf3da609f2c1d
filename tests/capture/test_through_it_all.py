"""One camera among many that fail in every way: its frames come as if it were alone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from rtsp_server.clips import write_clip
from rtsp_server.process import Clip, RtspServer

from capture.observing import Watched, camera, eventually
from monitor.capture import ReaderState
from monitor.messages import Frame

pytestmark = pytest.mark.rtsp

STEADY = 1.0
"""Seconds between two of 5 frames a second that are allowed on a busy machine."""
HEALTHY = ("tcp", "udp", "settled")
USUAL = {"tcp": 0.2, "udp": 0.2, "settled": 1.0}
"""Seconds between two frames: 5 a second, or a keyframe a second."""


@pytest.fixture
def mute() -> Iterator[str]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield f"rtsp://127.0.0.1:{listening.getsockname()[1]}/cam"


def slow(frame: Frame) -> None:
    if frame.camera == "slow":
        time.sleep(0.5)


def intervals(watched: Watched, name: str, since: float) -> list[float]:
    return [b - a for a, b in pairwise(t for t in watched.arrivals[name] if t >= since)]


def trouble(watched: Watched, servers: dict[str, RtspServer], url: str) -> None:
    """Kill, freeze, restart, thaw; and a camera that is dropped and added all the while."""
    over = threading.Event()

    def come_and_go() -> None:
        while not over.wait(0.3):
            watched.room.drop(["fickle"])
            watched.room.add({"fickle": camera(url)})

    thread = threading.Thread(target=come_and_go)
    thread.start()
    servers["dying"].kill()
    servers["frozen"].freeze()
    time.sleep(3.0)
    servers["dying"].restart()
    servers["frozen"].thaw()
    time.sleep(3.0)
    over.set()
    thread.join()


@pytest.mark.timeout(90)
def test_nobody_notices_what_becomes_of_the_others(
    watch, rtsp_server, mute: str, tmp_path: Path
) -> None:
    clip = Clip(write_clip(tmp_path / "a.au"))
    sizes = Clip(write_clip(tmp_path / "b.au", sizes=((320, 240), (160, 120)), frames=15))
    good = rtsp_server({"cam": clip})
    locked = rtsp_server({"cam": clip}, auth="digest", user="viewer", password="right")
    bad = rtsp_server({"lossy": Clip(clip.path, loss=0.05), "sizes": sizes, "slow": clip})
    servers = {name: rtsp_server({"cam": clip}) for name in ("dying", "frozen")}
    impatient = {"open_timeout": 1.0, "read_timeout": 1.0}
    watched = watch(
        {
            "tcp": camera(good.url("cam")),
            "udp": camera(good.url("cam"), transport="udp"),
            "settled": camera(good.url("cam"), decode="adaptive"),
            "wrong": camera(locked.url("cam", "viewer", "wrong")),
            "absent": camera(good.url("nothing")),
            "mute": camera(mute, **impatient),
            "lossy": camera(bad.url("lossy"), transport="udp"),
            "sizes": camera(bad.url("sizes")),
            "slow": camera(bad.url("slow"), max_lag=0.5),
            "fickle": camera(bad.url("sizes")),
            **{name: camera(each.url("cam"), **impatient) for name, each in servers.items()},
        },
        on_frame=slow,
    )
    eventually(lambda: all(len(watched.frames[name]) >= 2 for name in HEALTHY), 15.0)
    eventually(lambda: all(len(watched.frames[name]) >= 2 for name in servers), 15.0)
    since = time.monotonic()
    trouble(watched, servers, bad.url("sizes"))
    # All of it has come to pass ...
    reasons = {name: watched.reasons(name)[:1] for name in ("wrong", "absent", "mute", *servers)}
    assert reasons == {
        "wrong": ["unauthorized"],
        "absent": ["not_found"],
        "mute": ["timeout"],
        "dying": ["ended"],
        "frozen": ["timeout"],
    }
    eventually(lambda: "lagging" in watched.reasons("slow"), 15.0)
    assert {frame.picture.shape[0] for frame in watched.frames["sizes"]} == {240, 120}
    eventually(lambda: watched.stats("dying").state is ReaderState.STREAMING, 15.0)
    # ... and these did not notice.
    for name in HEALTHY:
        assert watched.reasons(name) == []
        assert watched.stats(name).reconnects == 0
        gaps = intervals(watched, name, since)
        assert len(gaps) >= 4
        assert median(gaps) == pytest.approx(USUAL[name], abs=0.1)
        assert max(gaps) < USUAL[name] + STEADY
