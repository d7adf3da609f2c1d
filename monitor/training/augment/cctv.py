"""What surveillance cameras do to pictures: grey and infrared, noise, blur, JPEG, low light.

The networks of PULC learn from photographs. A camera's frame differs in two ways: its pixels
(`degrade`) and its geometry, people being small in it (`shrink_into_scene`, `tile_crop`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.messages import Picture


@dataclass(frozen=True, slots=True)
class CctvLook:
    """Probability of each degradation, in [0, 1]; `prob` that any is tried at all."""

    prob: float = 0.0
    grey: float = 0.3
    infrared: float = 0.15
    low_light: float = 0.2
    blur: float = 0.25
    noise: float = 0.3
    jpeg: float = 0.3
    low_resolution: float = 0.25


def degrade(picture: Picture, look: CctvLook, rng: np.random.Generator) -> Picture:
    """Pass an RGB uint8 picture through a random poor camera; the shape stays.

    The order is a camera's own: light, optics, sensor, encoder.
    """
    if rng.random() >= look.prob:
        return picture
    chance = rng.random(7)
    result = picture
    if chance[0] < look.grey:
        result = to_grey(result)
    if chance[1] < look.infrared:
        result = to_infrared(result, rng)
    if chance[2] < look.low_light:
        result = to_low_light(result, rng)
    if chance[3] < look.low_resolution:
        result = to_low_resolution(result, rng)
    if chance[4] < look.blur:
        result = blur(result, rng)
    if chance[5] < look.noise:
        result = add_noise(result, rng)
    if chance[6] < look.jpeg:
        result = compress(result, rng)
    return result


def to_grey(picture: Picture) -> Picture:
    """Three equal channels of BT.601 luma."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def to_infrared(picture: Picture, rng: np.random.Generator) -> Picture:
    """Night vision: grey, red weighs most, bright in the lamp's cone and dark around it."""
    height, width = picture.shape[:2]
    weights = np.array([0.55, 0.30, 0.15], np.float32)
    luma = picture.astype(np.float32) @ weights
    centre_x, centre_y = rng.uniform(0.3, 0.7, 2)
    reach = rng.uniform(0.5, 1.1)
    x = np.linspace(0.0, 1.0, width, dtype=np.float32) - np.float32(centre_x)
    y = np.linspace(0.0, 1.0, height, dtype=np.float32) - np.float32(centre_y)
    lamp = np.exp(-(x[None, :] ** 2 + y[:, None] ** 2) / (2.0 * reach**2)).astype(np.float32)
    lit = _to_bytes(luma * lamp * np.float32(rng.uniform(0.8, 1.4)))
    return np.repeat(lit[:, :, None], 3, axis=2)


def to_low_light(picture: Picture, rng: np.random.Generator) -> Picture:
    """Underexposed: a gamma of 1–2.5 and a gain of 0.25–0.8."""
    gamma, gain = rng.uniform(1.0, 2.5), rng.uniform(0.25, 0.8)
    levels = np.linspace(0.0, 1.0, 256) ** gamma * gain * 255.0
    table = _to_bytes(levels.astype(np.float32))
    return np.asarray(cv2.LUT(picture, table), np.uint8)


def to_low_resolution(picture: Picture, rng: np.random.Generator) -> Picture:
    """Shrunk to 30–80 % and enlarged again: a far or cheap lens."""
    height, width = picture.shape[:2]
    share = rng.uniform(0.3, 0.8)
    small = (max(8, round(width * share)), max(8, round(height * share)))
    shrunk = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def blur(picture: Picture, rng: np.random.Generator) -> Picture:
    """Out of focus (Gaussian) or moving (a line of 3–9 pixels at a random angle)."""
    if rng.random() < 0.5:
        sigma = float(rng.uniform(0.5, 2.0))
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
    length = int(rng.integers(1, 5)) * 2 + 1
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1.0
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), float(rng.uniform(0, 180)), 1.0)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
    kernel /= max(float(kernel.sum()), 1e-6)
    return np.asarray(cv2.filter2D(picture, -1, kernel), np.uint8)


def add_noise(picture: Picture, rng: np.random.Generator) -> Picture:
    """Sensor noise of 3–20 levels, in half of the cases the same in all three channels."""
    height, width = picture.shape[:2]
    channels = 1 if rng.random() < 0.5 else 3
    noise = rng.standard_normal((height, width, channels), dtype=np.float32)
    return _to_bytes(picture.astype(np.float32) + noise * np.float32(rng.uniform(3.0, 20.0)))


def compress(picture: Picture, rng: np.random.Generator) -> Picture:
    """A JPEG of quality 15–60 with subsampled colours, as cheap encoders do."""
    quality = int(rng.integers(15, 61))
    _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[:, :, ::-1])


def shrink_into_scene(
    picture: Picture,
    scene: Picture,
    rng: np.random.Generator,
    *,
    share: tuple[float, float] = (0.3, 0.7),
) -> Picture:
    """Paste `picture`, shrunk to `share` of the scene's sides, somewhere into `scene`.

    Makes its persons small and far. The scene should show nobody, or the label is the
    picture's OR the scene's. The seam is feathered, so that the border is no give-away.
    """
    height, width = scene.shape[:2]
    factor = rng.uniform(*share) * min(height / picture.shape[0], width / picture.shape[1])
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    left = int(rng.integers(0, width - size[0] + 1))
    top = int(rng.integers(0, height - size[1] + 1))
    mask = _feathered(size[1], size[0])
    pasted = scene.copy()
    below = pasted[top : top + size[1], left : left + size[0]].astype(np.float32)
    pasted[top : top + size[1], left : left + size[0]] = _to_bytes(
        small * mask + below * (np.float32(1.0) - mask)
    )
    return pasted


def tile_crop(
    picture: Picture, rng: np.random.Generator, *, share: tuple[float, float] = (0.5, 0.7)
) -> Picture:
    """One corner, edge or middle tile of `share` of both sides, as the `tiles` view cuts them."""
    height, width = picture.shape[:2]
    part = rng.uniform(*share)
    tall, wide = max(1, round(height * part)), max(1, round(width * part))
    column, row = rng.integers(0, 3, 2)
    left, top = (width - wide) * int(column) // 2, (height - tall) * int(row) // 2
    return np.ascontiguousarray(picture[top : top + tall, left : left + wide])


def _feathered(height: int, width: int) -> NDArray[np.float32]:
    """1 inside, falling to 0 over the outer 6 % of each side; float32 (height, width, 1)."""
    y = np.minimum(np.arange(height), np.arange(height)[::-1]) / max(1.0, 0.06 * height)
    x = np.minimum(np.arange(width), np.arange(width)[::-1]) / max(1.0, 0.06 * width)
    mask = np.minimum(1.0, y)[:, None] * np.minimum(1.0, x)[None, :]
    return mask[:, :, None].astype(np.float32)


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0.0, 255.0).astype(np.uint8)
