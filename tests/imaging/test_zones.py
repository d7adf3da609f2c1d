from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.camera import CameraConfig
from monitor.imaging.views import GREY
from monitor.imaging.zones import black_out, crop_zone, cut_zones

FRACTIONS = st.integers(0, 64).map(lambda n: n / 64)
TRIANGLES = st.lists(st.tuples(FRACTIONS, FRACTIONS), min_size=3, max_size=3)
SIDES = st.integers(1, 200)


def inside_triangle(
    corners: list[tuple[float, float]], width: int, height: int, margin: float
) -> np.ndarray:
    """Pixels whose centre is deeper inside than `margin` pixels (negative: or nearer outside)."""
    xs, ys = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    points = [(x * width, y * height) for x, y in corners]
    (ax, ay), (bx, by), (cx, cy) = points
    if (bx - ax) * (cy - ay) < (by - ay) * (cx - ax):
        points.reverse()
    inside = np.ones((height, width), dtype=bool)
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        length = np.hypot(x2 - x1, y2 - y1)
        if length == 0:
            return np.zeros((height, width), dtype=bool)
        inside &= ((x2 - x1) * (ys - y1) - (y2 - y1) * (xs - x1)) / length > margin
    return inside


@settings(deadline=None)
@given(TRIANGLES, SIDES, SIDES)
def test_privacy_mask_blackens_all_inside_and_little_outside(
    corners: list[tuple[float, float]], width: int, height: int
) -> None:
    picture = np.full((height, width, 3), 200, np.uint8)
    masked = black_out(picture, [corners])
    black = (masked == 0).all(axis=2)
    assert black[inside_triangle(corners, width, height, 0.0)].all()
    assert (picture == 200).all()
    assert set(np.unique(masked)) <= {0, 200}
    box = crop_zone(picture, corners)
    ys, xs = np.where(black)
    if len(xs):
        assert np.ptp(xs) + 1 <= box.shape[1] + 4
        assert np.ptp(ys) + 1 <= box.shape[0] + 4


@settings(deadline=None)
@given(TRIANGLES, SIDES, SIDES)
def test_zone_keeps_its_inside_and_greys_the_rest(
    corners: list[tuple[float, float]], width: int, height: int
) -> None:
    picture = np.random.default_rng(1).integers(120, 256, (height, width, 3), dtype=np.uint8)
    part = crop_zone(picture, corners)
    left = min(int(min(x for x, _ in corners) * width), width - 1)
    top = min(int(min(y for _, y in corners) * height), height - 1)
    window = np.s_[top : top + part.shape[0], left : left + part.shape[1]]
    original = picture[window]
    deep = inside_triangle(corners, width, height, 0.75)[window]
    assert (part[deep] == original[deep]).all()
    unchanged = (part == original).all(axis=2)
    assert (part[~unchanged] == GREY).all()


def test_a_rectangle_is_kept_whole() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    part = crop_zone(picture, [(0.25, 0.1), (0.75, 0.1), (0.75, 0.6), (0.25, 0.6)])
    np.testing.assert_array_equal(part, picture[10:60, 50:150])


def test_a_corner_is_grey() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    part = crop_zone(picture, [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
    assert part.shape == (100, 100, 3)
    assert (part[0, 0] == 255).all()
    assert (part[-1, -1] == GREY).all()


def test_cameras_with_and_without_zones() -> None:
    picture = np.zeros((90, 160, 3), np.uint8)
    plain = CameraConfig.model_validate({"source": {"url": "x.mp4"}})
    assert [item.zone for item in cut_zones(picture, plain)] == ["frame"]
    zoned = CameraConfig.model_validate(
        {
            "source": {"url": "x.mp4"},
            "view": "tiles",
            "zones": {
                "door": {"polygon": [(0, 0), (0.5, 0), (0.5, 1)]},
                "hall": {"polygon": [(0.5, 0), (1, 0), (1, 1), (0.5, 1)]},
            },
        }
    )
    cuts = cut_zones(picture, zoned)
    assert [item.zone for item in cuts] == ["door", "hall"]
    assert all(len(item.patches) == 5 for item in cuts)
    assert (cuts[0].patches[0][-1, 0] == GREY).all()
    assert not cuts[1].patches.any()


def test_no_masks_no_copy() -> None:
    picture = np.zeros((9, 9, 3), np.uint8)
    assert black_out(picture, []) is picture
    with pytest.raises(ValueError, match="RGB uint8"):
        black_out(np.zeros((9, 9), np.uint8), [])
