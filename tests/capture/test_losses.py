"""Bad lines: packets lost and damaged, a codec that changes; the other cameras do not notice."""

from __future__ import annotations

import random
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
from rtsp_server.clips import encode, write_clip, write_video
from rtsp_server.process import Clip

from capture.observing import Watched, camera, eventually
from monitor.capture import ReaderState

STEADY = 1.0
"""Seconds between two of 5 frames a second that are allowed on a busy machine."""
SHARE = 0.05
FPS = 15


def damaged_clip(path: Path, codec: str) -> Clip:
    """Four seconds in which one packet in twenty has wrong bytes in it."""
    chance = random.Random(11)
    with path.open("wb") as file:
        for unit in encode(codec, frames=60, fps=FPS, gop=15, width=320, height=240):
            data = bytearray(unit)
            if chance.random() < SHARE:
                for _ in range(3):
                    data[chance.randrange(len(data) // 2, len(data))] ^= 0x55
            file.write(struct.pack(">I", len(data)) + data)
    return Clip(path, codec)


def assert_undisturbed(watched: Watched, name: str) -> None:
    assert watched.reasons(name) == []
    assert watched.longest_gap(name) < STEADY
    stats = watched.stats(name)
    assert (stats.frames_corrupt, stats.reconnects) == (0, 0)


@pytest.mark.rtsp
@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("bad", ["lost over tcp", "lost over udp", "damaged"])
def test_one_packet_in_twenty(watch, rtsp_server, tmp_path: Path, codec: str, bad: str) -> None:
    whole = Clip(write_clip(tmp_path / "whole.au", codec, slices=2), codec)
    if bad == "damaged":
        clip = damaged_clip(tmp_path / "damaged.au", codec)
    else:
        clip = Clip(whole.path, codec, loss=SHARE)
    good, server = rtsp_server({"good": whole}), rtsp_server({"bad": clip})
    transport = "udp" if "udp" in bad else "tcp"
    watched = watch(
        {
            "good": camera(good.url("good")),
            "settled": camera(server.url("bad"), decode="adaptive", transport=transport),
            "all": camera(server.url("bad"), transport=transport),
        }
    )
    eventually(lambda: len(watched.frames["good"]) >= 15, 15.0)
    eventually(lambda: watched.stats("settled").frames_received >= 60, 15.0)
    eventually(lambda: watched.stats("settled").frames_sampled >= 2)
    assert_undisturbed(watched, "good")
    for name in ("settled", "all"):
        assert watched.reasons(name) == []
        assert watched.stats(name).state is ReaderState.STREAMING
        stamps = [frame.stamp.monotonic for frame in watched.frames[name]]
        assert all(a < b for a, b in pairwise(stamps))
    stats = watched.stats("all")
    assert stats.frames_decoded >= stats.frames_received / 4


class Television(BaseHTTPRequestHandler):
    """MPEG-TS that is H.264 for two seconds and H.265 ever after; the next viewer gets that."""

    server: Station

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        parts = [] if self.server.switched else [self.server.before]
        for part in [*parts, *[self.server.after] * 10]:
            for at in range(0, len(part), step := len(part) // 30):
                if self.server.closing.wait(1 / FPS):
                    return
                try:
                    self.wfile.write(part[at : at + step])
                except OSError:
                    return
            self.server.switched = True

    def log_message(self, *_args: object) -> None:
        """Nothing."""


class Station(ThreadingHTTPServer):
    """Where it is sent from."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Television)
        self.closing = threading.Event()
        self.switched = False
        self.before = write_video(folder / "a.ts").read_bytes()
        self.after = write_video(folder / "b.ts", codec="h265").read_bytes()


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    server = Station(tmp_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("policy", ["all", "adaptive"])
def test_a_codec_that_changes_within_a_connection(watch, station: Station, policy: str) -> None:
    """The decoder makes nothing of it; a new connection finds out what it is."""
    url = f"http://127.0.0.1:{station.server_address[1]}/"
    watched = watch(camera(url, decode=policy, read_timeout=1.0))
    eventually(lambda: watched.stats().codec == "h264")
    begin = time.monotonic()
    eventually(lambda: watched.stats().codec == "hevc", 15.0)
    assert time.monotonic() - begin < 12.0
    eventually(lambda: watched.stats().state is ReaderState.STREAMING)
    assert watched.reasons() == ["corrupt"]
    assert watched.stats().reconnects == 1
