"""RandAugment as timm does it, e.g. `rand-m9-mstd0.5-inc1`, on Pillow's operations.

Operation set, levels and probabilities: PaddleClas ppcls/data/preprocess/ops/timm_autoaugment.py
(itself after timm). Each of `layers` operations is drawn with replacement, applied with
probability 1/2, its magnitude drawn from N(magnitude, magnitude_std) and clipped to [0, 10].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from monitor.messages import Picture

MAX_LEVEL = 10.0
FILL = (124, 116, 104)
"""ImageNet's mean colour, round(255 × mean)."""

_Resample = Image.Resampling
_RESAMPLE: Mapping[str, Image.Resampling] = {
    "bilinear": _Resample.BILINEAR,
    "bicubic": _Resample.BICUBIC,
}
_AFFINE = Image.Transform.AFFINE

Operation = Callable[[Image.Image, float, Image.Resampling], Image.Image]
"""(picture, strength, resampling) → picture. Strength is the level as a share of 10, in [0, 1],
negated at random where the operation has two directions."""


def _affine(
    picture: Image.Image, matrix: tuple[float, ...], resample: Image.Resampling
) -> Image.Image:
    return picture.transform(picture.size, _AFFINE, matrix, resample=resample, fillcolor=FILL)


def _solarize_add(picture: Image.Image, strength: float, _: Image.Resampling) -> Image.Image:
    add = int(strength * 110)
    table = [min(255, value + add) if value < 128 else value for value in range(256)]
    return picture.point(table * len(picture.getbands()))


def _posterize(picture: Image.Image, bits: int) -> Image.Image:
    # Zero bits is a black picture in Pillow's terms too; timm keeps it, and so does this.
    if bits >= 8:
        return picture
    if bits <= 0:
        return Image.new(picture.mode, picture.size)
    return ImageOps.posterize(picture, bits)


_SIGNED: dict[str, Operation] = {
    "Rotate": lambda im, s, r: im.rotate(30.0 * s, resample=r, fillcolor=FILL),
    "ShearX": lambda im, s, r: _affine(im, (1, 0.3 * s, 0, 0, 1, 0), r),
    "ShearY": lambda im, s, r: _affine(im, (1, 0, 0, 0.3 * s, 1, 0), r),
    "TranslateXRel": lambda im, s, r: _affine(im, (1, 0, 0.45 * s * im.size[0], 0, 1, 0), r),
    "TranslateYRel": lambda im, s, r: _affine(im, (1, 0, 0, 0, 1, 0.45 * s * im.size[1]), r),
}
_SIGNED_WHEN_INCREASING: dict[str, Operation] = {
    "Color": lambda im, s, _: ImageEnhance.Color(im).enhance(1.0 + 0.9 * s),
    "Contrast": lambda im, s, _: ImageEnhance.Contrast(im).enhance(1.0 + 0.9 * s),
    "Brightness": lambda im, s, _: ImageEnhance.Brightness(im).enhance(1.0 + 0.9 * s),
    "Sharpness": lambda im, s, _: ImageEnhance.Sharpness(im).enhance(1.0 + 0.9 * s),
}
_PLAIN: dict[str, Operation] = {
    "AutoContrast": lambda im, _, __: ImageOps.autocontrast(im),
    "Equalize": lambda im, _, __: ImageOps.equalize(im),
    "Invert": lambda im, _, __: ImageOps.invert(im),
    "SolarizeAdd": _solarize_add,
}
_INCREASING: dict[str, Operation] = {
    "Posterize": lambda im, s, _: _posterize(im, 4 - int(s * 4)),
    "Solarize": lambda im, s, _: ImageOps.solarize(im, 256 - int(s * 256)),
}
_DECREASING: dict[str, Operation] = {
    "Posterize": lambda im, s, _: _posterize(im, int(s * 4)),
    "Solarize": lambda im, s, _: ImageOps.solarize(im, int(s * 256)),
    "Color": lambda im, s, _: ImageEnhance.Color(im).enhance(0.1 + 1.8 * s),
    "Contrast": lambda im, s, _: ImageEnhance.Contrast(im).enhance(0.1 + 1.8 * s),
    "Brightness": lambda im, s, _: ImageEnhance.Brightness(im).enhance(0.1 + 1.8 * s),
    "Sharpness": lambda im, s, _: ImageEnhance.Sharpness(im).enhance(0.1 + 1.8 * s),
}


@dataclass(frozen=True, slots=True)
class RandAugment:
    """A parsed recipe; apply it with `__call__`. `increasing`: severity grows with magnitude."""

    magnitude: float = 10.0
    layers: int = 2
    magnitude_std: float = 0.0
    increasing: bool = False
    interpolation: Literal["bilinear", "bicubic", "random"] = "bicubic"

    @classmethod
    def parse(
        cls, text: str, interpolation: Literal["bilinear", "bicubic", "random"] = "bicubic"
    ) -> RandAugment:
        """Read `rand-m9-n2-mstd0.5-inc1`; the defaults are timm's: m 10, n 2, mstd 0, inc 0.

        Raises ValueError for any other text.
        """
        kind, *sections = text.split("-")
        if kind != "rand":
            raise ValueError(f"{text!r} is no RandAugment recipe; write e.g. rand-m9-mstd0.5-inc1")
        values: dict[str, float] = {}
        for section in sections:
            match = re.fullmatch(r"(mstd|inc|m|n)(\d+(?:\.\d+)?)", section)
            if match is None:
                raise ValueError(f"{section!r} in {text!r} is unknown; known: m, n, mstd, inc")
            values[match[1]] = float(match[2])
        return cls(
            magnitude=values.get("m", 10.0),
            layers=int(values.get("n", 2)),
            magnitude_std=values.get("mstd", 0.0),
            increasing=bool(values.get("inc", 0)),
            interpolation=interpolation,
        )

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the operations drawn from: fifteen, of the two variants timm has."""
        return _names(self.increasing)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """Augment an RGB uint8 picture; the same generator state gives the same picture."""
        image = Image.fromarray(picture)
        for index in rng.integers(0, len(self.operations), self.layers):
            if rng.random() > 0.5:
                continue
            image = self.apply(image, self.operations[int(index)], rng)
        return np.array(image, np.uint8)

    def apply(self, image: Image.Image, name: str, rng: np.random.Generator) -> Image.Image:
        """Apply one operation by name with a random magnitude and direction."""
        level = rng.normal(self.magnitude, self.magnitude_std)
        strength = min(MAX_LEVEL, max(0.0, level)) / MAX_LEVEL
        resample = self._resample(rng)
        if name in _SIGNED or (self.increasing and name in _SIGNED_WHEN_INCREASING):
            strength = -strength if rng.random() > 0.5 else strength
        return _table(self.increasing)[name](image, strength, resample)

    def _resample(self, rng: np.random.Generator) -> Image.Resampling:
        if self.interpolation == "random":
            return _RESAMPLE["bicubic" if rng.random() > 0.5 else "bilinear"]
        return _RESAMPLE[self.interpolation]


_TABLES: dict[bool, dict[str, Operation]] = {
    True: {**_PLAIN, **_SIGNED, **_INCREASING, **_SIGNED_WHEN_INCREASING},
    False: {**_PLAIN, **_SIGNED, **_DECREASING},
}
_NAMES = {increasing: tuple(sorted(table)) for increasing, table in _TABLES.items()}


def _table(increasing: bool) -> dict[str, Operation]:
    return _TABLES[increasing]


def _names(increasing: bool) -> tuple[str, ...]:
    return _NAMES[increasing]
