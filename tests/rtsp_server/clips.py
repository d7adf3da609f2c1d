"""Small moving pictures, encoded as IP cameras do: no B-frames, short groups, headers in band."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ENCODERS = {"h264": "libx264", "h265": "libx265", "mjpeg": "mjpeg"}


def picture(index: int, width: int = 320, height: int = 240) -> np.ndarray:
    """Picture number `index` of a bright square that moves over a ramp: RGB uint8."""
    ramp = np.linspace(40, 160, width, dtype=np.uint8)
    rgb = np.repeat(np.tile(ramp, (height, 1))[:, :, None], 3, axis=2)
    side = height // 5
    left = (index * 7) % (width - side)
    rgb[side : 2 * side, left : left + side] = (230, 60, 40)
    return rgb


def encode(
    codec: str, *, frames: int, fps: int, gop: int, width: int, height: int, slices: int = 1
) -> Iterator[bytes]:
    """The access units of a clip, each a byte stream with its headers before keyframes."""
    context = av.CodecContext.create(ENCODERS[codec], "w")
    context.width, context.height = width, height
    context.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    context.time_base = Fraction(1, fps)
    context.framerate = Fraction(fps)
    if codec != "mjpeg":
        context.gop_size = gop
        context.max_b_frames = 0
        context.options = _options(codec, gop, slices)
    for index in range(frames):
        frame = av.VideoFrame.from_ndarray(picture(index, width, height), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, fps)
        for packet in context.encode(frame):
            yield bytes(packet)
    for packet in context.encode(None):
        yield bytes(packet)


def write_clip(
    path: Path,
    codec: str = "h264",
    *,
    sizes: Sequence[tuple[int, int]] = ((320, 240),),
    frames: int = 30,
    fps: int = 15,
    gop: int = 15,
    slices: int = 1,
) -> Path:
    """A clip for server.py; with several sizes the resolution changes every `frames`."""
    with path.open("wb") as file:
        for width, height in sizes:
            how = {"frames": frames, "fps": fps, "gop": gop, "slices": slices}
            for unit in encode(codec, width=width, height=height, **how):
                file.write(struct.pack(">I", len(unit)) + unit)
    return path


def write_video(
    path: Path,
    *,
    codec: str = "h264",
    frames: int = 30,
    fps: int = 15,
    size: tuple[int, int] = (320, 240),
    gop: int = 15,
    pts: Sequence[int] | None = None,
) -> Path:
    """A video file; `pts` in units of 1/fps where they are not simply 0, 1, 2 …"""
    with av.open(path, "w") as container:
        stream = container.add_stream(ENCODERS[codec], rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec != "mjpeg":
            stream.codec_context.gop_size = gop
            stream.codec_context.max_b_frames = 0
            stream.codec_context.options = _options(codec, gop)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
            frame.pts = index if pts is None else pts[index]
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _options(codec: str, gop: int, slices: int = 1) -> dict[str, str]:
    common = {"preset": "ultrafast", "tune": "zerolatency", "crf": "30"}
    if codec == "h265":
        pools = "none" if slices == 1 else "1"  # without a thread, x265 crashes on slices
        quiet = f"log-level=none:pools={pools}:frame-threads=1:repeat-headers=1:bframes=0"
        quiet += f":slices={slices}"
        return common | {"x265-params": f"{quiet}:keyint={gop}:min-keyint={gop}:scenecut=0"}
    return common | {"sc_threshold": "0", "threads": "1", "slices": str(slices)}
