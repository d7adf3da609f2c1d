"""Pictures as files and bytes. EXIF orientation is applied, as PaddleClas's `cv2.imread` does."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from monitor.errors import InputError
from monitor.imaging.views import check_picture
from monitor.messages import Picture

PICTURE_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"}
)
"""Files of a folder that people take for pictures, in any case. Some of them OpenCV may not be able
to decode (HEIC): they are listed nevertheless, so that they are named and not passed over."""


def encode(picture: Picture, *, quality: int = 85, max_side: int | None = None) -> bytes:
    """`picture` (RGB uint8) as JPEG; with `max_side`, first shrunk to that many pixels at most.

    Raises ValueError if it is no RGB uint8 picture or too large for JPEG (65,535 pixels a side).
    """
    check_picture(picture)
    height, width = picture.shape[:2]
    if max_side is not None and max(height, width) > max_side:
        scale = max_side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    if max(picture.shape[:2]) > 65_535:
        raise ValueError(f"a {width}x{height} picture is too large for JPEG")
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert encoded
    return data.tobytes()


def decode(data: bytes, *, where: str = "picture") -> Picture:
    """RGB uint8 (height, width, 3) from JPEG, PNG or any other format OpenCV reads.

    Grey pictures become RGB, transparency and deeper bits are dropped, of an animation the first
    picture is taken. Raises InputError naming
    `where` when the bytes are no such picture.
    """
    try:
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        picture = None
    if picture is None:
        raise InputError(
            "is no picture that can be decoded",
            where=where,
            remedy="give a complete JPEG, PNG, BMP, TIFF, GIF or WebP file; others converted",
        )
    return np.asarray(picture, np.uint8)


def read_picture(path: Path) -> Picture:
    """RGB uint8 (height, width, 3) of the picture at `path`. Raises InputError if there is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            error.strerror or "cannot be read", where=str(path), remedy="check the path"
        ) from error
    return decode(data, where=str(path))
