"""Pictures that come in several packets are put together, and none is shown by halves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from typing import Any

import av
import numpy as np
import pytest
from rtsp_server.clips import encode, write_video

from capture.observing import camera
from monitor.capture import read_recording
from monitor.capture.decoding import Decoder
from monitor.capture.economy import Economy
from monitor.capture.sources import file_source, opened
from monitor.capture.units import START_CODE, Assembler, Slices
from monitor.clock import MediaClock

FPS = 15
CLOCK = MediaClock(datetime(2026, 1, 1, tzinfo=UTC))
CODECS = {"h264": "h264", "h265": "hevc"}
SIZE = (320, 240)
PARAMETERS = {"h264": (7, 8), "h265": (32, 33, 34)}

Part = tuple[int, bytes, bool]
"""Number of its picture, data, whether it is of a keyframe."""


def kind(codec: str, nal: bytes) -> int:
    return nal[0] & 0x1F if codec == "h264" else nal[0] >> 1 & 0x3F


def cut(codec: str, unit: bytes) -> Iterator[bytes]:
    """As FFmpeg's parser does where parameter sets stand before each slice."""
    nals = [nal.rstrip(b"\0") for nal in unit.split(START_CODE)[1:]]
    sets = [nal for nal in nals if kind(codec, nal) in PARAMETERS[codec]]
    slices = [nal for nal in nals if kind(codec, nal) in ((1, 5) if codec == "h264" else range(32))]
    assert len(slices) == 2
    for each in slices:
        yield b"".join(START_CODE + nal for nal in (*sets, each))


def parts(codec: str, *, which: Callable[[int, bool], bool], gop: int = 15) -> list[Part]:
    """Sixty pictures of two slices each; those that `which` says come in two parts."""
    found: list[Part] = []
    units = encode(codec, frames=60, fps=FPS, gop=gop, width=SIZE[0], height=SIZE[1], slices=2)
    for number, unit in enumerate(units):
        key = number % gop == 0
        pieces = cut(codec, unit) if which(number, key) else [unit]
        found += [(number, piece, key) for piece in pieces]
    return found


def decoder_of(codec: str) -> Any:
    context: Any = av.CodecContext.create(CODECS[codec], "r")
    context.thread_type = "NONE"
    return context


def truth(codec: str, gop: int = 15) -> list[np.ndarray]:
    context = decoder_of(codec)
    packets = [av.Packet(data) for _, data, _ in parts(codec, which=lambda _n, _k: False, gop=gop)]
    return [
        frame.to_ndarray(format="gray")
        for packet in [*packets, None]
        for frame in context.decode(packet)
    ]


