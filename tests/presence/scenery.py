"""A made-up place before a camera: furniture, light, noise, and somebody who comes and goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.clock import Stamp
from monitor.imaging.scene import measure
from monitor.messages import Cut, Frame, Picture, Scene

SIDE = 224
EPOCH = Stamp(1000.0, datetime(2026, 3, 1, 22, 5, tzinfo=UTC))


def at(second: float) -> Stamp:
    return EPOCH.shifted(second)


@dataclass(frozen=True)
class Place:
    """What the camera looks at, and how.

    `light`: gain; `infrared`: without colours; `shift`: pixels the camera was turned by; `blur`:
    sigma in pixels; `cover`: share of the picture that is hidden by an even grey; `person`:
    where one stands, in pixels, `gesture`: how far a hand is raised; `noise`: sigma.
    """

    seed: int = 1
    light: float = 1.0
    infrared: bool = False
    shift: int = 0
    blur: float = 0.0
    cover: float = 0.0
    person: tuple[int, int] | None = None
    gesture: int = 0
    noise: float = 2.0

    def but(self, **changes: object) -> Place:
        return replace(self, **changes)  # type: ignore[arg-type]

    def picture(self, moment: int) -> Picture:
        """RGB uint8 (224, 224, 3) with the noise of that moment."""
        wide = _furniture(self.seed)
        picture = wide[:, self.shift : self.shift + SIDE].astype(np.float32)
        if self.person is not None:
            x, y = self.person
            cv2.rectangle(picture, (x, y), (x + 24, y + 70), (60, 80, 150), -1)
            cv2.circle(picture, (x + 12, y - 10), 11, (190, 150, 130), -1)
            hand = y + 30 - self.gesture
            cv2.rectangle(picture, (x + 24, hand), (x + 34, hand + 12), (190, 150, 130), -1)
        if self.infrared:
            grey = picture.mean(axis=2, keepdims=True, dtype=np.float32)
            picture = np.repeat(grey, 3, axis=2) * np.float32(0.7) + np.float32(30.0)
        if self.blur:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), self.blur), np.float32)
        picture *= self.light
        picture[: round(self.cover * SIDE)] = 70.0
        return np.asarray(np.clip(picture + self.noise * _noise(moment % 8), 0, 255), np.uint8)

    def scene(self, moment: int) -> Scene:
        """What the camera measures then; one of eight, for noise repeats after that."""
        return _measured(self, moment % 8)

    def frame(self, second: float) -> Frame:
        """The frame of that second, without a picture for people."""
        tenth = round(second * 10)
        nothing = np.zeros((1, 1, 3), np.uint8)
        return Frame("dock", tenth, at(second), second, (), nothing, self.scene(tenth))


@lru_cache(maxsize=512)
def _measured(place: Place, moment: int) -> Scene:
    picture = place.picture(moment)
    return measure(picture, [Cut("frame", picture[None])])


@lru_cache
def _noise(moment: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(moment).normal(0.0, 1.0, (SIDE, SIDE, 1))
    return np.asarray(noise, np.float32)


@lru_cache
def _furniture(seed: int) -> Picture:
    """A wall, a floor, and things of all sizes and colours; wider than the picture."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIDE, 2 * SIDE, 3), 150, np.uint8)
    picture[150:] = (110, 100, 90)
    for _ in range(70):
        x, y = int(rng.integers(0, 2 * SIDE)), int(rng.integers(0, SIDE))
        width, height = int(rng.integers(8, 50)), int(rng.integers(8, 50))
        colour = tuple(int(c) for c in rng.integers(20, 235, 3))
        cv2.rectangle(picture, (x, y), (x + width, y + height), colour, -1)
    return picture
