"""From decoded pictures to RGB, no larger than what is made of them needs.

The network sees 224 × 224 pixels. Turning all of a 1080p picture into RGB first and shrinking it
then takes three times as long as shrinking its planes, of which two are small, and turning the
rest into RGB. Where the whole picture is cut, without zones or masks, only the patches become RGB.
All of it is averages, so the order hardly matters: `tests/capture/test_converting.py` compares the
pixels, `benchmarks/capture.py` the model's scores. The way through planes is taken for what nearly
all cameras send, 8-bit limited-range 4:2:0; swscale does all else. For these kinds OpenCV makes
the full-size RGB, too: swscale rounds down, by a grey level or two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from monitor.config import CameraConfig, ViewKind
from monitor.imaging.planes import FROM_BT601, FROM_BT709, SQUEEZING, Planes, cut_planes
from monitor.imaging.preprocess import SIDE
from monitor.imaging.views import TILES, halve
from monitor.messages import Picture

BT709 = Colorspace.ITU709
LIMITED = frozenset({ColorRange.UNSPECIFIED, ColorRange.MPEG})


class Converter:
    """Makes upright RGB pictures of decoded ones; for one thread at a time."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()  # keeps the scaler's tables between frames

    def full(self, decoded: VideoFrame) -> Picture:
        """All of its pixels: RGB uint8 (height, width, 3)."""
        if _is_common(decoded):
            return _upright(_from_planes(decoded, 0), decoded)
        rgb = self._reformatter.reformat(decoded, format="rgb24", threads=1)
        return _upright(np.asarray(rgb.to_ndarray(), dtype=np.uint8), decoded)

    def reduced(self, decoded: VideoFrame, halvings: int) -> Picture:
        """The picture halved so many times, or fewer where its size cannot be halved so often.

        RGB uint8; `full` where it is of no common kind.
        """
        halvings = _possible(decoded, halvings)
        if not halvings or not _is_common(decoded):
            return self.full(decoded)
        return _upright(_from_planes(decoded, halvings), decoded)


def squeezed(decoded: VideoFrame, camera: CameraConfig) -> NDArray[np.uint8] | None:
    """The patches of a whole picture that `camera` squeezes, straight from its planes.

    None where something else has to be done with the picture, or it is of no common kind: then
    its RGB is needed.
    """
    if camera.zones or camera.privacy_masks or camera.view not in SQUEEZING:
        return None
    planes = _planes_of(decoded)
    if planes is None:
        return None
    often = halvings(decoded.width, decoded.height, camera)
    return cut_planes(planes, camera.view, _possible(decoded, often))


def _possible(decoded: VideoFrame, halvings: int) -> int:
    """`halvings`, or fewer where the picture's size cannot be halved so often."""
    while halvings and any(n % (2 << halvings) for n in (decoded.width, decoded.height)):
        halvings -= 1
    return halvings


def _planes_of(decoded: VideoFrame) -> Planes | None:
    """Its planes as they lie in memory; None where they are of no common kind, or on their side."""
    if not _is_common(decoded) or round(decoded.rotation / 90) % 4:
        return None
    width, height = decoded.width, decoded.height
    return Planes(
        plane(decoded, 0)[:height, :width],
        (
            plane(decoded, 1)[: height // 2, : width // 2],
            plane(decoded, 2)[: height // 2, : width // 2],
        ),
        FROM_BT709 if decoded.colorspace == BT709 else FROM_BT601,
    )


def _is_common(decoded: VideoFrame) -> bool:
    limited = decoded.format.name == "yuv420p" and decoded.color_range in LIMITED
    return limited and not decoded.width % 2 and not decoded.height % 2


def halvings(width: int, height: int, camera: CameraConfig) -> int:
    """How often a `width` × `height` picture may be halved before `camera` cuts it.

    The views halve, too (`monitor.imaging.views.stretch`); what all of a camera's cuts would
    halve anyway is halved once for all. PULC's own cut is not: it stays number for number.
    """
    if camera.view is ViewKind.PULC:
        return 0
    spare = 1 if camera.zones else 0  # the edges of zones stay sharp
    return max(0, min(_halved(*cut, camera.view) for cut in _cuts(width, height, camera)) - spare)


def plane(picture: VideoFrame, index: int) -> NDArray[np.uint8]:
    """A plane of a decoded picture as it lies in memory: a view, rows padded at their end."""
    source: Any = picture.planes[index]  # has the buffer protocol, which its types do not tell
    return np.frombuffer(source, np.uint8).reshape(-1, picture.planes[index].line_size)


def _cuts(width: int, height: int, camera: CameraConfig) -> Iterator[tuple[float, float]]:
    """Width and height of all that is cut out of a picture, in pixels."""
    share = TILES.share if camera.view is ViewKind.TILES else 1.0
    if not camera.zones:
        yield width * share, height * share
    for zone in camera.zones.values():
        xs, ys = [x for x, _ in zone.polygon], [y for _, y in zone.polygon]
        yield width * (max(xs) - min(xs)) * share, height * (max(ys) - min(ys)) * share


def _halved(width: float, height: float, view: ViewKind) -> int:
    """How often `stretch` would halve a cut of that size for the network."""
    wide = high = float(SIDE)
    if view is ViewKind.LETTERBOX:
        scale = SIDE / max(width, height, 1.0)
        wide, high = max(1.0, width * scale), max(1.0, height * scale)
    count = 0
    while width >= 2 * wide and height >= 2 * high:
        width, height, count = width / 2, height / 2, count + 1
    return count


def _from_planes(decoded: VideoFrame, halvings: int) -> Picture:
    width, height = decoded.width >> halvings, decoded.height >> halvings
    yuv = np.empty(width * height * 3 // 2, np.uint8)
    luma = yuv[: width * height].reshape(height, width)
    chroma = yuv[width * height :].reshape(2, height // 2, width // 2)
    for index, small in enumerate((luma, *chroma)):
        rows, columns = small.shape[0] << halvings, small.shape[1] << halvings
        _halve(plane(decoded, index)[:rows, :columns], halvings, small)
    if decoded.colorspace != BT709:
        i420 = yuv.reshape(height * 3 // 2, width)
        return np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8)
    wide = [cv2.resize(each, (width, height)) for each in chroma]
    return np.asarray(cv2.transform(cv2.merge([luma, *wide]), FROM_BT709), np.uint8)


def _halve(whole: NDArray[np.uint8], times: int, result: NDArray[np.uint8]) -> None:
    """`halve`, the last step straight into `result`."""
    if not times:
        result[:] = whole
        return
    whole = halve(whole, times - 1)
    cv2.resize(whole, result.shape[::-1], dst=result, interpolation=cv2.INTER_AREA)


def _upright(picture: Picture, decoded: VideoFrame) -> Picture:
    """As it is meant to be seen: phones store portrait video on its side."""
    if quarter_turns := round(decoded.rotation / 90) % 4:
        picture = np.rot90(picture, quarter_turns)
    return np.ascontiguousarray(picture)
