from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.camera import ViewKind
from monitor.imaging.preprocess import centre_crop, normalise, resize_short
from monitor.imaging.views import cut


def paddleclas(picture: np.ndarray) -> np.ndarray:
    """PaddleClas's operators one after the other, written from their description alone."""
    height, width = picture.shape[:2]
    percent = float(256) / min(width, height)
    new_width, new_height = int(np.rint(width * percent)), int(np.rint(height * percent))
    resized = cv2.resize(picture, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    left, top = (new_width - 224) // 2, (new_height - 224) // 2
    cropped = resized[top : top + 224, left : left + 224, :]
    mean = np.array([0.485, 0.456, 0.406]).reshape((1, 1, 3)).astype("float32")
    std = np.array([0.229, 0.224, 0.225]).reshape((1, 1, 3)).astype("float32")
    normal = (cropped.astype("float32") * np.float32(0.00392157) - mean) / std
    return normal.transpose((2, 0, 1))


@settings(deadline=None)
@given(st.integers(30, 900), st.integers(30, 900))
def test_pulc_equals_paddleclas_bit_for_bit(width: int, height: int) -> None:
    picture = np.random.default_rng(width * 1009 + height).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )
    np.testing.assert_array_equal(
        normalise(cut(picture, ViewKind.PULC))[0], paddleclas(picture), strict=True
    )


def test_resize_rounds_halves_to_even() -> None:
    # 257 * 256 / 128 = 514; 128.5-like cases: 3 * 256 / 512 = 1.5 rounds to 2, 5 -> 2.5 to 2.
    assert resize_short(np.zeros((512, 1025, 3), np.uint8)).shape == (256, 512, 3)
    assert resize_short(np.zeros((512, 1027, 3), np.uint8)).shape == (256, 514, 3)


def test_crop_of_too_small_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot crop"):
        centre_crop(np.zeros((223, 300, 3), np.uint8))


def test_normalise_keeps_patches_and_channels_apart() -> None:
    patches = np.zeros((2, 224, 224, 3), np.uint8)
    patches[1, 5, 7] = (255, 128, 1)
    out = normalise(patches)
    assert out.shape == (2, 3, 224, 224)
    expected = [(255 / 255 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(out[1, :, 5, 7], expected, atol=2e-6)
    assert len(np.unique(out[0])) == 3


def test_a_strip_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(ValueError, match="strip"):
        cut(np.zeros((1, 60000, 3), np.uint8), ViewKind.PULC)
