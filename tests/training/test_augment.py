"""Augmentations by property: pure in their generator, of the right shape, within their bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monitor.messages import Picture
from monitor.training.augment import (
    CctvLook,
    RandAugment,
    RandomErasing,
    cctv,
    degrade,
    erase,
    flip_horizontal,
    random_resized_crop,
    shrink_into_scene,
    tile_crop,
)

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(2, 120)
PULC = RandAugment.parse("rand-m9-mstd0.5-inc1")


def noise(height: int, width: int, seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height: int = 48, width: int = 64) -> Picture:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 3, y * 4, x + y], axis=2).astype(np.uint8)


TRANSFORMS: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "crop": lambda p, rng: random_resized_crop(p, 48, rng),
    "randaugment": PULC,
    "degrade": lambda p, rng: degrade(p, CctvLook(*[1.0] * 8), rng),
    "shrink": lambda p, rng: shrink_into_scene(p, noise(50, 70), rng),
    "tile": tile_crop,
    "infrared": cctv.to_infrared,
    "low light": cctv.to_low_light,
    "low resolution": cctv.to_low_resolution,
    "blur": cctv.blur,
    "noise": cctv.add_noise,
    "jpeg": cctv.compress,
}


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(max_examples=15, deadline=None)
@given(height=sides, width=sides, seed=seeds)
def test_same_generator_same_picture(name: str, height: int, width: int, seed: int) -> None:
    picture = noise(height, width)
    before = picture.copy()
    transform = TRANSFORMS[name]
    first = transform(picture, np.random.default_rng(seed))
    second = transform(picture, np.random.default_rng(seed))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(picture, before)
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3


@pytest.mark.parametrize("name", ["randaugment", "degrade", "infrared", "blur", "noise", "jpeg"])
@settings(max_examples=10, deadline=None)
@given(height=sides, width=sides, seed=seeds)
def test_looks_keep_the_shape(name: str, height: int, width: int, seed: int) -> None:
    picture = noise(height, width)
    assert TRANSFORMS[name](picture, np.random.default_rng(seed)).shape == picture.shape


@settings(max_examples=50, deadline=None)
@given(height=sides, width=sides, seed=seeds, size=st.integers(8, 64))
def test_crop_shows_only_what_was_there(height: int, width: int, seed: int, size: int) -> None:
    picture = np.full((height, width, 3), 7, np.uint8)
    crop = random_resized_crop(picture, size, np.random.default_rng(seed))
    assert crop.shape == (size, size, 3)
    assert (crop == 7).all()


def test_crop_area_lies_in_its_scale() -> None:
    # A picture whose values are its columns and rows tells which part was cut.
    y, x = np.mgrid[0:100, 0:100]
    picture = np.stack([x, y, x], axis=2).astype(np.uint8)
    shares = []
    for seed in range(300):
        crop = random_resized_crop(picture, 64, np.random.default_rng(seed)).astype(int)
        wide = crop[..., 0].max() - crop[..., 0].min() + 1
        high = crop[..., 1].max() - crop[..., 1].min() + 1
        shares.append(wide * high / 10_000)
        assert 0.7 < wide / high < 1.43
    assert 0.05 < min(shares) < 0.15
    assert max(shares) > 0.85
    assert 0.45 < float(np.mean(shares)) < 0.6


def test_flip_twice_is_nothing() -> None:
    picture = noise(9, 14)
    flipped = flip_horizontal(picture)
    assert (flipped[:, 0] == picture[:, -1]).all()
    np.testing.assert_array_equal(flip_horizontal(flipped), picture)


# --- erasing -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=seeds, height=st.integers(8, 80), width=st.integers(8, 80))
def test_erasing_changes_one_rectangle_of_the_right_area(
    seed: int, height: int, width: int
) -> None:
    pixels = np.full((height, width, 3), 100.0, np.float32)
    erased = erase(pixels, RandomErasing(probability=1.0, attempts=50), np.random.default_rng(seed))
    changed = (erased != pixels).any(axis=2)
    if not changed.any():
        assert erased is pixels
        return
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert box.all()
    # Sides are rounded to pixels, so small pictures stray from the exact share.
    slack = (box.shape[0] + box.shape[1] + 1) / 2
    assert 0.02 * height * width - slack <= box.size <= height * width / 3 + slack
    assert (pixels == 100.0).all()


def test_erasing_happens_as_often_as_asked() -> None:
    pixels = np.zeros((32, 32, 3), np.float32)
    settings_ = RandomErasing(probability=0.1)
    hits = sum(
        erase(pixels, settings_, np.random.default_rng(seed)) is not pixels for seed in range(2000)
    )
    assert 150 < hits < 250


@pytest.mark.parametrize(("fill", "distinct"), [("pixel", True), ("rand", False), ("const", False)])
def test_erasing_fills(fill: str, distinct: bool) -> None:
    pixels = np.full((32, 32, 3), 9.0, np.float32)
    settings_ = RandomErasing(probability=1.0, fill=fill)  # type: ignore[arg-type]
    erased = erase(pixels, settings_, np.random.default_rng(3))
    inside = erased[(erased != 9.0).any(axis=2)]
    assert (np.unique(inside[:, 0]).size > 1) is distinct
    if fill == "const":
        assert (inside == 0.0).all()


# --- RandAugment ---------------------------------------------------------------------------


def test_pulcs_recipe_is_understood() -> None:
    assert RandAugment(9.0, 2, 0.5, True, "bicubic") == PULC
    assert RandAugment.parse("rand") == RandAugment(10.0, 2, 0.0, False, "bicubic")
    assert RandAugment.parse("rand-n3-m5-inc0").layers == 3
    assert len(PULC.operations) == len(RandAugment().operations) == 15


@pytest.mark.parametrize("text", ["", "augmix-m3", "rand-x3", "rand-m", "rand-m9-w0"])
def test_other_recipes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rand|unknown"):
        RandAugment.parse(text)


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("magnitude", [0.0, 5.0, 10.0])
def test_every_operation_runs(increasing: bool, magnitude: float) -> None:
    recipe = RandAugment(magnitude, increasing=increasing, interpolation="random")
    image = Image.fromarray(smooth())
    for name in recipe.operations:
        result = recipe.apply(image, name, np.random.default_rng(1))
        assert result.size == image.size
        assert result.mode == "RGB"


UNCHANGED_AT_ZERO = {
    "Rotate",
    "ShearX",
    "ShearY",
    "TranslateXRel",
    "TranslateYRel",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "Solarize",
    "SolarizeAdd",
}


@pytest.mark.parametrize("name", sorted(UNCHANGED_AT_ZERO))
def test_increasing_operations_do_nothing_at_zero_and_more_later(name: str) -> None:
    picture = smooth() + noise(48, 64) // 8
    image = Image.fromarray(picture)
    calm = RandAugment(0.0, increasing=True).apply(image, name, np.random.default_rng(0))
    difference = np.abs(np.asarray(calm, int) - picture)
    # Pillow's Solarize of 256 leaves all; its affine maps are exact at zero.
    assert difference.max() <= 1
    wild = RandAugment(10.0, increasing=True).apply(image, name, np.random.default_rng(0))
    assert np.abs(np.asarray(wild, int) - picture).mean() > 0.5


def test_directions_are_both_taken() -> None:
    image = Image.fromarray(smooth())
    recipe = RandAugment(10.0, increasing=True)
    brightness = {
        float(np.asarray(recipe.apply(image, "Brightness", np.random.default_rng(s))).mean())
        for s in range(20)
    }
    assert len(brightness) == 2


def test_half_of_the_operations_are_applied() -> None:
    picture = smooth()
    recipe = RandAugment(9.0, layers=1, increasing=True)
    untouched = sum(
        bool((recipe(picture, np.random.default_rng(seed)) == picture).all()) for seed in range(400)
    )
    # One half is skipped, and AutoContrast may leave a picture as it is.
    assert 170 < untouched < 260


# --- the camera look -----------------------------------------------------------------------


def test_without_probability_nothing_happens() -> None:
    picture = noise(20, 30)
    assert degrade(picture, CctvLook(), np.random.default_rng(0)) is picture


def test_grey_has_equal_channels_and_the_luma_of_its_colours() -> None:
    grey = cctv.to_grey(np.full((4, 4, 3), (255, 0, 0), np.uint8))
    assert (grey == 76).all()
    assert (np.ptp(cctv.to_infrared(noise(20, 30), np.random.default_rng(0)), axis=2) == 0).all()


def test_low_light_only_darkens() -> None:
    picture = noise(20, 30)
    for seed in range(20):
        assert (cctv.to_low_light(picture, np.random.default_rng(seed)) <= picture).all()


def test_blur_keeps_brightness_and_loses_detail() -> None:
    picture = noise(40, 40)
    for seed in range(10):
        blurred = cctv.blur(picture, np.random.default_rng(seed))
        assert abs(float(blurred.mean()) - float(picture.mean())) < 3.0
        assert blurred.std() < picture.std()


def test_shrinking_leaves_the_scene_around_it() -> None:
    bright = np.full((60, 80, 3), 250, np.uint8)
    dark = np.zeros((90, 160, 3), np.uint8)
    for seed in range(20):
        pasted = shrink_into_scene(bright, dark, np.random.default_rng(seed), share=(0.3, 0.5))
        assert pasted.shape == dark.shape
        share = float((pasted[..., 0] > 0).mean())
        # The sides are 0.3 to 0.5 of what fits, and 4:3 fills three quarters of 16:9.
        assert 0.02 < share <= 0.75 * 0.25 + 0.01
        assert pasted.max() > 240


def test_a_tile_is_a_part() -> None:
    y, x = np.mgrid[0:90, 0:160]
    picture = np.stack([x, y, x], axis=2).astype(np.uint8)
    starts = set()
    for seed in range(60):
        tile = tile_crop(picture, np.random.default_rng(seed), share=(0.5, 0.5))
        assert tile.shape == (45, 80, 3)
        starts.add((int(tile[0, 0, 0]), int(tile[0, 0, 1])))
    assert starts == {(x, y) for x in (0, 40, 80) for y in (0, 22, 45)}
