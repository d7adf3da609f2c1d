"""From a decoded picture to the network's input, for training and for judging."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monitor.imaging.preprocess import centre_crop, normalise_into, resize_short
from monitor.imaging.views import letterbox, stretch
from monitor.messages import Picture
from monitor.training.augment import (
    degrade,
    erase,
    flip_horizontal,
    random_resized_crop,
    shrink_into_scene,
)
from monitor.training.augment_config import AugmentConfig
from monitor.training.config import EvalConfig
from monitor.training.numbers import Range

Planes = NDArray[np.float32]
"""float32 (3, size, size), normalised."""


class TrainTransform:
    """The augmentation chain of a configuration; random only in the generator it is given."""

    def __init__(self, config: AugmentConfig) -> None:
        self._config = config
        self._recipe = config.rand_augment.recipe()
        self._look = config.cctv.look()
        self._erasing = config.random_erasing.settings()
        self.size = config.rand_crop.size

    def __call__(
        self,
        picture: Picture,
        rng: np.random.Generator,
        out: Planes,
        *,
        scene: Callable[[np.random.Generator], Picture],
        crop_scale: Range | None = None,
    ) -> None:
        """Augment `picture` into `out`. `scene` provides a picture of nobody to shrink into."""
        patch = self.augment(picture, rng, scene=scene, crop_scale=crop_scale)
        normalise_into(patch[None], out[None])
        upright = out.transpose(1, 2, 0)
        erased = erase(upright, self._erasing, rng)
        if erased is not upright:
            out[...] = erased.transpose(2, 0, 1)

    def augment(
        self,
        picture: Picture,
        rng: np.random.Generator,
        *,
        scene: Callable[[np.random.Generator], Picture],
        crop_scale: Range | None = None,
    ) -> Picture:
        """The part before normalisation: uint8 (size, size, 3), as a person would see it."""
        config = self._config
        scale = crop_scale or config.rand_crop.scale
        if rng.random() < config.shrink.prob:
            picture = shrink_into_scene(picture, scene(rng), rng, share=config.shrink.share)
            scale = config.shrink.crop_scale
        patch = random_resized_crop(
            picture, self.size, rng, scale=scale, ratio=config.rand_crop.ratio
        )
        if rng.random() < config.flip_prob:
            patch = flip_horizontal(patch)
        if rng.random() < config.rand_augment.prob:
            patch = self._recipe(patch, rng)
        return degrade(patch, self._look, rng)


class EvalTransform:
    """The cut a network is judged by."""

    def __init__(self, config: EvalConfig) -> None:
        self._config = config
        self.size = config.size

    def __call__(self, picture: Picture, out: Planes) -> None:
        """Cut `picture` by the configured view into `out`."""
        normalise_into(self.cut(picture)[None], out[None])

    def cut(self, picture: Picture) -> Picture:
        """uint8 (size, size, 3)."""
        if self._config.view == "pulc":
            return centre_crop(resize_short(picture, self._config.resize_short), self.size)
        if self._config.view == "stretch":
            return stretch(picture, self.size, self.size)
        return letterbox(picture, self.size)
