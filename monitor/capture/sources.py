"""What a camera's URL means to FFmpeg: kind, options, timeouts, and how it is opened."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import av
import av.error
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.video.stream import VideoStream

from monitor.config import HardwareDecoder, Pacing, SourceConfig, Transport
from monitor.errors import ConfigError
from monitor.telemetry import get_logger

log = get_logger(__name__)

FAST_PROBE = {"probesize": "32", "analyzeduration": "1"}
"""Opens RTSP in 0.05-0.10 s instead of 1-2 s: its SDP has already said what comes."""

HTTP_PROBE = {"probesize": "65536", "analyzeduration": "200000"}
"""FFmpeg refuses less than 2 kB where it has to guess the container."""

UNTIMED_FORMATS = frozenset({"mpjpeg", "mjpeg", "h264", "hevc"})
"""Containers without time stamps, for which FFmpeg makes some up at 25 fps."""

DEVICES = ("/dev/video", "/dev/v4l/")
"""Where Linux has its webcams."""

NOT_VIDEO = frozenset({"tty"})
"""Demuxers that make pictures of anything: `tty` paints text files."""


FILE_TIMEOUT = 60.0
"""Seconds a recording's disk may take; it is there to end in an error some day."""


class SourceKind(StrEnum):
    """Where frames come from."""

    RTSP = "rtsp"
    HTTP = "http"
    FILE = "file"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Source:
    """What FFmpeg is told. `url` may hold a password and is left out of the `repr`.

    `attempts`: options to open it with, tried in turn. Timeouts in seconds. `loop`, `paced`:
    files only.
    """

    kind: SourceKind
    url: str = field(repr=False)
    format: str | None
    attempts: tuple[Mapping[str, str], ...]
    open_timeout: float
    read_timeout: float
    loop: bool = False
    paced: bool = False
    hardware: HardwareDecoder = HardwareDecoder.NONE
    waits: bool = False
    """Whether what it sends is kept until it is taken."""

    @property
    def times_itself(self) -> bool:
        """Whether FFmpeg watches the read timeout by itself.

        Else PyAV does, and takes Python's lock for a look at the clock several times a packet:
        with many cameras, a crowd waits for it.
        """
        return self.kind is SourceKind.RTSP


class OpenSource(NamedTuple):
    """An opened source: its container and the video stream to decode."""

    container: InputContainer
    stream: VideoStream
    timed: bool
    """Whether its PTS mean anything."""
    tick: Fraction
    """Seconds of one step of its time stamps."""

    def seconds(self, stamp: int | None) -> float | None:
        """A packet's or picture's time stamp in seconds; None if it has none that means anything.

        PyAV would make a Fraction for every packet, and multiply by it.
        """
        if stamp is None or not self.timed:
            return None
        return stamp * self.tick.numerator / self.tick.denominator


def source_of(config: SourceConfig) -> Source:
    """What the URL means. Raises ConfigError for an address of no known kind."""
    url = config.url.get_secret_value().strip()
    kind = _kind(url)
    plain: dict[str, str] = {}
    attempts: tuple[Mapping[str, str], ...] = (plain,)
    if kind is SourceKind.RTSP:
        plain = {
            "rtsp_transport": config.transport.value,
            "allowed_media_types": "video",
            "timeout": str(round(config.read_timeout * 1e6)),
        }
        attempts = (plain | FAST_PROBE, plain)
    elif kind is SourceKind.HTTP:
        attempts = (HTTP_PROBE, plain)
    is_file = kind is SourceKind.FILE
    return Source(
        kind=kind,
        url=_path(url) if is_file else url,
        format="v4l2" if kind is SourceKind.DEVICE else None,
        attempts=attempts,
        open_timeout=config.open_timeout,
        read_timeout=config.read_timeout,
        loop=is_file and config.loop,
        paced=is_file and config.pacing is Pacing.REALTIME,
        hardware=config.hardware,
        waits=kind is SourceKind.RTSP and config.transport is Transport.TCP,
    )


def file_source(path: Path) -> Source:
    """A file that is read once, at full speed."""
    return Source(SourceKind.FILE, f"file:{path}", None, ({},), FILE_TIMEOUT, FILE_TIMEOUT)


