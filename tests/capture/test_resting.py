"""Rests between two looks: packets are taken several at once, and nobody can tell."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtsp_server.clips import write_clip
from rtsp_server.process import Clip

from capture.observing import camera, eventually
from monitor.capture.reader import Reader, _Session
from monitor.capture.resting import BUFFERED, EARLY, FEWEST, LONGEST, Rest
from monitor.capture.sources import source_of
from monitor.clock import SystemClock
from monitor.messages import Attention


def packet(size: int, *, key: bool = False) -> av.Packet:
    made = av.Packet(size)
    made.is_keyframe = key
    return made


@given(
    st.lists(st.integers(1, 200_000), max_size=60),
    st.floats(-5.0, 60.0),
    st.floats(0.0, 5.0),
    st.floats(1.0, 60.0),
)
def test_a_rest_ends_before_the_next_look_and_before_the_buffer_is_full(
    sizes: list[int], idle: float, lag: float, fps: float
) -> None:
    rest = Rest()
    for size in sizes:
        rest.note(packet(size))
    seconds = rest.seconds(idle=idle, lag=lag, fps=fps)
    assert 0.0 <= seconds <= LONGEST
    if seconds:
        assert seconds * fps >= FEWEST
        assert seconds <= idle - EARLY
        assert lag * fps < 1.0
        assert rest._size * fps * seconds <= BUFFERED * 1.001


def test_a_stream_of_large_packets_is_not_left_alone() -> None:
    """Sixteen megabit a second at 25 pictures; what keyframes take does not count."""
    small, large = Rest(), Rest()
    for _ in range(50):
        small.note(packet(5_000))
        small.note(packet(200_000, key=True))
        large.note(packet(80_000))
    assert small.seconds(idle=1.0, lag=0.0, fps=25.0) == LONGEST
    assert large.seconds(idle=1.0, lag=0.0, fps=25.0) == 0.0
    assert small.seconds(idle=1.0, lag=0.0, fps=None) == 0.0


@pytest.mark.parametrize(
    ("url", "transport", "waits"),
    [
        ("rtsp://127.0.0.1/a", "tcp", True),
        ("rtsp://127.0.0.1/a", "udp", False),  # the kernel keeps little of it
        ("http://127.0.0.1/a", "tcp", False),
        ("/a.mp4", "tcp", False),
    ],
)
def test_only_what_is_kept_can_wait(url: str, transport: str, waits: bool) -> None:
    assert source_of(camera(url, transport=transport).source).waits is waits


@given(st.lists(st.floats(0.0, 0.02), min_size=30, max_size=60), st.integers(1, 5))
def test_packets_that_waited_carry_the_time_they_came(jitter: list[float], every: int) -> None:
    """Ten a second, taken `every` at once: stamps lie a step apart, and never run back."""
    session, now = _Session(camera("-")), SystemClock().now()
    stamps: list[float] = []
    came = [index / 10 + delay for index, delay in enumerate(jitter)]
    for first in range(0, len(came) - len(came) % every, every):
        taken = came[first + every - 1]  # all of them are there by now
        for index in range(first, first + every):
            session.receive(index / 10, taken)
            assert not session.lag.too_late(session.seconds, taken)
            stamps.append(session.came(now.shifted(taken)).since(now))
        session.rested = now.shifted(taken).monotonic
    for before, after in pairwise(stamps):
        assert after >= before - 1e-9
    settled = range(every, len(stamps))
    assert all(abs(stamps[index] - came[index]) <= 0.045 for index in settled)


@pytest.mark.rtsp
def test_who_rests_sees_as_early_and_wakes_at_once(
    watch, rtsp_server, tmp_path: Path, monkeypatch
) -> None:
    rests: list[float] = []
    rest = Reader._rest

    def noted(self: Reader, seconds: float, session: _Session) -> None:
        if seconds:
            rests.append(seconds)
        rest(self, seconds, session)

    monkeypatch.setattr(Reader, "_rest", noted)
    server = rtsp_server({"cam": Clip(write_clip(tmp_path / "a.au"))})
    watched = watch(camera(server.url("cam"), decode="adaptive"))
    eventually(lambda: len(watched.frames["cam"]) >= 6, 12.0)
    assert len(rests) >= 6
    late = [
        arrived - frame.stamp.monotonic
        for frame, arrived in zip(
            watched.frames["cam"][3:], watched.arrivals["cam"][3:], strict=False
        )
    ]
    assert max(late) < 0.2, "a keyframe waited while the reader rested"
    time.sleep(0.5)
    asked = time.monotonic()
    before = len(watched.frames["cam"])
    watched.room.attend(Attention("cam", dense=True))
    eventually(lambda: len(watched.frames["cam"]) >= before + 10, 5.0)
    frames = watched.frames["cam"][before:]
    assert watched.arrivals["cam"][before] - asked < 0.15
    stamps = [frame.stamp.monotonic for frame in frames]
    assert all(0.04 <= later - sooner <= 0.6 for sooner, later in pairwise(stamps))
    assert watched.reasons() == []
