"""Views: how a picture is cut into 224×224 patches for the network.

PULC's own cut sees 49 % of a 16:9 picture; the other views see all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.config.camera import ViewKind
from monitor.imaging.preprocess import SIDE, centre_crop, resize_short
from monitor.messages import Picture

GREY: Final = 114
"""The neutral colour of bars and of what lies outside a zone (YOLO's letterbox grey)."""


EVEN: Final = 4
"""Pixels that sides of tiles are multiples of, where tiles are halved: so they begin between two
pixels of a halved picture, too, and of its planes of colour."""


class Box(NamedTuple):
    """A rectangle in pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class TileGrid:
    """How tiles lie over a picture: `columns` × `rows`, evenly spaced, corners included.

    `share`: a tile's side as a fraction of the picture's, along an axis with more than one
    tile; along an axis with a single tile it spans the picture. `centre` adds one tile in the
    middle (two by two and the centre make five).
    """

    columns: int = 2
    rows: int = 2
    share: float = 0.6
    centre: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError when the tiles would leave gaps."""
        counts = [count for count in (self.columns, self.rows) if count > 1]
        if min(self.columns, self.rows) < 1 or not 0.0 < self.share <= 1.0:
            raise ValueError(f"no such grid of tiles: {self}")
        if any(self.share * count < 1.0 for count in counts):
            raise ValueError(f"tiles of {self.share:g} leave gaps: {self}")

    @property
    def tiles(self) -> int:
        """Number of tiles, the whole picture not counted."""
        return self.columns * self.rows + self.centre


TILES: Final = TileGrid()
"""The grid of the `tiles` view: two by two tiles of 60 %."""


def cut(picture: Picture, view: ViewKind, *, grid: TileGrid = TILES) -> NDArray[np.uint8]:
    """Cut an RGB `picture` for the network: uint8 (n, 224, 224, 3), contiguous.

    n is 1, or `1 + grid.tiles` for tiles, where the whole picture comes first. The score of
    the picture is the maximum over its patches. Raises ValueError if it is no RGB picture.
    """
    check_picture(picture)
    patches = np.empty((patch_count(view, grid=grid), SIDE, SIDE, 3), np.uint8)
    if view is ViewKind.PULC:
        patches[0] = centre_crop(resize_short(picture))
    elif view is ViewKind.LETTERBOX:
        patches[0] = letterbox(picture)
    else:
        squeeze(picture, patches[0])
    if view is ViewKind.TILES:
        height, width = picture.shape[:2]
        for patch, box in zip(patches[1:], tile_boxes(width, height, grid), strict=True):
            squeeze(picture[box.top : box.bottom, box.left : box.right], patch)
    return patches


def patch_count(view: ViewKind, *, grid: TileGrid = TILES) -> int:
    """How many patches `cut` makes of a picture."""
    return 1 + grid.tiles if view is ViewKind.TILES else 1


def stretch(picture: Picture, width: int = SIDE, height: int = SIDE) -> Picture:
    """The whole picture squeezed to `width` × `height`.

    Halved until less than twice too large, then bilinear: plain bilinear would skip pixels,
    area averaging from 1080p takes ten times as long.
    """
    picture = _halved(picture, width, height)
    if picture.shape[:2] == (height, width):
        return picture
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def squeeze(picture: NDArray[np.uint8], patch: NDArray[np.uint8]) -> None:
    """`stretch` a picture, or one plane of it, straight into a patch, so that none is copied."""
    height, width = patch.shape[:2]
    picture = _halved(picture, width, height)
    if picture.shape[:2] == (height, width):
        patch[:] = picture
    else:
        cv2.resize(picture, (width, height), dst=patch, interpolation=cv2.INTER_LINEAR)


def _halved(picture: Picture, width: int, height: int) -> Picture:
    """Halved until less than twice too large."""
    while picture.shape[0] >= 2 * height and picture.shape[1] >= 2 * width:
        picture = halve(picture)
    return picture


def halve(picture: NDArray[np.uint8], times: int = 1) -> NDArray[np.uint8]:
    """A picture, or one plane of it, halved so often, step by step: OpenCV averages two by two
    eight times as fast as four by four."""
    for _ in range(times):
        half = picture.shape[1] // 2, picture.shape[0] // 2
        even = picture[: 2 * half[1], : 2 * half[0]]
        picture = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), np.uint8)
    return picture


def letterbox(picture: Picture, side: int = SIDE) -> Picture:
    """The whole picture, aspect kept, in the middle of a grey `side` × `side` square."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    top, left = (side - inner[1]) // 2, (side - inner[0]) // 2
    out = np.full((side, side, 3), GREY, dtype=np.uint8)
    out[top : top + inner[1], left : left + inner[0]] = stretch(picture, *inner)
    return out


def tile_boxes(width: int, height: int, grid: TileGrid = TILES) -> list[Box]:
    """Where the tiles of a `width` × `height` picture lie: row by row, the centre tile last.

    Together they cover every pixel; neighbours overlap when `share * count` exceeds 1.
    """
    lefts, tile_width = _starts(width, grid.columns, grid.share)
    tops, tile_height = _starts(height, grid.rows, grid.share)
    corners = [(left, top) for top in tops for left in lefts]
    if grid.centre:
        corners.append(((width - tile_width) // 2, (height - tile_height) // 2))
    return [Box(left, top, left + tile_width, top + tile_height) for left, top in corners]


def check_picture(picture: Picture) -> None:
    """Raises ValueError unless `picture` is uint8 (height, width, 3) with at least one pixel."""
    shape = getattr(picture, "shape", None)
    dtype = getattr(picture, "dtype", None)
    if dtype != np.uint8 or shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ValueError(f"expected an RGB uint8 picture (height, width, 3), got {dtype} {shape}")


def _starts(length: int, count: int, share: float) -> tuple[list[int], int]:
    """First pixels of `count` tiles along an axis of `length` pixels, and the tiles' length."""
    if count == 1:
        return [0], length
    tile = int(np.ceil(length * share))
    if tile >= 2 * SIDE:
        tile = -(-tile // EVEN) * EVEN
    tile = min(length, tile)
    return [round(index * (length - tile) / (count - 1)) for index in range(count)], tile
