"""Random erasing: a rectangle of the normalised picture becomes noise or a constant.

Numbers and order of draws: PaddleClas ppcls/data/preprocess/ops/random_erasing.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RandomErasing:
    """Settings, named as in PULC's configuration.

    `probability` (EPSILON) that anything is erased; `smallest`, `largest` (sl, sh): share of the
    picture's area; `aspect` (r1): lowest aspect ratio, its inverse is the highest; `attempts`
    to find a rectangle that fits; `fill`: one noise value a pixel, one a rectangle, or zero.
    """

    probability: float = 0.1
    smallest: float = 0.02
    largest: float = 1.0 / 3.0
    aspect: float = 0.3
    attempts: int = 10
    log_aspect: bool = True
    fill: Literal["pixel", "rand", "const"] = "pixel"


def erase(pixels: Pixels, settings: RandomErasing, rng: np.random.Generator) -> Pixels:
    """Erase a rectangle of a normalised float32 (height, width, 3) picture, or nothing."""
    if rng.random() > settings.probability:
        return pixels
    height, width, channels = pixels.shape
    low, high = settings.aspect, 1.0 / settings.aspect
    for _ in range(settings.attempts):
        area = rng.uniform(settings.smallest, settings.largest) * height * width
        if settings.log_aspect:
            aspect = math.exp(rng.uniform(math.log(low), math.log(high)))
        else:
            aspect = rng.uniform(low, high)
        tall = round(math.sqrt(area * aspect))
        wide = round(math.sqrt(area / aspect))
        if not (0 < tall < height and 0 < wide < width):
            continue
        top = int(rng.integers(0, height - tall + 1))
        left = int(rng.integers(0, width - wide + 1))
        erased = pixels.copy()
        erased[top : top + tall, left : left + wide] = _fill(
            settings.fill, (tall, wide, channels), rng
        )
        return erased
    return pixels


def _fill(fill: str, shape: tuple[int, int, int], rng: np.random.Generator) -> Pixels:
    if fill == "pixel":
        return rng.standard_normal(shape, dtype=np.float32)
    if fill == "rand":
        return rng.standard_normal((1, 1, shape[2]), dtype=np.float32)
    return np.zeros((1, 1, shape[2]), np.float32)
