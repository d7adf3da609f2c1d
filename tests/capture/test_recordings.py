"""Recordings at full speed, with media time as the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import pytest
from rtsp_server.clips import write_clip, write_video

from capture.observing import camera
from monitor.capture import Recording, probe_recording, read_recording
from monitor.capture.decoding import Decoder
from monitor.clock import MediaClock
from monitor.config import CameraConfig
from monitor.errors import InputError

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def read(path: Path, config: CameraConfig | None = None, max_side: int = 640) -> Recording:
    clock = MediaClock(EPOCH)
    return read_recording(path, "cam", config or camera("-"), clock=clock, max_side=max_side)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("recordings") / "a.mp4", frames=45)


def test_frames_come_by_media_time(video: Path) -> None:
    recording = read(video)
    frames = list(recording)
    assert [frame.stamp.monotonic for frame in frames] == pytest.approx(
        [n * 0.2 for n in range(15)], abs=1e-3
    )
    assert frames[-1].stamp.utc == EPOCH + (frames[-1].stamp.utc - EPOCH)
    assert (frames[-1].stamp.utc - EPOCH).total_seconds() == pytest.approx(2.8, abs=1e-3)
    assert [frame.sequence for frame in frames] == list(range(15))
    assert {frame.camera for frame in frames} == {"cam"}
    assert (recording.decoded, recording.sampled, recording.corrupt) == (45, 15, 0)
    assert recording.position_s == pytest.approx(44 / 15, abs=1e-3)


def test_it_can_be_read_again(video: Path) -> None:
    recording = read(video)
    assert len(list(recording)) == len(list(recording)) == 15
    assert recording.decoded == 45


def test_a_reader_may_break_off(video: Path) -> None:
    recording = read(video)
    for frame in recording:
        assert frame.sequence == 0
        break
    assert recording.decoded == 1


def test_time_counts_from_the_first_frame_and_keeps_gaps(tmp_path: Path) -> None:
    late = write_video(tmp_path / "gap.mkv", frames=4, pts=[150, 153, 1653, 1656])
    assert [frame.stamp.monotonic for frame in read(late)] == pytest.approx(
        [0.0, 0.2, 100.2, 100.4], abs=2e-3
    )


def test_time_stamps_that_wrap_go_on(tmp_path: Path) -> None:
    """MPEG-TS counts 90,000 a second in 33 bits: a day and two hours."""
    start = round((2**33 / 90_000 - 3.0) * 15)
    path = write_video(tmp_path / "a.ts", frames=90, pts=range(start, start + 90))
    times = [frame.stamp.monotonic for frame in read(path)]
    assert times == pytest.approx([n * 0.2 for n in range(30)], abs=2e-3)


def test_probe(video: Path) -> None:
    info = probe_recording(video)
    assert (info.duration_s, info.fps) == pytest.approx((3.0, 15.0))
    assert (info.width, info.height, info.codec) == (320, 240, "h264")


def test_probe_counts_where_the_file_does_not_tell(tmp_path: Path) -> None:
    """A bare H.264 stream has neither duration nor time stamps."""
    with av.open(write_video(tmp_path / "a.mp4", frames=50, fps=25)) as container:
        bare = tmp_path / "bare.h264"
        bitstream = av.BitStreamFilterContext("h264_mp4toannexb", container.streams.video[0])
        packets = [packet for packet in container.demux(video=0) if packet.size]
        bare.write_bytes(b"".join(bytes(out) for p in packets for out in bitstream.filter(p)))
    assert probe_recording(bare).duration_s == pytest.approx(2.0, abs=0.1)
    assert len(list(read(bare))) == 10


@pytest.mark.parametrize(
    ("content", "name", "what"),
    [
        (None, "absent.mp4", "no such file"),
        (b"", "empty.mp4", "empty"),
        (b"this is a text\n" * 50, "notes.txt", "no video|can be decoded"),
        (b"\x00\x01\x02\x03" * 5000, "noise.mp4", "no video"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, content, name: str, what: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for use in (probe_recording, lambda path: list(read(path))):
        with pytest.raises(InputError, match=what) as caught:
            use(path)
        assert caught.value.where == str(path)


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        probe_recording(tmp_path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError):
        probe_recording(path)


def test_damage_in_the_middle_loses_little(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", frames=60)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = bytes(1500)
    path.write_bytes(data)
    frames = list(read(path))
    assert 10 <= len(frames) <= 20
    assert frames[-1].stamp.monotonic == pytest.approx(3.8, abs=0.3)


def test_a_truncated_file_gives_what_it_has(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 2 <= len(list(read(path))) < 20


@pytest.mark.parametrize("good", [0, 10])
def test_a_disk_that_fails_while_it_is_read(video: Path, monkeypatch, good: int) -> None:
    """What came before is kept; if nothing came, it is an error."""

    class Failing(Decoder):
        def frames(self, packet):
            if self.decoded >= good:
                raise av.error.OSError(5, "input/output error")
            return super().frames(packet)

    monkeypatch.setattr("monitor.capture.recordings.Decoder", Failing)
    recording = read(video)
    if good:
        assert len(list(recording)) == 4
        assert recording.decoded == good
    else:
        with pytest.raises(InputError):
            list(recording)


def test_pictures_are_small_and_patches_come_from_the_full_size(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=1, size=(640, 480))
    full = next(iter(read(path)))
    small = next(iter(read(path, max_side=160)))
    assert full.picture.shape == (480, 640, 3)
    assert small.picture.shape == (120, 160, 3)
    expected = cv2.resize(full.picture, (160, 120), interpolation=cv2.INTER_AREA)
    assert np.abs(small.picture.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(small.cuts[0].patches, full.cuts[0].patches)
    assert full.cuts[0].zone == "frame"
    assert full.cuts[0].patches.shape[1:] == (224, 224, 3)


def test_colours_are_rgb(tmp_path: Path) -> None:
    """The square is red, wherever it is."""
    frame = next(iter(read(write_video(tmp_path / "a.mp4", frames=1))))
    red, green, blue = (int(value) for value in frame.picture[72, 24])
    assert red > 180
    assert green < 100
    assert blue < 100


def test_zones_share_a_decode_and_masks_hide_everywhere(tmp_path: Path) -> None:
    left = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]
    right = [(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)]
    config = CameraConfig.model_validate(
        {
            "source": {"url": "-"},
            "zones": {"left": {"polygon": left}, "right": {"polygon": right}},
            "privacy_masks": [left],
        }
    )
    frame = next(iter(read(write_video(tmp_path / "a.mp4", frames=1), config)))
    assert [cut.zone for cut in frame.cuts] == ["left", "right"]
    assert not frame.picture[:, :160].any()
    assert frame.picture[:, 170:].all()
    assert not frame.cuts[0].patches[:, :, :200].any()
    assert frame.cuts[1].patches[:, :, 30:].all()


def test_a_phones_portrait_video_stands_upright(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.set_display_rotation(90)
        rgb = np.zeros((240, 320, 3), np.uint8)
        rgb[:, 160:] = 255  # the right half, which a quarter turn to the left brings up
        for packet in stream.encode(av.VideoFrame.from_ndarray(rgb)) + stream.encode(None):
            container.mux(packet)
    picture = next(iter(read(path))).picture
    assert picture.shape == (320, 240, 3)
    assert picture[:150].mean() > 240
    assert picture[170:].mean() < 15


def test_resolution_may_change_within(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "two.au", sizes=((320, 240), (160, 120)), frames=15)
    data, bare, at = clip.read_bytes(), tmp_path / "two.h264", 0
    with bare.open("wb") as file:
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            file.write(data[at + 4 : at + 4 + size])
            at += 4 + size
    assert {frame.picture.shape[:2] for frame in read(bare)} == {(240, 320), (120, 160)}
