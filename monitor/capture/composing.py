"""From a decoded picture to the Frame that leaves the room."""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from zlib import crc32

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from monitor.clock import Stamp
from monitor.config import CameraConfig
from monitor.imaging.views import stretch
from monitor.imaging.zones import black_out, cut_zones
from monitor.messages import Frame, Picture


class Composer:
    """Makes the Frames of one camera, numbered from 0.

    Privacy masks are blacked out before anything else is done. The zones are cut from the full
    resolution; the picture that goes along has a longer side of at most `max_side` pixels.
    """

    def __init__(self, camera: str, config: CameraConfig, max_side: int) -> None:
        self._camera = camera
        self._config = config
        self._max_side = max_side
        self._reformatter = VideoReformatter()  # keeps the scaler's tables between frames
        self._sequence = 0

    def compose(self, decoded: VideoFrame, stamp: Stamp, pts: float | None) -> Frame:
        """The Frame of a decoded picture taken at `stamp`; `pts` in seconds."""
        picture = black_out(self._upright(decoded), self._config.privacy_masks)
        frame = Frame(
            camera=self._camera,
            sequence=self._sequence,
            stamp=stamp,
            pts=pts,
            cuts=cut_zones(picture, self._config),
            picture=shrink(picture, self._max_side),
        )
        self._sequence += 1
        return frame

    def _upright(self, decoded: VideoFrame) -> Picture:
        """RGB uint8 as it is meant to be seen: phones store portrait video on its side."""
        rgb = self._reformatter.reformat(decoded, format="rgb24", threads=1)
        picture = np.asarray(rgb.to_ndarray(), dtype=np.uint8)
        if quarter_turns := round(decoded.rotation / 90) % 4:
            picture = np.rot90(picture, quarter_turns)
        return np.ascontiguousarray(picture)


def fingerprint(picture: VideoFrame) -> int:
    """A number that tells a picture from all others, from every sixteenth row of its first plane.

    A live camera's noise changes it with every picture, however still the scene is. Only the
    very same picture, bit by bit, gives the same number.
    """
    rows = plane(picture, 0)[: picture.height : 16, : picture.width]
    return crc32(rows.tobytes())


def plane(picture: VideoFrame, index: int) -> NDArray[np.uint8]:
    """A plane of a decoded picture as it lies in memory: a view, rows padded at their end."""
    source: Any = picture.planes[index]  # has the buffer protocol, which its types do not tell
    return np.frombuffer(source, np.uint8).reshape(-1, picture.planes[index].line_size)


def shrink(picture: Picture, max_side: int) -> Picture:
    """`picture` with its longer side at most `max_side` pixels; itself if it is small enough.

    By the views' own resize: area averaging 1080p to 1280 pixels takes three times as long, and
    with 5 frames a second a third of what decoding takes.
    """
    height, width = picture.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1.0:
        return picture
    return stretch(picture, max(1, round(width * scale)), max(1, round(height * scale)))


def seconds_of(pts: int | None, time_base: Fraction | None) -> float | None:
    """A time stamp in seconds, None if there is none."""
    return None if pts is None or time_base is None else float(pts * time_base)
