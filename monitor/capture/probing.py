"""What a camera sends, told from a few seconds of its stream.

Packets are counted, not decoded: only the first keyframe is, to see that it can be. So a probe
costs a camera no more than one more viewer, and this machine next to nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

from monitor.capture.failures import Failure, SourceLostError, explain
from monitor.capture.sources import OpenSource, Source, SourceKind, opened, source_of
from monitor.capture.units import Slices
from monitor.config import SourceConfig
from monitor.errors import InputError, MonitorError, ServiceError
from monitor.messages import OutageReason
from monitor.telemetry import redact

GAP = 5.0
"""A step between two PTS this many times the usual one is a jump of the clock, not a slow frame."""

STEADY = 1.5
"""Keyframe distances that differ by more than this factor are no fixed group length."""

_REMEDIES = {
    OutageReason.REFUSED: "check host and port; RTSP is mostly on 554",
    OutageReason.UNREACHABLE: "check the address, and whether this machine is in its network",
    OutageReason.UNAUTHORIZED: "name user and password: --user NAME, and CAMERA_PASSWORD set",
    OutageReason.NOT_FOUND: "check the path; `cameras discover --user NAME` asks for it",
    OutageReason.TIMEOUT: "check that the port is the camera's; or give it --timeout 15s",
}


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What was seen of one stream.

    `url` is redacted. `fps` and `bitrate` (bit/s) are of the media's own time, None with fewer
    than two pictures. `gop_frames` and `gop_seconds` are the longest distance between two
    keyframes, None if fewer than two came within the `seconds` watched; `gop_varies` if the
    distances differ. `pixel_format` is FFmpeg's name; `audio` the codec of the sound, if any.
    """

    url: str
    codec: str
    profile: str | None
    width: int
    height: int
    pixel_format: str | None
    fps: float | None
    gop_frames: int | None
    gop_seconds: float | None
    gop_varies: bool
    b_frames: bool
    bitrate: float | None
    audio: str | None
    opened_after: float
    seconds: float
    packets: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """One packet of video: presentation time in seconds (None where the stream has none),
    arrival on the monotonic clock, size in bytes, and whether it stands alone."""

    pts: float | None
    arrival: float
    size: int
    key: bool


def probe(config: SourceConfig, *, seconds: float) -> StreamReport:
    """Watch a source for `seconds` of its own time, and at most as long by the clock.

    Raises ServiceError for a camera that cannot be read, InputError for a file.
    """
    source = _with_audio(source_of(config))
    begin = time.monotonic()
    opening = True
    try:
        with opened(source) as open_source:
            opened_after = time.monotonic() - begin
            opening = False
            return _watch(open_source, source, seconds, opened_after)
    except (av.error.FFmpegError, OSError, EOFError, SourceLostError) as error:
        waited = time.monotonic() - begin
        failure = explain(error, source, opening=opening, waited=waited)
        raise _refusal(failure, source) from error


def _refusal(failure: Failure, source: Source) -> MonitorError:
    networked = source.kind in (SourceKind.RTSP, SourceKind.HTTP)
    kind = ServiceError if networked or source.kind is SourceKind.DEVICE else InputError
    remedy = _REMEDIES.get(failure.reason, "") if networked else ""
    return kind(failure.detail, where=redact(source.url.removeprefix("file:")), remedy=remedy)


def _with_audio(source: Source) -> Source:
    """The same source, asked for all it has: readers ask for video only."""
    attempts = tuple(
        {key: value for key, value in options.items() if key != "allowed_media_types"}
        for options in source.attempts
    )
    return replace(source, attempts=attempts)


