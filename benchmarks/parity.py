"""What is done to pictures before the network sees them, in scores; for `benchmarks/capture.py`.

The reference is full-size RGB, cut and squeezed by OpenCV in bytes. Beside the way through planes
stands the same arithmetic in floating point, rounded once at its end: what the reference's own
rounding is worth, so that nothing but the very same operations can come closer to it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from benchmarks.reading import camera
from monitor.capture.converting import BT709, Converter, plane, squeezed
from monitor.config import DecodePolicy
from monitor.imaging.planes import FROM_BT601, FROM_BT709
from monitor.imaging.preprocess import SIDE
from monitor.imaging.views import Box, tile_boxes
from monitor.imaging.zones import cut_zones
from monitor.inference.model import ModelInfo
from monitor.inference.predictor import PaddlePredictor

EVERY = 5
"""Every how manyth picture of a clip is scored."""

Patches = NDArray[np.uint8]


def parity(path: Path, model: Path) -> dict[str, float]:
    """|Δscore| of the cheap conversion and of exact arithmetic against the reference, and of
    decoding without the loop filter against decoding with it."""
    predictor = PaddlePredictor(ModelInfo.load(model))
    config, converter = camera(DecodePolicy.ALL), Converter()

    def plain(frame: VideoFrame) -> Patches:
        return np.asarray(cut_zones(converter.full(frame), config)[0].patches, np.uint8)

    def cheap(frame: VideoFrame) -> Patches:
        found = squeezed(frame, config)
        return plain(frame) if found is None else found

    def scores(
        cut: Callable[[VideoFrame], Patches], *, loop_filter: bool = True
    ) -> NDArray[np.float32]:
        found: list[NDArray[np.float32]] = []
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            if not loop_filter:
                stream.codec_context.options = {"skip_loop_filter": "all"}
            for index, frame in enumerate(container.decode(stream)):
                if index % EVERY == 0:
                    found.append(predictor.run(list(cut(frame)))[:, 1].max())
        return np.asarray(found, np.float32)

    reference, planes, ideal = scores(plain), scores(cheap), scores(exact)
    unfiltered = scores(cheap, loop_filter=False)
    pairs = {
        "planes": (planes, reference),
        "exact": (ideal, reference),
        "no_loop_filter": (unfiltered, planes),
    }
    result: dict[str, float] = {"pictures": len(reference)}
    for name, (one, other) in pairs.items():
        difference = np.abs(one - other)
        result[f"{name}_p50"] = round(float(np.quantile(difference, 0.5)), 5)
        result[f"{name}_p99"] = round(float(np.quantile(difference, 0.99)), 5)
        result[f"{name}_max"] = round(float(difference.max()), 5)
    return result


def exact(decoded: VideoFrame) -> Patches:
    """The reference's patches of the view `tiles`, in floating point, rounded once."""
    height, width = decoded.height, decoded.width
    luma = plane(decoded, 0)[:height, :width].astype(np.float32)
    chroma = [
        plane(decoded, index)[: height // 2, : width // 2].astype(np.float32) for index in (1, 2)
    ]
    is_709 = decoded.colorspace == BT709
    how = cv2.INTER_LINEAR if is_709 else cv2.INTER_NEAREST  # as the reference does it
    wide = [cv2.resize(each, (width, height), interpolation=how) for each in chroma]
    rgb = cv2.transform(cv2.merge([luma, *wide]), FROM_BT709 if is_709 else FROM_BT601)
    within: NDArray[np.float32] = np.asarray(np.clip(rgb, 0.0, 255.0), np.float32)
    boxes = [Box(0, 0, width, height), *tile_boxes(width, height)]
    cuts = [_squeezed(within[box.top : box.bottom, box.left : box.right]) for box in boxes]
    return np.asarray(np.clip(np.rint(np.stack(cuts)), 0, 255), np.uint8)


def _squeezed(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """As `monitor.imaging.views.stretch` does it in bytes."""
    while part.shape[0] >= 2 * SIDE and part.shape[1] >= 2 * SIDE:
        half = part.shape[1] // 2, part.shape[0] // 2
        even = part[: 2 * half[1], : 2 * half[0]]
        part = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(cv2.resize(part, (SIDE, SIDE)), np.float32)
