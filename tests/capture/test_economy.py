"""The decode policy: what is decoded, when, and that every picture is the true one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtsp_server.clips import picture, write_video
from structlog.testing import capture_logs

from capture.observing import camera
from monitor.capture import economy as module
from monitor.capture.decoding import Decoder
from monitor.capture.economy import Economy
from monitor.capture.sources import file_source, opened
from monitor.clock import MediaClock
from monitor.config import CameraConfig, PresenceConfig

FPS = 15
CLOCK = MediaClock(datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class Seen:
    """What came out: picture numbers, by when their packets came."""

    decoder: Decoder
    economy: Economy
    looks: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)


def never(_seconds: float) -> bool:
    return False


def run(
    path: Path,
    config: CameraConfig,
    dense: Callable[[float], bool] = never,
    sparse: Callable[[float], bool] = never,
) -> Seen:
    """Every packet of a file through an Economy; each picture is compared with the true one."""
    truth = decode_all(path)
    now = 0.0
    with opened(file_source(path)) as source:
        decoder = Decoder()
        context = source.stream.codec_context
        economy = Economy(config, decoder, context, lambda: dense(now), lambda: sparse(now))
        seen = Seen(decoder, economy)
        packets = [packet for packet in source.container.demux(source.stream) if packet.size]
        for index, packet in enumerate(packets):
            now = index / FPS
            for pick in seen.economy.pictures(packet, now, CLOCK.at(now)):
                shown = pick.picture.to_ndarray(format="gray")
                number = round(pick.picture.time * FPS)
                np.testing.assert_array_equal(shown, truth[number])
                if pick.wanted:
                    seen.looks.append(number)
                    seen.at.append(pick.arrived.monotonic)
    assert len(set(seen.looks)) == len(seen.looks)
    return seen


def decode_all(path: Path) -> dict[int, np.ndarray]:
    with av.open(path) as container:
        return {
            round(frame.time * FPS): frame.to_ndarray(format="gray")
            for frame in container.decode(video=0)
        }


def adaptive(**changes: float) -> CameraConfig:
    return camera("-", decode="adaptive").model_copy(update=changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("economy")


@pytest.fixture(scope="module")
def video(folder: Path) -> Path:
    """Four seconds, a keyframe a second."""
    return write_video(folder / "a.mp4", frames=60)


@pytest.fixture(scope="module")
def reordered(folder: Path) -> Path:
    """The same with B-frames, which decoders put in order before they show anything."""
    path = folder / "b.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.gop_size = FPS
        stream.codec_context.max_b_frames = 2
        stream.codec_context.options = {"sc_threshold": "0", "b-adapt": "0", "flags": "+cgop"}
        for index in range(60):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_settled_keyframes_only(video: Path) -> None:
    seen = run(video, adaptive())
    assert seen.looks == [0, 15, 30, 45]
    assert seen.decoder.decoded == 4
    assert seen.economy.group == pytest.approx(1.0)


def test_all_is_all(video: Path) -> None:
    seen = run(video, camera("-", decode="all"))
    assert seen.looks == list(range(60))


def test_a_closer_look_begins_at_once_and_misses_nothing(video: Path) -> None:
    """Asked for at 1.4 s: everything since the keyframe at 1 s comes, with its own times.

    What lies between a group's last look and the next keyframe is left out.
    """
    seen = run(video, adaptive(), dense=lambda now: 1.4 <= now < 2.2)
    assert seen.looks == [0, *range(15, 28), 30, 45]
    assert seen.at == pytest.approx([number / FPS for number in seen.looks])
    assert seen.decoder.decoded == len(seen.looks)


def test_a_closer_look_ends_at_once_and_begins_again_where_it_ended(video: Path) -> None:
    seen = run(video, adaptive(), dense=lambda now: 1.2 <= now < 1.4 or 1.6 <= now < 1.8)
    assert seen.looks == [0, *range(15, 25), 30, 45]


def test_a_closer_look_decodes_no_more_than_what_is_sampled(video: Path) -> None:
    """Five a second from each keyframe on: the last two of fifteen pictures are not needed."""
    seen = run(video, adaptive(), dense=lambda _now: True)
    assert seen.looks == [number for number in range(60) if number % 15 < 13]
    assert seen.decoder.decoded == len(seen.looks)


def test_pictures_that_are_put_in_order_need_all_before_them(reordered: Path) -> None:
    """Those after a keyframe may depend on those before it: nothing may be left out."""
    seen = run(reordered, adaptive(), dense=lambda _now: True)
    assert seen.decoder.decoded >= 55  # the last look's successors are still in the decoder
    assert seen.looks == list(range(seen.looks[-1] + 1))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["video", "reordered"])
def test_never_a_garbage_picture(request, kind: str, seed: int) -> None:
    """Whatever is asked for and when (`run` compares each picture with the true one)."""
    chance = random.Random(seed)
    dense = sparse = False

    def ask(_now: float) -> bool:
        nonlocal dense
        if chance.random() < 0.15:
            dense = not dense
        return dense

    def rarely(_now: float) -> bool:
        nonlocal sparse
        if chance.random() < 0.1:
            sparse = not sparse
        return sparse

    config = adaptive(max_blind=chance.choice([0.3, 0.7, 2.0]))
    rare = seed % 2 == 1
    seen = run(request.getfixturevalue(kind), config, ask, rarely if rare else never)
    assert seen.at == sorted(seen.at)
    assert max(b - a for a, b in pairwise([0.0, *seen.at])) <= (2.3 if rare else 1.1)


def test_a_decoder_that_reorders_gives_its_keyframes_at_once(reordered: Path) -> None:
    seen = run(reordered, adaptive())
    assert seen.looks == [0, 15, 30, 45]
    assert seen.at == pytest.approx([0.0, 1.0, 2.0, 3.0])


def test_rare_keyframes_leave_nobody_blind(folder: Path) -> None:
    """A keyframe every 4 s, a look every 2 s; and the log says what that costs."""
    path = write_video(folder / "rare.mp4", frames=200, gop=60)
    with capture_logs() as logs:
        seen = run(path, adaptive())
    assert seen.looks == [0, 30, 60, 90, 120, 150, 180]
    assert seen.decoder.decoded == 4 + 3 * 30
    assert [line["decoded_percent"] for line in logs] == [50]
    assert "at most 2 s" in logs[0]["remedy"]


def test_who_stays_is_looked_at_as_rarely_as_may_be(video: Path) -> None:
    """Every other keyframe, since the next one comes within `max_blind`."""
    seen = run(video, adaptive(), sparse=lambda now: now > 0.5)
    assert seen.looks == [0, 30]
    assert seen.decoder.decoded == 2


def test_a_closer_look_begins_with_the_keyframe_that_was_passed_over(video: Path) -> None:
    seen = run(video, adaptive(), lambda now: now >= 1.6, lambda now: 0.5 < now < 1.6)
    assert seen.looks == [0, *(n for n in range(15, 60) if n % 15 < 13)]


@pytest.mark.parametrize(
    ("exit_after", "max_gap", "looks"),
    [
        (5.0, 10.0, [0, 60, 120, 180]),  # keyframes alone, four seconds apart
        (3.0, 10.0, [0, 45, 60, 75, 120, 135, 180, 195]),  # an absence of 3 s must not be missed
        (5.0, 5.0, [0, 38, 60, 83, 120, 143, 180]),  # 5 s unseen would be UNKNOWN
    ],
)
def test_rare_keyframes_do_for_who_stays(
    folder: Path, exit_after: float, max_gap: float, looks: list[int]
) -> None:
    path = write_video(folder / "stays.mp4", frames=200, gop=60)
    presence = PresenceConfig(exit_after=exit_after, max_gap=max_gap)
    config = adaptive().model_copy(update={"presence": presence})
    seen = run(path, config, sparse=lambda now: now > 0.5)
    assert seen.looks == looks


@given(
    gop=st.sampled_from([7, 15, 23, 40, 60]),
    blind=st.sampled_from([0.7, 1.0, 2.0]),
    exit_after=st.sampled_from([0.5, 2.0, 5.0]),
    sparse=st.lists(st.tuples(st.floats(0.0, 13.0), st.booleans()), max_size=6),
)
@settings(max_examples=20, deadline=None)
def test_no_two_looks_are_further_apart_than_they_may_be(
    folder: Path, gop: int, blind: float, exit_after: float, sparse: list[tuple[float, bool]]
) -> None:
    """`max_blind`; while rare glances do, twice that, but no longer than an exit takes."""
    path = folder / f"apart{gop}.mp4"
    if not path.exists():
        write_video(path, frames=200, gop=gop)
    presence = PresenceConfig(exit_after=exit_after)
    config = adaptive(max_blind=blind).model_copy(update={"presence": presence})

    def rarely(now: float) -> bool:
        before = [yes for at, yes in sorted(sparse) if at <= now]
        return bool(before) and before[-1]

    seen = run(path, config, sparse=rarely)
    looks = [0.0, *seen.at]
    for one, other in pairwise(looks):
        rare = any(rarely(one + (other - one) * part / 20) for part in range(21))
        most = max(blind, min(2 * blind, exit_after)) if rare else blind
        # Without `rarely`, a keyframe a tenth late is waited for; the first group has no length.
        assert other - one <= 1.1 * most + 1 / FPS + 1e-6


def test_a_group_that_seems_long_is_not_told(video: Path) -> None:
    """A second between keyframes, but three seconds of time stamps are missing in the first."""
    with opened(file_source(video)) as source, capture_logs() as logs:
        decoder = Decoder()
        economy = Economy(adaptive(), decoder, source.stream.codec_context, lambda: False)
        for index, packet in enumerate(p for p in source.container.demux(source.stream) if p.size):
            now = index / FPS + (3.0 if index >= 10 else 0.0)
            list(economy.pictures(packet, now, CLOCK.at(now)))
    assert economy.group == pytest.approx(1.0)
    assert not logs


@pytest.mark.parametrize(
    ("gop", "looks"),
    [
        (36, [0, 30, 36, 42, 72, 78]),  # 2.4 s: 0.4 s after a keyframe, not 2 s
        (45, [0, 30, 45, 60, 90, 105]),
        (75, [0, 30, 60, 75, 90, 120]),  # 5 s: two looks, a second and three behind the keyframe
        (30, [0, 30, 60, 90]),
    ],
)
def test_the_last_look_of_a_group_is_as_early_as_may_be(
    folder: Path, gop: int, looks: list[int]
) -> None:
    """Two seconds before the next keyframe, since all pictures up to there are decoded."""
    path = write_video(folder / f"gop{gop}.mp4", frames=121 if gop == 75 else 106, gop=gop)
    assert run(path, adaptive()).looks == looks


def test_a_keyframe_a_moment_late_is_waited_for(folder: Path) -> None:
    """Keyframes 2.15 s apart where 2 s were the rule: what is before them is not decoded."""
    path = write_video(folder / "late.mp4", frames=120, gop=30)
    with opened(file_source(path)) as source:
        decoder = Decoder()
        economy = Economy(adaptive(), decoder, source.stream.codec_context, lambda: False)
        late = 0.0
        for index, packet in enumerate(p for p in source.container.demux(source.stream) if p.size):
            late += 0.15 if packet.is_keyframe and index >= 60 else 0.0
            list(economy.pictures(packet, index / FPS + late, CLOCK.at(index / FPS)))
    assert decoder.decoded == 4


def test_keyframes_policy_never_asks(folder: Path) -> None:
    path = write_video(folder / "rare2.mp4", frames=150, gop=60)
    seen = run(path, camera("-", decode="keyframes"), dense=lambda _now: True)
    assert seen.looks == [0, 60, 120]
    assert seen.decoder.decoded == 3
    assert seen.economy.longest_wait == pytest.approx(4.0)


def test_what_is_kept_is_bounded(folder: Path, monkeypatch) -> None:
    """Too much to keep is decoded instead, so that the way back stays open."""
    path = write_video(folder / "rare3.mp4", frames=60, gop=60)
    monkeypatch.setattr(module, "KEPT_BYTES", 1500)
    seen = run(path, adaptive(max_blind=60.0))
    assert 2 < len(seen.looks) < 30
    assert seen.decoder.decoded > 20


def test_where_every_picture_stands_alone_few_are_decoded(folder: Path) -> None:
    path = write_video(folder / "m.avi", codec="mjpeg", frames=60)
    settled = run(path, adaptive())
    assert 7 <= settled.decoder.decoded <= 8  # two a second
    close = run(path, adaptive(), dense=lambda now: now >= 2.0)
    assert 14 <= close.decoder.decoded <= 15  # then five a second
    assert run(path, camera("-", decode="keyframes")).decoder.decoded == 20


def test_a_slow_sampler_is_not_blind(video: Path) -> None:
    seen = run(video, adaptive(sample_fps=0.5))
    assert seen.looks == [0, 30]
    assert seen.decoder.decoded == 2


def test_a_stream_joined_in_the_middle_waits_for_its_keyframe(video: Path) -> None:
    economy_config = adaptive()
    with opened(file_source(video)) as source:
        packets = [p for p in source.container.demux(source.stream) if p.size][5:]
        decoder = Decoder()
        economy = Economy(economy_config, decoder, source.stream.codec_context, lambda: True)
        numbers = [
            round(pick.picture.time * FPS)
            for index, packet in enumerate(packets)
            for pick in economy.pictures(packet, index / FPS, CLOCK.at(index / FPS))
        ]
    assert numbers == [n for n in range(15, 60) if n % 15 < 13]
    assert decoder.corrupt == 0


def test_nothing_is_built_on_a_damaged_keyframe(video: Path) -> None:
    with opened(file_source(video)) as source:
        packets = [p for p in source.container.demux(source.stream) if p.size]
        decoder = Decoder()
        numbers: list[int] = []
        economy = Economy(
            adaptive(), decoder, source.stream.codec_context, lambda: bool(numbers[1:])
        )
        broken = av.Packet(packets[15].size)
        broken.stream, broken.pts, broken.dts = (
            packets[15].stream,
            packets[15].pts,
            packets[15].dts,
        )
        broken.is_keyframe = True
        packets[15] = broken
        for index, packet in enumerate(packets):
            picks = economy.pictures(packet, index / FPS, CLOCK.at(index / FPS))
            numbers.extend(round(pick.picture.time * FPS) for pick in picks)
    assert numbers == [0, *(n for n in range(30, 60) if n % 15 < 13)]


def test_cameras_without_whole_keyframes_are_decoded_in_full(folder: Path) -> None:
    """Intra refresh: a column of each picture at a time; FFmpeg calls some of them keyframes."""
    path = folder / "refresh.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.gop_size = FPS
        stream.codec_context.max_b_frames = 0
        stream.codec_context.options = {"intra-refresh": "1", "tune": "zerolatency"}
        for index in range(60):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with opened(file_source(path)) as source:
        decoder = Decoder()
        economy = Economy(adaptive(), decoder, source.stream.codec_context, lambda: False)
        for index, packet in enumerate(source.container.demux(source.stream)):
            packet.is_keyframe = index % FPS == 0 and packet.size > 0  # as an RTSP parser says
            list(economy.pictures(packet, index / FPS, CLOCK.at(index / FPS)))
    assert decoder.decoded > 40
