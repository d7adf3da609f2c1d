"""Random crop and flip, as PaddleClas's `RandCropImage` and `RandFlipImage` do them.

Numbers and order of draws: PaddleClas ppcls/data/preprocess/ops/operators.py.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from monitor.messages import Picture

INTERPOLATION = cv2.INTER_LINEAR


def random_resized_crop(
    picture: Picture,
    size: int,
    rng: np.random.Generator,
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3.0 / 4.0, 4.0 / 3.0),
) -> Picture:
    """Cut a random rectangle and resize it to `size` × `size`.

    As PaddleClas: the aspect ratio's square root is drawn from `ratio` uniformly (not in its
    logarithm), then the area from `scale`, capped so that the rectangle fits the picture.
    """
    height, width = picture.shape[:2]
    aspect = math.sqrt(rng.uniform(*ratio))
    wide, high = aspect, 1.0 / aspect
    bound = min((width / height) / wide**2, (height / width) / high**2)
    largest = min(scale[1], bound)
    smallest = min(scale[0], bound)
    area = height * width * rng.uniform(smallest, largest)
    side = math.sqrt(area)
    crop_width = max(1, min(width, int(side * wide)))
    crop_height = max(1, min(height, int(side * high)))
    left = int(rng.integers(0, width - crop_width + 1))
    top = int(rng.integers(0, height - crop_height + 1))
    crop = picture[top : top + crop_height, left : left + crop_width]
    return np.asarray(cv2.resize(crop, (size, size), interpolation=INTERPOLATION), np.uint8)


def flip_horizontal(picture: Picture) -> Picture:
    """The picture mirrored left to right (PaddleClas flip code 1)."""
    return np.ascontiguousarray(picture[:, ::-1])
