"""How alike two pictures are, on 56 × 56 cells of luma: what moved, and whether the view stays.

The view is compared by its edges, which stay where they are when the light changes. The picture
is seven by seven blocks of eight by eight cells; in a block with enough texture the gradients'
cosine says whether it still shows the same, and their energy whether it shows anything at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.messages import Scene

Luma = NDArray[np.uint8]
Grid = NDArray[np.float32]

BLOCKS = 7
"""Blocks along each edge."""

TEXTURE = 3.0
"""Root mean square of a block's gradient, in grey levels a cell, from which it has texture."""

ENOUGH_BLOCKS = 6
"""Blocks with texture that it takes to judge a view."""

SAME_PATTERN = 0.4
"""A block whose gradients' cosine with the usual is lower shows something else."""

LOST_TEXTURE = 0.2
"""A block with less than this share of its usual energy shows nothing any more."""

NOISIEST = 3.0
"""Grey levels of noise a cell at most: what differs more in half of the cells is no noise, but
something as large as that."""

USUAL_AFTER = 600.0
"""Time constant in seconds with which the usual view follows what is seen."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a camera usually shows. `gradients`: float32 (2, 56, 56); `seconds`: how long seen."""

    gradients: Grid
    sharpness: float
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Likeness:
    """A picture against the usual view, in shares of the blocks that have texture there.

    `lost`: show nothing any more. `differs`: show something else, or nothing. `sharpness`: as a
    multiple of the usual.
    """

    lost: float
    differs: float
    sharpness: float


def view_of(scene: Scene) -> View:
    """A picture taken for a view."""
    luma = scene.luma.astype(np.float32)
    slopes = [cv2.Sobel(luma, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    return View(np.asarray(slopes, np.float32), scene.sharpness)


def likeness(view: View, usual: View) -> Likeness | None:
    """How alike; None if the usual view has too little texture to tell."""
    energy = _by_block(view.gradients**2)
    wanted = _by_block(usual.gradients**2)
    textured = wanted >= TEXTURE**2
    if textured.sum() < ENOUGH_BLOCKS:
        return None
    cosine = _by_block(view.gradients * usual.gradients) / np.sqrt(energy * wanted + 1e-9)
    lost = energy < LOST_TEXTURE * wanted
    return Likeness(
        lost=float(lost[textured].mean()),
        differs=float((lost | (cosine < SAME_PATTERN))[textured].mean()),
        sharpness=view.sharpness / max(usual.sharpness, 1e-9),
    )


def learned(usual: View, view: View, seconds: float) -> View:
    """The usual view after seeing `view` for so long: a mean at first, then a slow average."""
    whole = usual.seconds + seconds
    rate = max(seconds / whole, 1.0 - float(np.exp(-seconds / USUAL_AFTER))) if whole else 1.0
    return View(
        usual.gradients + np.float32(rate) * (view.gradients - usual.gradients),
        usual.sharpness + rate * (view.sharpness - usual.sharpness),
        whole,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What is different between two pictures, apart from one more or less of light for all.

    `distance`: float32 (56, 56), by how many grey levels each cell differs, light for all apart.
    `noise`: standard deviation of cells in which nothing moved. `mean`, `change`: mean difference,
    and mean of its amounts, light included. `agreement`: share of the cells that became brighter,
    or darker, as the mean did, by four grey levels at least.
    """

    distance: Grid
    noise: float
    mean: float
    change: float
    agreement: float

    def moved(self, least: float) -> NDArray[np.bool_]:
        """Cells that differ by `least` grey levels, and by six times the noise."""
        return np.asarray(self.distance > max(least, 6.0 * self.noise))


def motion(luma: Grid, before: Grid) -> Motion:
    """Compare two lumas. The noise is read off every third row and column: most of a picture
    stands still."""
    difference = luma - before
    some = difference[::3, ::3].ravel()
    shift = _median(some)
    noise = min(1.4826 * float(_median(np.abs(some - shift))), NOISIEST)
    mean = float(difference.mean())
    agreeing = float((np.sign(mean) * difference >= 4.0).mean())
    change = float(np.abs(difference).mean())
    return Motion(np.abs(difference - shift), noise, mean, change, agreeing)


def _median(values: NDArray[np.float32]) -> np.float32:
    """The upper one of an even number; NumPy's own takes three times as long."""
    middle: np.float32 = np.partition(values, values.size // 2)[values.size // 2]
    return middle


def patches(moved: NDArray[np.bool_]) -> int:
    """How many separate places moved."""
    return int(cv2.connectedComponents(moved.view(np.uint8), connectivity=8)[0]) - 1


def _by_block(cells: Grid) -> NDArray[np.float32]:
    """Mean over each block of (2, 56, 56) values, the two directions added."""
    both = cv2.add(cells[0], cells[1])
    return np.asarray(cv2.resize(both, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA), np.float32)
