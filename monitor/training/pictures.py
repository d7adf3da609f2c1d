"""Pictures to train on, with an optional cache of reduced ones in memory."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from monitor.imaging.jpeg import read_picture
from monitor.messages import Picture


def reduce_to(picture: Picture, side: int) -> Picture:
    """The picture with its shorter side reduced to `side`; smaller ones stay as they are."""
    height, width = picture.shape[:2]
    shorter = min(height, width)
    if shorter <= side:
        return picture
    size = (round(width * side / shorter), round(height * side / shorter))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


class PictureCache:
    """Reads pictures; with `side`, keeps them reduced in memory (about 3·side² bytes each).

    Safe to use from several threads: at worst a picture is decoded twice.
    """

    def __init__(self, side: int | None = None) -> None:
        self._side = side
        self._kept: dict[Path, Picture] = {}

    def read(self, path: Path) -> Picture:
        """The picture at `path`; callers must not change it. Raises as `read_picture`."""
        if self._side is None:
            return read_picture(path)
        kept = self._kept.get(path)
        if kept is None:
            kept = self._kept[path] = reduce_to(read_picture(path), self._side)
        return kept
