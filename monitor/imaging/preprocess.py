"""PULC's preprocessing, number for number.

Source: PaddleClas `deploy/configs/PULC/person_exists/inference_person_exists.yaml`
(ResizeImage resize_short 256 → CropImage 224 → NormalizeImage → ToCHWImage) and the operators
in `deploy/python/preprocess.py`. Pictures are RGB uint8 (height, width, 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.messages import Picture

SIDE: Final = 224
"""Edge of the network's input in pixels."""

RESIZE_SHORT: Final = 256
"""Length of the shorter side before the centre crop, in pixels."""

LONGEST_STRIP: Final = 50
"""Largest ratio of a picture's sides that is resized by its shorter one."""

SCALE: Final = np.float32(0.00392157)
"""The deployment's factor; not quite 1/255, which training uses (relative difference 3.5e-7)."""

MEAN: Final = np.array([0.485, 0.456, 0.406], dtype=np.float32)
"""ImageNet's mean of R, G and B in [0, 1]."""

STD: Final = np.array([0.229, 0.224, 0.225], dtype=np.float32)
"""ImageNet's standard deviation of R, G and B in [0, 1]."""

_TABLES: Final = np.ascontiguousarray(
    ((np.arange(256, dtype=np.float32)[:, None] * SCALE - MEAN) / STD).T
)
"""What each of a byte's 256 values becomes, for R, G and B."""


def resize_short(picture: Picture, target: int = RESIZE_SHORT) -> Picture:
    """Scale `picture` bilinearly so that its shorter side is `target` pixels.

    The other side is `int(round(side * target / shorter))`, halves to even, as PaddleClas does.
    Raises ValueError for a strip over `LONGEST_STRIP` times longer than wide, which would
    be blown up to gigabytes.
    """
    height, width = picture.shape[:2]
    if max(width, height) > LONGEST_STRIP * min(width, height):
        raise ValueError(f"a {width}x{height} picture is too long a strip to resize")
    percent = float(target) / min(width, height)
    size = round(width * percent), round(height * percent)
    return _as_picture(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))


def centre_crop(picture: Picture, side: int = SIDE) -> Picture:
    """The middle `side` × `side` pixels, starting at `(dimension - side) // 2`.

    Raises ValueError if the picture is smaller than that.
    """
    height, width = picture.shape[:2]
    if height < side or width < side:
        raise ValueError(f"cannot crop {side}x{side} from a {width}x{height} picture")
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def normalise(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (n, h, w, 3) to the network's float32 (n, 3, h, w): `(x * scale - mean) / std`.

    A pixel has 256 values, so the formula is evaluated once for each and looked up:
    bit for bit what evaluating it on every pixel in float32 gives.
    """
    out = np.empty((patches.shape[0], 3, *patches.shape[1:3]), dtype=np.float32)
    normalise_into(patches, out)
    return out


def normalise_into(patches: Iterable[NDArray[np.uint8]], out: NDArray[np.float32]) -> None:
    """As `normalise`, into `out` float32 (n, 3, h, w), contiguous, made beforehand.

    The patches (h, w, 3) need not be neighbours in memory.
    """
    for patch, planes in zip(patches, out, strict=True):
        for channel, table, plane in zip(cv2.split(patch), _TABLES, planes, strict=True):
            cv2.LUT(channel, table, dst=plane)


def _as_picture(array: object) -> Picture:
    """OpenCV's results are typed loosely; this states what they are."""
    assert isinstance(array, np.ndarray)
    return array