@contextmanager
def opened(source: Source) -> Iterator[OpenSource]:
    """The source, open within the block and closed after it, whatever happens.

    Raises FFmpeg's errors, and `av.error.DecoderNotFoundError` if it has no video that can be
    decoded.
    """
    opening = time.monotonic()
    for last, options in _with_last(source.attempts):
        try:
            container = _open(source, options)
        except (av.error.InvalidDataError, av.error.ArgumentError):
            # Too little was probed; but a host that never answers is not asked twice.
            if last or time.monotonic() - opening >= source.open_timeout:
                raise
            continue
        try:
            stream = _video(container)
            if stream is not None:
                if _usable(source.hardware) and not stream.codec_context.is_hwaccel:
                    _tell_software(source.hardware, stream.codec_context.name)
                tick = stream.time_base or Fraction(1)
                yield OpenSource(container, stream, _timed(source, container), tick)
                return
        finally:
            container.close()
    raise av.error.DecoderNotFoundError(0, "no video that can be decoded")


def _open(source: Source, options: Mapping[str, str]) -> InputContainer:
    return av.open(
        source.url,
        mode="r",
        format=source.format,
        options=dict(options),
        metadata_errors="replace",
        hwaccel=_accelerator(source.hardware),
        timeout=(source.open_timeout, None if source.times_itself else source.read_timeout),
    )


def _accelerator(hardware: HardwareDecoder) -> HWAccel | None:
    """What FFmpeg is told; streams the device cannot decode are decoded on the processor."""
    if not _usable(hardware):
        return None
    return HWAccel(hardware.value, allow_software_fallback=True)


@lru_cache
def _usable(hardware: HardwareDecoder) -> bool:
    """Whether there is such a device; says once that there is none."""
    if hardware is HardwareDecoder.NONE:
        return False
    try:
        HWAccel(hardware.value).create(av.Codec("h264", "r"))
    except Exception as error:  # noqa: BLE001 - drivers fail in ways of their own
        log.warning(
            "no such hardware decoder here; decoding on the processor",
            hardware=hardware.value,
            error=type(error).__name__,
            known=hwdevices_available(),
        )
        return False
    return True


@lru_cache
def _tell_software(hardware: HardwareDecoder, codec: str) -> None:
    """Say once for a codec that the device does not decode it."""
    log.warning(
        "the hardware decoder does not know this codec; decoding on the processor",
        hardware=hardware.value,
        codec=codec,
    )


def _video(container: InputContainer) -> VideoStream | None:
    """The best video stream, set to decode in the reader's own thread."""
    if container.format.name in NOT_VIDEO:
        return None
    for stream in container.streams.video:
        # PyAV types codec_context as always there; without a decoder it is None.
        if getattr(stream, "codec_context", None) is not None:
            stream.thread_type = "NONE"  # threads cost memory and CPU, and add latency
            return stream
    return None


def _timed(source: Source, container: InputContainer) -> bool:
    return source.kind is SourceKind.FILE or container.format.name not in UNTIMED_FORMATS


def _with_last(
    attempts: tuple[Mapping[str, str], ...],
) -> Iterator[tuple[bool, Mapping[str, str]]]:
    for index, options in enumerate(attempts):
        yield index == len(attempts) - 1, options


def _kind(url: str) -> SourceKind:
    scheme = url.partition("://")[0].lower() if "://" in url else "file"
    if scheme in ("rtsp", "rtsps"):
        return SourceKind.RTSP
    if scheme in ("http", "https"):
        return SourceKind.HTTP
    if scheme == "file" and url:
        return SourceKind.DEVICE if url.startswith(DEVICES) else SourceKind.FILE
    raise ConfigError(
        "the source's address is of no known kind",
        remedy="use rtsp://, rtsps://, http://, https://, a file's path, or /dev/video0",
    )


def _path(url: str) -> str:
    """A plain path. `file:` in front keeps FFmpeg from reading `a:b.mp4` as a protocol."""
    path = unquote(urlsplit(url).path) if url.lower().startswith("file://") else url
    return f"file:{path}"
