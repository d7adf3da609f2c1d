"""Scene measures: what each number says of a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.camera import ViewKind
from monitor.imaging.scene import SMALL, measure
from monitor.imaging.views import cut
from monitor.messages import Cut, Picture

RNG = np.random.default_rng(7)
COARSE = RNG.integers(0, 256, (9, 16, 3), dtype=np.uint8)
PICTURE = np.asarray(cv2.resize(COARSE, (640, 360), interpolation=cv2.INTER_NEAREST), np.uint8)


def grey(picture: Picture) -> Picture:
    return np.asarray(np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2), np.uint8)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 255))
def test_an_even_picture_has_a_brightness_and_nothing_else(level: int) -> None:
    scene = measure(np.full((90, 160, 3), level, np.uint8))
    assert scene.brightness == pytest.approx(level, abs=1)
    rest = scene.contrast, scene.saturation, scene.sharpness
    assert rest == pytest.approx((0, 0, 0), abs=1e-3)
    assert scene.luma.shape == (SMALL, SMALL)
    assert scene.luma.dtype == np.uint8


def test_without_colours_the_saturation_is_gone_and_the_rest_stays() -> None:
    colour, infrared = measure(PICTURE), measure(grey(PICTURE))
    assert colour.saturation > 50
    assert infrared.saturation < 1
    assert infrared.sharpness > 100


def test_out_of_focus_the_sharpness_is_gone_and_the_brightness_stays() -> None:
    sharp = measure(PICTURE)
    blurred = measure(np.asarray(cv2.GaussianBlur(PICTURE, (0, 0), 9), np.uint8))
    assert blurred.sharpness < 0.05 * sharp.sharpness
    assert blurred.brightness == pytest.approx(sharp.brightness, abs=2)


def test_every_zone_is_measured_by_the_patch_that_shows_all_of_it() -> None:
    whole = Cut("frame", cut(PICTURE, ViewKind.TILES))
    part = Cut("door", cut(np.ascontiguousarray(PICTURE[:, :200]), ViewKind.STRETCH))
    scene = measure(whole.patches[0], (whole, part))
    assert set(scene.zones) == {"frame", "door"}
    assert np.array_equal(scene.zones["frame"], scene.luma)
    assert np.array_equal(scene.zones["door"], measure(part.patches[0]).luma)


def test_a_picture_of_any_size_is_measured_alike() -> None:
    small = measure(np.asarray(cut(PICTURE, ViewKind.STRETCH)[0], np.uint8))
    large = measure(PICTURE)
    assert large.brightness == pytest.approx(small.brightness, abs=1)
    assert np.abs(large.luma.astype(int) - small.luma).mean() < 3


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_what_is_no_picture_is_refused(bad: Picture) -> None:
    with pytest.raises(ValueError, match="RGB"):
        measure(bad)