def _watch(
    open_source: OpenSource, source: Source, seconds: float, opened_after: float
) -> StreamReport:
    stream, container = open_source.stream, open_source.container
    context = stream.codec_context
    sightings: list[Sighting] = []
    pixel_format: str | None = None
    slices = Slices(context)
    for packet in _video_packets(open_source, seconds):
        if sightings and not slices.begin(packet):
            sightings[-1] = replace(sightings[-1], size=sightings[-1].size + packet.size)
            continue
        if packet.is_keyframe and pixel_format is None:
            pixel_format = _decode(context, packet)
        sightings.append(_sighting(packet))
        if seconds_watched(sightings, open_source.timed) >= seconds:
            break
    if not sightings:
        raise SourceLostError(Failure(OutageReason.TIMEOUT, "it is open, but no picture came"))
    gops = keyframe_distances(sightings, open_source.timed)
    frames, lengths = [gop[0] for gop in gops], [gop[1] for gop in gops]
    interval = frame_interval(sightings, open_source.timed)
    return StreamReport(
        url=redact(source.url.removeprefix("file:")),
        codec=context.name.removesuffix("_v4l2m2m"),
        profile=context.profile,
        width=context.width,
        height=context.height,
        pixel_format=pixel_format,
        fps=1 / interval if interval else None,
        gop_frames=max(frames, default=None),
        gop_seconds=max(lengths, default=None),
        gop_varies=bool(frames) and max(frames) > STEADY * min(frames),
        b_frames=reordered(sightings),
        bitrate=bit_rate(sightings, interval),
        audio=_audio(container),
        opened_after=opened_after,
        seconds=seconds_watched(sightings, open_source.timed),
        packets=len(sightings),
    )


def _video_packets(open_source: OpenSource, seconds: float) -> Iterator[Packet[Stream]]:
    """Packets of the video stream, for at most twice `seconds` by the clock.

    All streams are asked for and filtered here, so that a camera that sends nothing but sound
    meets the limit as well.
    """
    index, limit = open_source.stream.index, time.monotonic() + 2 * seconds
    for packet in open_source.container.demux():
        if packet.stream.index == index and packet.size > 0:
            yield packet
        if time.monotonic() >= limit:
            return


def _sighting(packet: Packet[Stream]) -> Sighting:
    base = packet.time_base
    pts = float(packet.pts * base) if packet.pts is not None and base is not None else None
    return Sighting(pts, time.monotonic(), packet.size, packet.is_keyframe)


def _decode(context: VideoCodecContext, packet: Packet[Stream]) -> str | None:
    """The pixel format of a keyframe's picture. Raises FFmpeg's errors if it cannot be decoded."""
    pictures = [*context.decode(packet), *context.decode(None)]
    context.flush_buffers()
    return next((str(picture.format.name) for picture in pictures), None)


def _audio(container: InputContainer) -> str | None:
    for stream in container.streams.audio:
        context = getattr(stream, "codec_context", None)  # None without a decoder
        return str(context.name) if context is not None else "unknown"
    return None


def seconds_watched(sightings: Sequence[Sighting], timed: bool) -> float:
    """Seconds of media seen; by the clock where PTS are missing (RTSP's first) or made up."""
    first, last = sightings[0], sightings[-1]
    if timed and first.pts is not None and last.pts is not None:
        return last.pts - first.pts
    return last.arrival - first.arrival


def frame_interval(sightings: Sequence[Sighting], timed: bool) -> float | None:
    """Mean seconds from one picture to the next, without the jumps of the camera's clock."""
    if timed:
        times = sorted({each.pts for each in sightings if each.pts is not None})
    else:
        times = [each.arrival for each in sightings]
    steps = [later - earlier for earlier, later in pairwise(times)]
    if not steps:
        return None
    usual = median(steps)
    steady = [step for step in steps if step <= GAP * usual] or steps
    return sum(steady) / len(steady) or None


def keyframe_distances(sightings: Sequence[Sighting], timed: bool) -> list[tuple[int, float]]:
    """Distances between keyframes, in pictures and in seconds."""
    keys = [index for index, each in enumerate(sightings) if each.key]
    interval = frame_interval(sightings, timed) or 0.0
    return [(later - earlier, (later - earlier) * interval) for earlier, later in pairwise(keys)]


def reordered(sightings: Sequence[Sighting]) -> bool:
    """Whether pictures come in another order than they are shown: B-frames."""
    times = [each.pts for each in sightings if each.pts is not None]
    falls = sum(later < earlier for earlier, later in pairwise(times))
    return falls > 1  # one fall alone is a clock that was set back


def bit_rate(sightings: Sequence[Sighting], interval: float | None) -> float | None:
    """Bit/s of whole groups of pictures where there are any, else of all that came."""
    keys = [index for index, each in enumerate(sightings) if each.key]
    whole = sightings[keys[0] : keys[-1]] if len(keys) > 1 else sightings
    if not interval:
        return None
    return 8 * sum(each.size for each in whole) / (len(whole) * interval)
