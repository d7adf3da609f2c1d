"""Augmentations: pure functions of a picture and a seeded `numpy.random.Generator`."""

from __future__ import annotations

from monitor.training.augment.cctv import CctvLook, degrade, shrink_into_scene, tile_crop
from monitor.training.augment.erasing import RandomErasing, erase
from monitor.training.augment.geometry import flip_horizontal, random_resized_crop
from monitor.training.augment.randaugment import RandAugment

__all__ = [
    "CctvLook",
    "RandAugment",
    "RandomErasing",
    "degrade",
    "erase",
    "flip_horizontal",
    "random_resized_crop",
    "shrink_into_scene",
    "tile_crop",
]
