"""Recordings, read at full speed with media time as the clock: what replay runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from math import inf
from pathlib import Path

import av
import av.error
from av.video.stream import VideoStream

from monitor.capture.composing import Composer
from monitor.capture.decoding import Decoder
from monitor.capture.economy import Economy, Pick
from monitor.capture.failures import explain
from monitor.capture.sampling import Sampler, Timeline
from monitor.capture.sources import OpenSource, file_source, opened
from monitor.capture.units import Assembler, Unit
from monitor.clock import MediaClock
from monitor.config import CameraConfig
from monitor.errors import InputError
from monitor.messages import Attention, Frame
from monitor.telemetry import get_logger

log = get_logger(__name__)

_REMEDY = "give a video file that FFmpeg can decode, such as MP4, MKV, AVI or TS"


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What a file says of itself.

    `duration_s`: seconds, counted from the packets where the file does not tell. `fps`: frames
    a second, None if unknown. `width`, `height`: pixels. `codec`: FFmpeg's name.
    """

    duration_s: float
    fps: float | None
    width: int
    height: int
    codec: str


class Recording:
    """The sampled Frames of one file, in order; iterate it once or many times.

    A frame's stamp is its media time: second 0 of the clock is the first frame. Which pictures
    are decoded is up to the camera's `decode` and to `attend`, as in a live camera's reader. The
    counts are of the latest iteration and grow while it runs. Iterating raises InputError if the
    file is missing, empty, no video, or holds no picture that can be decoded.
    """

    def __init__(
        self, path: Path, camera_name: str, config: CameraConfig, clock: MediaClock, max_side: int
    ) -> None:
        self._path = path
        self._camera = camera_name
        self._config = config
        self._clock = clock
        self._max_side = max_side
        self._attention = Attention(camera_name, dense=False)
        self.decoded = 0
        """Whole pictures decoded."""
        self.sampled = 0
        """Frames given out."""
        self.corrupt = 0
        """Pictures skipped because they are damaged."""
        self.position_s = 0.0
        """Media time of the latest decoded picture, for progress bars."""

    def attend(self, attention: Attention) -> None:
        """How closely it is to be looked at from here on."""
        self._attention = attention

    def __iter__(self) -> Iterator[Frame]:
        self.decoded = self.sampled = self.corrupt = 0
        self.position_s = 0.0
        self._attention = Attention(self._camera, dense=False)
        composer = Composer(self._camera, self._config, self._max_side)
        sampler = Sampler(self._config.sample_fps)
        timeline = Timeline(longest_step=inf)  # a recording may leave hours out
        before = 0.0
        with _readable(self._path) as source:
            for pick, packet_time in self._picks(source):
                pts = source.seconds(pick.picture.pts)
                seconds = timeline.advance(pts, packet_time - before)
                before = packet_time
                if pick.wanted and sampler.due(seconds):
                    self.sampled += 1
                    yield composer.compose(pick.picture, self._clock.at(seconds), pts)
        if not self.decoded:
            raise InputError(
                "no picture in it can be decoded", where=str(self._path), remedy=_REMEDY
            )

    def _picks(self, source: OpenSource) -> Iterator[tuple[Pick, float]]:
        """Every decoded picture, and the media time of its packet in seconds."""
        decoder = Decoder()
        context = source.stream.codec_context
        economy = Economy(
            self._config,
            decoder,
            context,
            dense=lambda: self._attention.dense,
            sparse=lambda: self._attention.sparse,
        )
        try:
            for unit in self._units(source, Assembler(context), economy):
                for pick in economy.pictures(*unit):
                    self.decoded, self.corrupt = decoder.decoded, decoder.corrupt
                    yield pick, pick.arrived.monotonic
        except av.error.FFmpegError:
            if not decoder.decoded:
                raise
            log.warning("a recording breaks off", path=str(self._path), seconds=self.position_s)
        self.corrupt = decoder.corrupt

    def _units(self, source: OpenSource, assembler: Assembler, economy: Economy) -> Iterator[Unit]:
        """The packets of whole pictures, in their time."""
        timeline = Timeline(longest_step=inf)
        step = 1.0 / (_rate(source.stream) or 25.0)
        packets = source.container.demux(source.stream)
        for packet in chain.from_iterable(map(assembler.parts, packets)):
            joined = assembler.joined(packet)
            if joined is False:
                economy.lose_track()
            if joined is not None:
                continue
            if packet.size:
                self.position_s = timeline.advance(source.seconds(packet.dts), step)
            yield from assembler.units(packet, self.position_s, self._clock.at(self.position_s))


def read_recording(
    path: Path, camera_name: str, config: CameraConfig, *, clock: MediaClock, max_side: int
) -> Recording:
    """The recording at `path` as frames of the camera `camera_name`.

    Views, zones, masks and `sample_fps` are those of `config`; its source is ignored.
    `max_side`: longer side of `Frame.picture` in pixels. Nothing is opened before the first
    iteration.
    """
    return Recording(path, camera_name, config, clock, max_side)


def probe_recording(path: Path) -> RecordingInfo:
    """What the file says of itself. Raises InputError if it is missing, empty or no video."""
    with _readable(path) as source:
        stream = source.stream
        context = stream.codec_context
        return RecordingInfo(
            duration_s=_told_duration(source) or _counted_duration(source),
            fps=_rate(stream),
            width=context.width,
            height=context.height,
            codec=context.name,
        )


@contextmanager
def _readable(path: Path) -> Iterator[OpenSource]:
    """The file, open; FFmpeg's errors become InputError."""
    if not path.is_file():
        what = "it is a folder" if path.is_dir() else "there is no such file"
        raise InputError(what, where=str(path), remedy=_REMEDY)
    if path.stat().st_size == 0:
        raise InputError("the file is empty", where=str(path), remedy=_REMEDY)
    source = file_source(path)
    try:
        with opened(source) as readable:
            yield readable
    except av.error.FFmpegError as error:
        failure = explain(error, source, opening=True, waited=0.0)
        raise InputError(failure.detail, where=str(path), remedy=_REMEDY) from None


def _rate(stream: VideoStream) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _told_duration(source: OpenSource) -> float | None:
    stream, container = source.stream, source.container
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _counted_duration(source: OpenSource) -> float:
    """For files without an index, by a look at every packet; decodes nothing."""
    step = 1.0 / (_rate(source.stream) or 25.0)
    timeline = Timeline(longest_step=inf)
    last = 0.0
    for packet in source.container.demux(source.stream):
        if packet.size:
            last = timeline.advance(source.seconds(packet.dts), step)
    return last + step
