"""One camera: where its frames come from, how they are cut, which zones it watches."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, field_validator

from monitor.config.base import ConfigModel, Duration
from monitor.config.guards import GuardConfig
from monitor.config.presence import PresenceConfig
from monitor.config.urls import check_source

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[Fraction, Fraction]
"""A corner (x, y) in fractions of the picture; (0, 0) is the upper left."""


def check_name(name: str) -> str:
    """Names end up in file names, metrics and topics. Raises ValueError if one cannot."""
    if (
        not name
        or len(name) > 64
        or not all(c.isalnum() or c in "-_." for c in name)
        or name[0] == "."
    ):
        raise ValueError(
            f"the name {name[:80]!r} does not do; 1 to 64 letters, digits, '-', '_' or '.', "
            "not starting with '.'"
        )
    return name


Name = Annotated[str, AfterValidator(check_name)]
"""Name of a camera or zone."""


class ViewKind(StrEnum):
    """How a picture is cut for the 224×224 network."""

    PULC = "pulc"
    """Shorter side to 256, centre crop 224: PaddleClas's own, blind at the edges of 16:9."""
    STRETCH = "stretch"
    """The whole picture squeezed to 224×224."""
    LETTERBOX = "letterbox"
    """The whole picture, aspect kept, grey bars."""
    TILES = "tiles"
    """The whole picture and overlapping tiles; the highest score counts."""


class DecodePolicy(StrEnum):
    """Which pictures of a stream are decoded; decoding is what a camera costs."""

    KEYFRAMES = "keyframes"
    """Only pictures that stand alone: cheapest, and as rare as the camera's keyframes."""
    ALL = "all"
    """Every picture."""
    ADAPTIVE = "adaptive"
    """Keyframes while presence is settled, every picture while it is not."""


class Transport(StrEnum):
    """How RTSP media travels."""

    TCP = "tcp"
    UDP = "udp"


class HardwareDecoder(StrEnum):
    """Which part of the machine decodes."""

    NONE = "none"
    """The processor."""
    CUDA = "cuda"
    """NVIDIA's NVDEC."""
    QSV = "qsv"
    """Intel's Quick Sync."""
    VAAPI = "vaapi"
    """Intel and AMD under Linux."""
    DRM = "drm"
    """Single-board computers under Linux."""
    VIDEOTOOLBOX = "videotoolbox"
    """Apple."""


class Pacing(StrEnum):
    """How fast a file is read."""

    REALTIME = "realtime"
    """As a camera would deliver it."""
    FULL_SPEED = "full_speed"
    """As fast as it decodes."""


class SourceConfig(ConfigModel):
    """Where frames come from."""

    url: SecretStr
    """rtsp(s)://…, http(s)://… (MJPEG), a file path, or a webcam such as /dev/video0. Kept
    secret: it may hold a password."""

    snapshot_url: SecretStr | None = None
    """The camera's better stream, or its still picture (http://…/image.jpg): an event's snapshot
    is taken from it on demand, while `url` is the small stream that is watched all day."""

    transport: Transport = Transport.TCP
    """RTSP only: TCP, or UDP."""

    loop: bool = False
    """Files only: start again at the end."""

    pacing: Pacing = Pacing.REALTIME
    """Files only: real-time, or as fast as it decodes."""

    hardware: HardwareDecoder = HardwareDecoder.NONE
    """Decode there if the machine and this build of FFmpeg can, else on the processor."""

    open_timeout: Duration = Field(default=5.0, gt=0.0, le=120.0)
    """How long connecting may take."""

    read_timeout: Duration = Field(default=5.0, gt=0.0, le=120.0)
    """How long the next packet may take."""

    max_lag: Duration = Field(default=5.0, ge=0.5, le=600.0)
    """How far a live stream may fall behind its own clock before it is opened anew."""

    @field_validator("url", "snapshot_url")
    @classmethod
    def _known_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            check_source(url.get_secret_value())
        return url


class ZoneConfig(ConfigModel):
    """A named polygon of the camera with its own presence settings."""

    polygon: list[Point] = Field(min_length=3, max_length=64)
    """Corners in fractions of the picture."""

    presence: PresenceConfig = PresenceConfig()
    """What differs from the camera's presence settings."""


class CameraSettings(ConfigModel):
    """What `defaults:` may set for all cameras and each camera may override."""

    sample_fps: float = Field(default=5.0, gt=0.0, le=60.0)
    """Frames a second that are scored; fewer while `decode` allows it."""

    decode: DecodePolicy = DecodePolicy.ADAPTIVE
    """adaptive: keyframes while presence is settled, every picture while it is not; keyframes;
    all."""

    max_blind: Duration = Field(default=2.0, ge=0.2, le=60.0)
    """decode adaptive: the longest time between two looks, however rare the keyframes are; while
    somebody is plainly there, keyframes may be twice as far apart."""

    view: ViewKind = ViewKind.TILES
    """How the picture (or each zone's bounding box) is cut for the network."""

    frozen_after: Duration = Field(default=60.0, ge=0.0, le=86400.0)
    """How long a picture may stay the same to the last bit before the camera counts as frozen;
    0 turns this off, for sources that are still pictures by nature."""

    presence: PresenceConfig = PresenceConfig()
    """How scores become presence."""

    guards: GuardConfig = GuardConfig()
    """What happens to the picture itself: switched light, a covered or moved camera, darkness."""

    enabled: bool = True
    """False keeps the entry but starts no reader."""


class CameraConfig(CameraSettings):
    """One camera."""

    source: SourceConfig
    """Where its frames come from."""

    zones: dict[Name, ZoneConfig] = Field(default_factory=dict)
    """Named polygons; without any, the whole picture is one zone named `frame`."""

    privacy_masks: list[list[Point]] = Field(default_factory=list)
    """Polygons blacked out before anything leaves the reader, snapshots included."""