@pytest.fixture(scope="module")
def some_stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Any stream: packets that were put together belong to that of their first part."""
    path = write_video(tmp_path_factory.mktemp("units") / "any.mp4", frames=2)
    with opened(file_source(path)) as source:
        yield source.stream


class Fed(Decoder):
    """Decodes in a context of its own."""

    def __init__(self, context: Any) -> None:
        super().__init__()
        self._own = context

    def frames(self, packet: Any) -> Any:
        return self._whole(lambda: self._own.decode(packet))


Show = Callable[..., list[int]]


@pytest.fixture
def shown(some_stream: Any) -> Show:
    return partial(show, some_stream)


def show(
    owner: Any,
    codec: str,
    stream: Sequence[Part],
    policy: str,
    *,
    dense: Callable[[], bool] = lambda: False,
) -> list[int]:
    """What an Economy shows of it; each picture is compared with the true one."""
    context, pictures = decoder_of(codec), truth(codec)
    decoder = Fed(context)
    economy = Economy(camera("-", decode=policy), decoder, context, dense)
    assembler = Assembler(context)
    numbers: list[int] = []
    for number, data, key in [*stream, (len(pictures), b"", False)]:
        packet = av.Packet(data)
        packet.stream = owner
        packet.pts = packet.dts = number if number else None  # RTSP's first has none
        packet.time_base, packet.is_keyframe = Fraction(1, FPS), key
        joined = assembler.joined(packet)
        if joined is False:
            economy.lose_track()
        if joined is not None:
            continue
        for unit in assembler.units(packet, number / FPS, CLOCK.at(number / FPS)):
            if not unit.packet.size:
                continue
            for pick in economy.pictures(*unit):
                of = round(unit.seconds * FPS) if pick.picture.pts is None else pick.picture.pts
                gray = pick.picture.to_ndarray(format="gray")
                np.testing.assert_array_equal(gray, pictures[of])
                if pick.wanted:
                    numbers.append(of)
    return numbers


KEYS_CUT: list[tuple[str, Callable[[int, bool], bool]]] = [
    ("keyframes", lambda _number, key: key),
    ("all", lambda _number, _key: True),
    ("none", lambda _number, _key: False),
]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("which", [each for _, each in KEYS_CUT], ids=[n for n, _ in KEYS_CUT])
def test_no_picture_is_shown_by_halves(
    shown: Show, codec: str, which: Callable[[int, bool], bool]
) -> None:
    stream = parts(codec, which=which)
    assert shown(codec, stream, "all") == list(range(60))
    assert shown(codec, stream, "keyframes") == [0, 15, 30, 45]
    assert shown(codec, stream, "adaptive") == [0, 15, 30, 45]
    looked_at = [number for number in range(60) if number % 15 <= 12]  # no look is due behind
    assert shown(codec, stream, "adaptive", dense=lambda: True) == looked_at


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_asked_for_and_cut(shown: Show, seed: int, codec: str) -> None:
    """Pictures are cut at random, also where it was not expected; whatever is shown is true."""
    chance = random.Random(seed)
    stream = parts(codec, which=lambda _number, _key: chance.random() < 0.2)
    dense = False

    def ask() -> bool:
        nonlocal dense
        dense = dense != (chance.random() < 0.15)
        return dense

    assert set(shown(codec, stream, "adaptive", dense=ask)) >= {0, 45}


@pytest.mark.parametrize("codec", CODECS)
def test_a_cut_that_nobody_expected_costs_the_rest_of_its_group(shown: Show, codec: str) -> None:
    """H.264 is decoded at once, since no such picture had come in pieces before; FFmpeg tells
    that half a picture is none. It does not of H.265, where every picture waits for its rest."""
    stream = parts(codec, which=lambda number, _key: number in (20, 35))
    whole = shown(codec, stream, "all")
    lost = [*range(20, 30)] if codec == "h264" else []
    assert [n for n in range(60) if n not in whole] == lost


@pytest.mark.parametrize(("codec", "waiting"), [("h264", [15, 30, 45]), ("h265", range(15, 60))])
def test_what_waits_for_the_next_packet(codec: str, waiting: Sequence[int]) -> None:
    stream = parts(codec, which=lambda _number, _key: False)
    context = decoder_of(codec)
    assembler = Assembler(context)
    waited = []
    for number, data, key in stream:
        packet = av.Packet(data)
        packet.is_keyframe = key
        assert assembler.joined(packet) is None
        out = [unit.seconds for unit in assembler.units(packet, number / FPS, CLOCK.at(0.0))]
        if number / FPS not in out:
            waited.append(number)
    assert waited == [*range(15), *waiting]


def test_where_pictures_are_slow_none_waits() -> None:
    """A camera that sends a keyframe a second and nothing else."""
    context = decoder_of("h264")
    assembler = Assembler(context)
    came = []
    for number, data, _ in parts("h264", which=lambda _number, _key: False, gop=1)[:6]:
        packet = av.Packet(data)
        packet.is_keyframe = True
        came.append(len(list(assembler.units(packet, float(number), CLOCK.at(0.0)))))
    assert came == [0, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("codec", CODECS)
def test_files_tell_their_slices_behind_lengths(tmp_path, codec: str) -> None:
    path = write_video(tmp_path / "a.mp4", codec=codec)
    with opened(file_source(path)) as source:
        slices = Slices(source.stream.codec_context)
        packets = [each for each in source.container.demux(source.stream) if each.size]
        assert source.stream.codec_context.extradata[0] == 1
        assert all(slices.begin(packet) for packet in packets)
        data = bytearray(bytes(packets[1]))
        data[4 + (2 if codec == "h265" else 1)] &= 0x7F
        assert not slices.begin(av.Packet(bytes(data)))


@pytest.mark.parametrize("policy", ["all", "adaptive", "keyframes"])
def test_a_recording_of_such_a_camera(tmp_path, policy: str) -> None:
    """Raw H.264, which FFmpeg cuts at the parameter sets."""
    path = tmp_path / "camera.h264"
    path.write_bytes(b"".join(d for _, d, _ in parts("h264", which=lambda _number, key: key)))
    with av.open(str(path)) as container:
        assert sum(p.is_keyframe for p in container.demux(video=0)) == 8
    recording = read_recording(path, "cam", camera("-", decode=policy), clock=CLOCK, max_side=640)
    lumas = {each.tobytes() for each in truth("h264")}
    frames = list(recording)
    assert len(frames) >= 2
    assert recording.corrupt == 0
    assert recording.decoded == (60 if policy == "all" else 4)
    assert len(lumas) == 60


def test_other_codecs_are_passed_on() -> None:
    context: Any = av.CodecContext.create("mjpeg", "r")
    assembler = Assembler(context)
    packet = av.Packet(b"\xff\xd8" + bytes(50))
    packet.is_keyframe = True
    assert assembler.joined(packet) is None
    assert [unit.packet for unit in assembler.units(packet, 0.0, CLOCK.at(0.0))] == [packet]
