"""The cheap way to RGB gives what the long way gives."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from monitor.capture.converting import Converter, halvings, squeezed
from monitor.config import CameraConfig, ViewKind
from monitor.imaging.views import cut

LEFT_HALF = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]


def camera(view: str = "stretch", polygon: list[tuple[float, float]] | None = None) -> CameraConfig:
    zones = {"zone": {"polygon": polygon}} if polygon else {}
    return CameraConfig.model_validate({"source": {"url": "-"}, "view": view, "zones": zones})


def scene(width: int, height: int, colorspace: Colorspace = Colorspace.ITU601) -> av.VideoFrame:
    """Blobs, edges and noise in colour, as a decoder gives them."""
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    rgb = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(rgb, (width // 3, height // 4), (width // 2, height - 1), (200, 30, 60), -1)
    noise = random.normal(0, 8, rgb.shape)
    rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    return frame.reformat(
        format="yuv420p", dst_colorspace=colorspace, dst_color_range=ColorRange.MPEG
    )


@pytest.mark.parametrize("colorspace", [Colorspace.ITU601, Colorspace.ITU709])
@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (640, 480), (704, 576)])
@pytest.mark.parametrize("view", ["stretch", "letterbox", "tiles"])
def test_patches_are_those_of_the_full_picture(
    width: int, height: int, view: str, colorspace: Colorspace
) -> None:
    decoded = scene(width, height, colorspace)
    converter = Converter()
    often = halvings(width, height, camera(view))
    if view == "letterbox":
        assert often > 0
    small, full = converter.reduced(decoded, often), converter.full(decoded)
    assert small.shape[0] <= full.shape[0]
    expected = cut(full, ViewKind(view))
    assert_alike(cut(small, ViewKind(view)), expected)
    straight = squeezed(decoded, camera(view))
    assert (straight is None) == (view == "letterbox")
    if straight is not None:
        assert straight.flags.c_contiguous
        assert_alike(straight, expected)


@pytest.mark.parametrize(
    ("width", "height"), [(1920, 1080), (1448, 1080), (2304, 1296), (2592, 1944), (2688, 1520)]
)
def test_tiles_of_planes_begin_where_those_of_pixels_do(width: int, height: int) -> None:
    """To the pixel, although planes are halved first, and colours sharp; 60 % is no even number."""
    random = np.random.default_rng(2)
    grey = random.integers(60, 190, (height // 8, width // 8, 3), dtype=np.uint8)
    rgb = cv2.resize(grey, (width, height), interpolation=cv2.INTER_CUBIC)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    decoded = frame.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
    )
    patches = squeezed(decoded, camera("tiles"))
    assert patches is not None
    difference = patches.astype(int) - cut(Converter().full(decoded), ViewKind.TILES)
    assert np.abs(difference).mean(axis=(1, 2, 3)).max() < 1.0


def assert_alike(patches: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    difference = patches.astype(int) - expected
    assert np.abs(difference).mean() < 2.0  # saturated colours, clipped before or after
    assert abs(difference.mean()) < 0.5
    assert np.quantile(np.abs(difference), 0.99) <= 10


@pytest.mark.parametrize("config", [camera("pulc"), camera(polygon=LEFT_HALF)])
def test_what_needs_more_than_squeezing_is_not_cut_from_planes(config: CameraConfig) -> None:
    assert squeezed(scene(640, 480), config) is None


def test_masks_and_other_kinds_are_not_cut_from_planes() -> None:
    config = {"source": {"url": "-"}, "privacy_masks": [LEFT_HALF]}
    assert squeezed(scene(640, 480), CameraConfig.model_validate(config)) is None
    odd = scene(642, 482).reformat(format="yuvj420p")
    assert squeezed(odd, camera()) is None


@pytest.mark.parametrize(("width", "height"), [(642, 482), (200, 100), (2, 2)])
def test_sizes_that_cannot_be_halved_are_squeezed_all_the_same(width: int, height: int) -> None:
    decoded = scene(width, height)
    patches = squeezed(decoded, camera("tiles"))
    assert patches is not None
    difference = patches.astype(int) - cut(Converter().full(decoded), ViewKind.TILES)
    assert np.abs(difference).mean() < 5.0  # colours are smoothed where pictures are enlarged


@pytest.mark.parametrize("colorspace", [Colorspace.ITU601, Colorspace.ITU709])
def test_full_pictures_are_those_of_swscale_but_for_its_rounding(colorspace: Colorspace) -> None:
    decoded = scene(640, 480, colorspace)
    theirs = decoded.reformat(format="rgb24").to_ndarray().astype(int)
    difference = Converter().full(decoded) - theirs
    assert 0.0 <= difference.mean() < 2.0
    assert np.abs(difference).mean() < 4.0


@pytest.mark.parametrize("kind", ["yuvj420p", "yuv422p", "nv12", "gray", "yuv420p10le"])
def test_all_else_takes_the_long_way(kind: str) -> None:
    decoded = scene(640, 480).reformat(format=kind)
    converter = Converter()
    np.testing.assert_array_equal(converter.reduced(decoded, 1), converter.full(decoded))


def test_full_range_is_no_limited_range() -> None:
    decoded = scene(640, 480)
    decoded.color_range = ColorRange.JPEG
    assert Converter().reduced(decoded, 1).shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("width", "height", "config", "expected"),
    [
        (1920, 1080, camera(), 2),
        (1920, 1080, camera("letterbox"), 3),
        (1920, 1080, camera("tiles"), 1),
        (1920, 1080, camera("pulc"), 0),
        (1920, 1080, camera(polygon=LEFT_HALF), 1),
        (3840, 2160, camera(), 3),
        (352, 288, camera(), 0),
    ],
)
def test_halved_as_often_as_the_cuts_would(
    width: int, height: int, config: CameraConfig, expected: int
) -> None:
    assert halvings(width, height, config) == expected


def test_odd_sizes_are_halved_as_far_as_they_go() -> None:
    assert Converter().reduced(scene(1920, 1080), 3).shape == (270, 480, 3)
    assert Converter().reduced(scene(642, 482), 1).shape == (482, 642, 3)
