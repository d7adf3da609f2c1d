"""Patches straight from the planes of a 4:2:0 picture: what views cut, without its RGB.

A camera's picture has a plane of luma and two of chroma, half as wide and half as high. Squeezing
is linear, and so is the step from planes to RGB: squeezed first, only the patches need be turned.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.config.camera import ViewKind
from monitor.imaging.preprocess import SIDE
from monitor.imaging.views import TILES, Box, TileGrid, halve, patch_count, squeeze, tile_boxes

Plane = NDArray[np.uint8]

SQUEEZING: Final = frozenset({ViewKind.STRETCH, ViewKind.TILES})
"""The views that can be cut from planes: those that squeeze all they show."""


def _to_rgb(red: float, green: tuple[float, float], blue: float) -> NDArray[np.float64]:
    """(Y, U, V, 1) of limited range to (R, G, B): 219 steps of luma, 128 is no colour."""
    colours = np.array([[0.0, red], green, [blue, 0.0]])
    luma = np.full((3, 1), 255 / 219)
    rest = -16 * luma - 128 * colours.sum(axis=1, keepdims=True)
    return np.hstack([luma, colours, rest])


FROM_BT601: Final = _to_rgb(1.596027, (-0.391762, -0.812968), 2.017232)
"""Planes to RGB as ITU-R BT.601-7 has it, scaled to bytes."""

FROM_BT709: Final = _to_rgb(1.792741, (-0.213249, -0.532909), 2.112402)
"""The same of ITU-R BT.709-6."""


class Planes(NamedTuple):
    """A picture of 8 bits, limited range, 4:2:0: luma (height, width), and two of half of both.

    `to_rgb`: `FROM_BT601` or `FROM_BT709`.
    """

    luma: Plane
    chroma: tuple[Plane, Plane]
    to_rgb: NDArray[np.float64]


def cut_planes(
    planes: Planes, view: ViewKind, halvings: int, *, grid: TileGrid = TILES
) -> NDArray[np.uint8]:
    """What `monitor.imaging.views.cut` makes of the picture's RGB, up to rounding.

    `view`: one of `SQUEEZING`. `halvings`: how often everything that is cut would be halved.
    """
    height, width = planes.luma.shape
    boxes = [Box(0, 0, width, height)]
    if view is ViewKind.TILES:
        boxes += tile_boxes(width, height, grid)
    luma = halve(planes.luma, halvings)
    # Halved once less: of every cut as many pixels of colour are left as of luma.
    half = max(0, halvings - 1)
    chroma = [halve(plane, half) for plane in planes.chroma]
    count = patch_count(view, grid=grid)
    squeezed = np.empty((3, count, SIDE, SIDE), np.uint8)
    for index, box in enumerate(boxes):
        squeeze(_part(luma, box, 1 << halvings), squeezed[0, index])
        for plane, patches in zip(chroma, squeezed[1:], strict=True):
            squeeze(_part(plane, box, 2 << half), patches[index])
    merged = cv2.merge(list(squeezed.reshape(3, count * SIDE, SIDE)))
    patches = np.asarray(cv2.transform(merged, planes.to_rgb), np.uint8)
    return patches.reshape(count, SIDE, SIDE, 3)


def _part(plane: Plane, box: Box, scale: int) -> Plane:
    """What a plane that is `scale` times smaller than the picture has of `box`."""
    rows = slice(box.top // scale, -(-box.bottom // scale))
    return plane[rows, box.left // scale : -(-box.right // scale)]
