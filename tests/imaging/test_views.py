from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monitor.config.camera import ViewKind
from monitor.imaging.views import GREY, TileGrid, cut, letterbox, patch_count, stretch, tile_boxes

SIDES = st.integers(1, 700)
GRIDS = st.sampled_from(
    [
        TileGrid(2, 1, 0.6),
        TileGrid(2, 2, 0.6),
        TileGrid(2, 2, 0.5),
        TileGrid(2, 2, 0.6, centre=True),
        TileGrid(3, 2, 0.55),
        TileGrid(1, 1, 1.0),
    ]
)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * 1000 + height).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )


@settings(deadline=None)
@given(SIDES, SIDES, st.sampled_from(ViewKind), GRIDS)
def test_every_view_of_any_size_is_a_batch_of_patches(
    width: int, height: int, view: ViewKind, grid: TileGrid
) -> None:
    assume(view is not ViewKind.PULC or max(width, height) <= 50 * min(width, height))
    patches = cut(noise(width, height), view, grid=grid)
    assert patches.shape == (patch_count(view, grid=grid), 224, 224, 3)
    assert patches.dtype == np.uint8
    assert patches.flags.c_contiguous


@settings(deadline=None)
@given(SIDES, SIDES, GRIDS)
def test_tiles_cover_every_pixel_and_stay_inside(width: int, height: int, grid: TileGrid) -> None:
    seen = np.zeros((height, width), dtype=bool)
    boxes = tile_boxes(width, height, grid)
    assert len(boxes) == grid.tiles
    for box in boxes:
        assert 0 <= box.left < box.right <= width
        assert 0 <= box.top < box.bottom <= height
        seen[box.top : box.bottom, box.left : box.right] = True
    assert seen.all()


def test_tiles_of_a_wide_picture() -> None:
    assert tile_boxes(1000, 500, TileGrid(2, 2, 0.6, centre=True)) == [
        (0, 0, 600, 300),
        (400, 0, 1000, 300),
        (0, 200, 600, 500),
        (400, 200, 1000, 500),
        (200, 100, 800, 400),
    ]
    assert tile_boxes(1000, 500, TileGrid(2, 1, 0.6)) == [(0, 0, 600, 500), (400, 0, 1000, 500)]


@pytest.mark.parametrize(
    ("columns", "rows", "share"), [(2, 2, 0.4), (3, 1, 0.3), (0, 1, 1.0), (1, 1, 0.0), (1, 1, 1.5)]
)
def test_grids_with_gaps_are_refused(columns: int, rows: int, share: float) -> None:
    with pytest.raises(ValueError, match=r"gaps|no such grid"):
        TileGrid(columns, rows, share)


def test_tiles_magnify_what_the_whole_picture_loses() -> None:
    picture = np.zeros((448, 448, 3), np.uint8)
    picture[10:20, 10:20] = 255
    whole, first, *others = cut(picture, ViewKind.TILES, grid=TileGrid(2, 2, 0.5))
    assert (first > 128).sum() == pytest.approx(4 * (whole > 128).sum(), rel=0.1)
    assert not any(other.any() for other in others)


@settings(deadline=None)
@given(SIDES, SIDES)
def test_letterbox_keeps_the_aspect_and_fills_with_grey(width: int, height: int) -> None:
    patch = letterbox(np.full((height, width, 3), 255, np.uint8))
    rows, columns = np.where((patch == 255).all(axis=2))
    inner_height, inner_width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert max(inner_height, inner_width) == 224
    assert inner_width == max(1, round(width * 224 / max(width, height)))
    assert inner_height == max(1, round(height * 224 / max(width, height)))
    assert (patch[:1] == GREY).all() or inner_height >= 223
    assert np.isin(patch, (GREY, 255)).all()


def test_stretch_below_twice_is_plain_bilinear() -> None:
    picture = noise(440, 300)
    expected = cv2.resize(picture, (224, 224), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(stretch(picture), expected)


def test_stretch_of_a_large_picture_averages_instead_of_skipping() -> None:
    fine_stripes = np.zeros((896, 896, 3), np.uint8)
    fine_stripes[:, ::2] = 255
    assert abs(int(stretch(fine_stripes).mean()) - 127) <= 1
    assert stretch(fine_stripes).std() < 2


@pytest.mark.parametrize(
    "broken",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        None,
    ],
)
def test_what_is_no_rgb_picture_is_refused(broken: np.ndarray) -> None:
    with pytest.raises(ValueError, match="RGB uint8"):
        cut(broken, ViewKind.STRETCH)
