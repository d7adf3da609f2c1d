"""A camera that begins to cut its pictures in the middle of a connection, on the real server."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from rtsp_server.clips import encode
from rtsp_server.process import Clip

from capture.observing import camera, eventually
from monitor.capture.converting import Converter

START_CODE = b"\x00\x00\x01"
SETS = {"h264": (7, 8), "h265": (32, 33, 34)}
GOP = 15
LATE = 3 * GOP
"""Picture from which on every other one that depends on others has parameter sets within it."""


def kind(codec: str, nal: bytes) -> int:
    return nal[0] & 0x1F if codec == "h264" else nal[0] >> 1 & 0x3F


def units(codec: str) -> list[bytes]:
    options = {"frames": 6 * GOP, "fps": 15, "gop": GOP, "width": 320, "height": 240}
    return list(encode(codec, **options, slices=2))


def cut(codec: str, whole: list[bytes]) -> Iterator[bytes]:
    """The same pictures; where parameter sets stand, FFmpeg begins a new packet."""
    sets: list[bytes] = []
    for number, unit in enumerate(whole):
        nals = [nal.rstrip(b"\0") for nal in unit.split(START_CODE)[1:]]
        sets = [nal for nal in nals if kind(codec, nal) in SETS[codec]] or sets
        if number >= LATE and number % GOP and number % 2:
            assert len(nals) == 2, "two slices"
            nals = [nals[0], *sets, nals[1]]
        yield b"".join(START_CODE + nal for nal in nals)


def true_pictures(codec: str, whole: list[bytes]) -> set[bytes]:
    context = av.CodecContext.create("hevc" if codec == "h265" else codec, "r")
    packets = [*map(av.Packet, whole), None]
    frames = [frame for packet in packets for frame in context.decode(packet)]
    return {Converter().full(frame).tobytes() for frame in frames}


@pytest.mark.rtsp
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_no_half_picture_is_ever_shown(watch, rtsp_server, tmp_path: Path, codec: str) -> None:
    whole = units(codec)
    path = tmp_path / "late.au"
    path.write_bytes(b"".join(struct.pack(">I", len(u)) + u for u in cut(codec, whole)))
    server = rtsp_server({"cam": Clip(path, codec)})
    policies = ("all", "adaptive")
    watched = watch(
        {each: camera(server.url("cam"), decode=each, sample_fps=15) for each in policies}
    )
    eventually(lambda: watched.stats("all").frames_received >= 9 * GOP, 20.0)
    true = true_pictures(codec, whole)
    for policy in policies:
        pictures = [frame.picture.tobytes() for frame in watched.frames[policy]]
        assert [n for n, picture in enumerate(pictures) if picture not in true] == []
        assert watched.reasons(policy) == []
    assert len(watched.frames["all"]) > 4 * GOP
