"""What to change at a camera, and the YAML that watches it.

The network looks at 224×224 pixels a few times a second. What a camera sends beyond that is
paid for on this machine: 1080p25 costs 78 ms of processor time a second to decode whole,
720p15 29 ms, keyframes alone 9 ms of either (docs/cameras.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from monitor.capture.probing import StreamReport
from monitor.config.camera import CameraSettings, Transport
from monitor.config.urls import SourceKind, source_kind
from monitor.telemetry import redact

GOP_SECONDS = 2.0
"""The longest useful distance between keyframes: it bounds how late somebody is seen."""

MAX_FPS = 15.0
"""More is decoded for nothing while presence is in doubt: at most a few a second are scored."""

MAX_PIXELS = 1280 * 720
"""More is decoded for nothing, unless zones are small."""

PLACEHOLDER = "${CAMERA_PASSWORD}"

_READABLE = frozenset({"h264", "hevc", "mjpeg"})
_CHEAP_FORMATS = frozenset({"yuv420p", "yuvj420p", None})


@dataclass(frozen=True, slots=True)
class Entry:
    """One camera of the `cameras:` section. URLs as they may be shown, `notes` as comments.

    `snapshot_url`: the better stream, for pictures of events.
    """

    name: str
    url: str
    snapshot_url: str | None = None
    sample_fps: float | None = None
    transport: Transport = Transport.TCP
    notes: tuple[str, ...] = ()


def advise(report: StreamReport) -> list[str]:
    """What to change at the camera, the most useful first; empty if nothing."""
    fps = report.fps or 0.0
    found = [
        *_group_advice(report),
        "it sends B-frames: turn them off (profile Baseline, or B-frames 0), they add delay"
        if report.b_frames
        else "",
        f"{report.width}×{report.height} is more than is looked at: use the sub-stream of about "
        "1280×720 or less, unless zones are small"
        if report.width * report.height > MAX_PIXELS
        else "",
        f"{fps:.3g} frames a second are more than are scored: set {MAX_FPS:g} or fewer"
        if fps > MAX_FPS + 0.5
        else "",
        f"{report.codec} is no usual camera codec: choose H.264, or H.265"
        if report.codec not in _READABLE
        else "",
        f"{report.pixel_format} takes the slow way to a picture: choose 8 bit, 4:2:0"
        if report.pixel_format not in _CHEAP_FORMATS
        else "",
        "sound is sent and not used: turn it off to save bandwidth" if report.audio else "",
    ]
    return [each for each in found if each]


def _group_advice(report: StreamReport) -> list[str]:
    if report.codec == "mjpeg":
        return ["MJPEG sends every picture whole: H.264 with a keyframe every 2 s needs less"]
    wanted = f"set a keyframe every {GOP_SECONDS:g} s"
    if report.fps:
        wanted += f" (every {round(min(report.fps, MAX_FPS) * GOP_SECONDS)} pictures"
        wanted += f" at {min(report.fps, MAX_FPS):.3g} a second)"
    if report.gop_seconds is None and report.seconds < GOP_SECONDS:
        return ["watched too briefly to tell the distance of keyframes: probe for longer"]
    if report.gop_seconds is None:
        return [f"no two keyframes within {report.seconds:.3g} s: {wanted}, or probe for longer"]
    advice = []
    # Cameras count in pictures and keep time loosely: 2.04 s is no fault.
    if report.gop_seconds > GOP_SECONDS * 1.1:
        share = 100 * (1 - GOP_SECONDS / report.gop_seconds)
        advice.append(
            f"keyframes are {report.gop_seconds:.3g} s apart: {wanted}; "
            f"{share:.0f} % of all pictures need not be decoded then"
        )
    if report.gop_varies:
        advice.append("keyframes come irregularly: turn off the smart codec (H.264+, Zipstream)")
    return advice


def entry(report: StreamReport, url: str, *, name: str, transport: Transport) -> Entry:
    """The camera as `cameras:` names it; `url` may hold a login."""
    fps, usual = report.fps, CameraSettings().sample_fps
    size = f"{report.codec}, {report.width}×{report.height}"
    return Entry(
        name=name,
        url=shareable_url(url),
        sample_fps=float(f"{fps:.2g}") if fps is not None and fps < usual - 0.1 else None,
        transport=transport,
        notes=(f"{size}, {fps:.3g} frames a second" if fps else size, *advise(report)),
    )


def shareable_url(url: str) -> str:
    """`url` with its password as `${CAMERA_PASSWORD}`; what else looks secret is masked."""
    if source_kind(url) not in (SourceKind.RTSP, SourceKind.MJPEG):
        return url
    parts = urlsplit(url)
    tail = parts._replace(scheme="", netloc="").geturl()
    bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{tail}"
    if redact(bare) != bare or "@" in tail:
        return redact(url)
    bare = bare.replace("${", "$${")
    if not parts.username:
        return bare
    return with_login(bare, parts.username, password=parts.password is not None)


def with_login(url: str, user: str, *, password: bool = True) -> str:
    """`url` for `user`, percent-encoded already, and `${CAMERA_PASSWORD}`."""
    scheme, _, rest = url.partition("://")
    secret = f":{PLACEHOLDER}" if password else ""
    netloc, slash, path = rest.partition("/")
    return f"{scheme}://{user}{secret}@{netloc.rpartition('@')[2]}{slash}{path}"


def camera_name(text: str, taken: Sequence[str] = ()) -> str:
    """A name that `cameras:` accepts, made of any text, and none of those `taken`."""
    name = re.sub(r"[^\w.-]+", "-", text).strip("-._")[:56] or "camera"
    number, free = 2, name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def as_yaml(entries: Sequence[Entry]) -> str:
    """The `cameras:` section, ready to be pasted."""
    return "\n".join(["cameras:", *(line for each in entries for line in _lines(each))]) + "\n"


def _lines(each: Entry) -> list[str]:
    lines = [f"  {_scalar(each.name)}:"]
    lines += [f"    # {' '.join(note.split())}" for note in each.notes]
    lines += ["    source:", f"      url: {_scalar(each.url)}"]
    if each.snapshot_url is not None:
        lines.append(f"      snapshot_url: {_scalar(each.snapshot_url)}")
    if each.transport is not Transport.TCP:
        lines.append(f"      transport: {each.transport}")
    if each.sample_fps is not None:
        lines.append(f"    sample_fps: {each.sample_fps:g}")
    return lines


def _scalar(text: str) -> str:
    """Plain where YAML surely reads a plain text, else in single quotes."""
    plain = re.fullmatch(r"[A-Za-z/][\w./:@${}?&=%+,;~-]*", text) and not text.endswith(":")
    words = text.lower() in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
    return text if plain and not words else "'" + text.replace("'", "''") + "'"
