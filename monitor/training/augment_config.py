"""Settings of the augmentations; keys and defaults are PULC's where it has them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from monitor.config.base import ConfigModel
from monitor.training.augment import CctvLook, RandAugment, RandomErasing
from monitor.training.numbers import Probability, Range


class RandCropConfig(ConfigModel):
    """PaddleClas's RandCropImage."""

    size: int = Field(default=192, ge=16)
    scale: Range = (0.08, 1.0)
    """Share of the picture's area."""

    ratio: Range = (3.0 / 4.0, 4.0 / 3.0)
    """Aspect ratio, drawn uniformly."""


class RandAugmentConfig(ConfigModel):
    """PaddleClas's TimmAutoAugment."""

    prob: Probability = 0.0
    """Share of pictures it is applied to (PULC: 0)."""

    config_str: str = "rand-m9-mstd0.5-inc1"
    interpolation: Literal["bilinear", "bicubic", "random"] = "bicubic"

    def recipe(self) -> RandAugment:
        """The parsed recipe."""
        return RandAugment.parse(self.config_str, self.interpolation)

    @model_validator(mode="after")
    def _parses(self) -> Self:
        self.recipe()
        return self


class RandomErasingConfig(ConfigModel):
    """PaddleClas's RandomErasing, after normalisation."""

    epsilon: Probability = 0.1
    sl: Probability = 0.02
    sh: Probability = 1.0 / 3.0
    r1: Probability = 0.3
    attempt: int = Field(default=10, ge=1)
    use_log_aspect: bool = True
    mode: Literal["pixel", "rand", "const"] = "pixel"

    def settings(self) -> RandomErasing:
        """As the augmentation takes them."""
        return RandomErasing(
            self.epsilon, self.sl, self.sh, self.r1, self.attempt, self.use_log_aspect, self.mode
        )


class CctvConfig(ConfigModel):
    """Camera-like degradation; not in PULC, off unless `prob` is raised."""

    prob: Probability = 0.0
    grey: Probability = 0.3
    infrared: Probability = 0.15
    low_light: Probability = 0.2
    blur: Probability = 0.25
    noise: Probability = 0.3
    jpeg: Probability = 0.3
    low_resolution: Probability = 0.25

    def look(self) -> CctvLook:
        """As the augmentation takes it."""
        return CctvLook(**self.model_dump())


class ShrinkConfig(ConfigModel):
    """Small persons: the picture is pasted, shrunk, into a picture of nobody."""

    prob: Probability = 0.0
    share: Range = (0.3, 0.7)
    """Side of the shrunk picture as a share of the scene's."""

    crop_scale: Range = (0.5, 1.0)
    """Random crop's area after pasting: cutting as usual would often lose the small person."""


class AugmentConfig(ConfigModel):
    """The chain: shrink, crop, flip, RandAugment, CCTV look, normalise, erase."""

    shrink: ShrinkConfig = ShrinkConfig()
    rand_crop: RandCropConfig = RandCropConfig()
    flip_prob: Probability = 0.5
    rand_augment: RandAugmentConfig = RandAugmentConfig()
    cctv: CctvConfig = CctvConfig()
    random_erasing: RandomErasingConfig = RandomErasingConfig()
