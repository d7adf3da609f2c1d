"""Zones and privacy masks: polygons in fractions of the picture, (0, 0) the upper left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import ceil, floor

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.config.camera import CameraConfig, Point, ViewKind
from monitor.imaging.views import GREY, TILES, Box, TileGrid, check_picture, cut
from monitor.messages import WHOLE_FRAME, Cut, Picture

Polygon = Sequence[Point]

_MARGIN = 2
"""Pixels around the picture on which privacy masks are drawn."""
_SUBPIXEL_BITS = 8


def cut_zones(picture: Picture, camera: CameraConfig, *, grid: TileGrid = TILES) -> tuple[Cut, ...]:
    """Cut every zone of `camera` for the network; without zones the picture is one.

    `picture`: RGB uint8 (height, width, 3), privacy masks applied. Raises ValueError if it is
    no such picture.
    """
    if not camera.zones:
        return (Cut(WHOLE_FRAME, cut(picture, camera.view, grid=grid)),)
    return tuple(
        Cut(name, cut_zone(picture, zone.polygon, camera.view, grid=grid))
        for name, zone in camera.zones.items()
    )


def cut_zone(
    picture: Picture, polygon: Polygon, view: ViewKind, *, grid: TileGrid = TILES
) -> NDArray[np.uint8]:
    """Patches of one zone: its bounding box, grey outside the polygon, cut as `view` says."""
    return cut(crop_zone(picture, polygon), view, grid=grid)


def crop_zone(picture: Picture, polygon: Polygon) -> Picture:
    """The polygon's bounding box, a copy in which all outside the polygon is grey (114)."""
    check_picture(picture)
    height, width = picture.shape[:2]
    box, outside = _outline(tuple(polygon), width, height)
    part = picture[box.top : box.bottom, box.left : box.right].copy()
    part[outside] = GREY
    return part


def black_out(picture: Picture, polygons: Iterable[Polygon]) -> Picture:
    """A copy of `picture`, black in every one of `polygons` and a pixel around it.

    The picture itself comes back when there are no polygons. Raises ValueError if it is no RGB
    uint8 picture.
    """
    check_picture(picture)
    hidden = _hidden(tuple(tuple(polygon) for polygon in polygons), *picture.shape[1::-1])
    if hidden is None:
        return picture
    masked = picture.copy()
    masked[hidden] = 0
    return masked


@lru_cache(maxsize=512)
def _hidden(
    polygons: tuple[tuple[Point, ...], ...], width: int, height: int
) -> NDArray[np.bool_] | None:
    """Which pixels the polygons hide; one more around them, for OpenCV rounds edges, and drawn with
    a margin, for it cuts the tips of slivers short at the picture's edge."""
    if not polygons:
        return None
    hidden = np.zeros((height + 2 * _MARGIN, width + 2 * _MARGIN), dtype=np.uint8)
    for polygon in polygons:
        corners = _pixels(polygon, width, height) + _MARGIN * 2**_SUBPIXEL_BITS
        cv2.fillPoly(hidden, [corners], 1, shift=_SUBPIXEL_BITS)
        cv2.polylines(hidden, [corners], isClosed=True, color=1, shift=_SUBPIXEL_BITS)
    grown = cv2.dilate(hidden, np.ones((3, 3), np.uint8)) > 0
    return np.ascontiguousarray(grown[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN])


@lru_cache(maxsize=512)
def _outline(polygon: tuple[Point, ...], width: int, height: int) -> tuple[Box, NDArray[np.bool_]]:
    """A polygon's bounding box in pixels, and which pixels of the box lie outside of it.

    Remembered, because a camera asks for the same zones with every frame.
    """
    xs = [x * width for x, _ in polygon]
    ys = [y * height for _, y in polygon]
    left, top = min(floor(min(xs)), width - 1), min(floor(min(ys)), height - 1)
    box = Box(left, top, max(ceil(max(xs)), left + 1), max(ceil(max(ys)), top + 1))
    inside = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(inside, [_pixels(polygon, width, height)], 1, shift=_SUBPIXEL_BITS)
    return box, inside[box.top : box.bottom, box.left : box.right] == 0


def _pixels(polygon: Polygon, width: int, height: int) -> NDArray[np.int32]:
    """Corners as OpenCV's fixed-point numbers, whose whole values are pixel centres."""
    corners = np.asarray(polygon, dtype=np.float64) * (width, height) - 0.5
    return np.asarray(np.round(corners * 2**_SUBPIXEL_BITS), dtype=np.int32)
