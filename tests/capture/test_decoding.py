"""Damaged pictures are counted and never passed on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import av
import av.error
import pytest
from av.codec.hwaccel import hwdevices_available
from rtsp_server import process
from rtsp_server.clips import write_video
from structlog.testing import capture_logs

from monitor.capture import sources
from monitor.capture.decoding import Decoder
from monitor.capture.sources import file_source, opened, source_of
from monitor.config import HardwareDecoder, SourceConfig


@dataclass
class Picture:
    is_corrupt: bool


class Packet:
    """What FFmpeg makes of a packet: pictures, or an error."""

    def __init__(self, *pictures: Picture, broken: bool = False) -> None:
        self._pictures, self._broken = list(pictures), broken

    def decode(self) -> list[Picture]:
        if self._broken:
            raise av.error.InvalidDataError(1, "invalid data")
        return self._pictures


def test_passes_on_whole_pictures_only() -> None:
    decoder = Decoder()
    whole, damaged = Picture(False), Picture(True)
    assert list(decoder.frames(Packet(damaged, whole))) == [whole]
    assert list(decoder.frames(Packet(broken=True))) == []
    assert list(decoder.frames(Packet(whole))) == [whole]
    assert (decoder.decoded, decoder.corrupt) == (2, 2)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.mp4", frames=5)


def test_threads_are_off(video: Path) -> None:
    with opened(file_source(video)) as source:
        assert source.stream.thread_type.name == "NONE"


def test_the_container_is_closed_whatever_happens(video: Path) -> None:
    with pytest.raises(KeyError), opened(file_source(video)) as source:
        raise KeyError
    with pytest.raises(AssertionError, match="not open"):
        next(source.container.demux())


@pytest.mark.parametrize("kind", ["cuda", "vaapi", "videotoolbox"])
def test_missing_hardware_is_told_once_and_done_without(video: Path, kind: str) -> None:
    sources._usable.cache_clear()
    source = replace(file_source(video), hardware=HardwareDecoder(kind))
    with capture_logs() as logs:
        for _ in range(2):
            with opened(source) as readable:
                assert len(list(readable.container.decode(readable.stream))) == 5
    told = [line["hardware"] for line in logs if "hardware" in line]
    # A machine that has it decodes there, or falls back inside of FFmpeg: nothing to tell.
    assert told in ([kind], [])
    if kind not in hwdevices_available():
        assert told == [kind]


def test_a_codec_that_the_hardware_does_not_know_is_told_once(video: Path, monkeypatch) -> None:
    """As where a GPU is there: `_usable` says so, and FFmpeg decodes on the processor."""
    monkeypatch.setattr(sources, "_usable", lambda hardware: hardware is not HardwareDecoder.NONE)
    monkeypatch.setattr(sources, "_accelerator", lambda _hardware: None)
    sources._tell_software.cache_clear()
    with capture_logs() as logs:
        for kind in (HardwareDecoder.CUDA, HardwareDecoder.CUDA, HardwareDecoder.NONE):
            with opened(replace(file_source(video), hardware=kind)) as readable:
                assert len(list(readable.container.decode(readable.stream))) == 5
    assert [(line["hardware"], line["codec"]) for line in logs] == [("cuda", "h264")]


class Opener:
    """`av.open` that serves a file, but fails where the probing is too short."""

    def __init__(self, video: Path) -> None:
        self._video, self._open = video, av.open
        self.asked: list[dict[str, str]] = []

    def __call__(self, _url: str, *, options: dict[str, str], **_rest: object):
        self.asked.append(options)
        if "probesize" in options:
            raise av.error.InvalidDataError(1, "invalid data")
        return self._open(self._video)


RTSP = source_of(SourceConfig.model_validate({"url": "rtsp://host/live"}))


def test_what_cannot_be_opened_fast_is_probed_in_full(video: Path, monkeypatch) -> None:
    opener = Opener(video)
    monkeypatch.setattr("monitor.capture.sources.av.open", opener)
    with opened(RTSP) as source:
        assert len(list(source.container.decode(source.stream))) == 5
    assert [options.get("probesize") for options in opener.asked] == ["32", None]


def test_a_host_that_never_answers_is_not_asked_twice(video: Path, monkeypatch) -> None:
    opener = Opener(video)
    times = iter([0.0, RTSP.open_timeout + 0.1])
    monkeypatch.setattr("monitor.capture.sources.av.open", opener)
    clock = SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr("monitor.capture.sources.time", clock)
    with pytest.raises(av.error.InvalidDataError), opened(RTSP):
        pass
    assert len(opener.asked) == 1


def test_a_missing_rtsp_server_is_told_with_its_remedy(monkeypatch) -> None:
    monkeypatch.setattr(process, "SYSTEM_PYTHON", "/bin/false")
    assert "run scripts/system-deps.sh" in str(process.missing())
