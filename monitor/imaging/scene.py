"""What a picture is like, whoever is in it: cheap numbers for the scene guards."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.imaging.preprocess import SIDE
from monitor.imaging.views import check_picture
from monitor.messages import Cut, Picture, Scene

SMALL = 56
"""Edge in cells of the luma that goes along: a quarter of the network's input."""


def measure(picture: Picture, cuts: Iterable[Cut] = ()) -> Scene:
    """Measure a whole RGB `picture` (uint8, privacy masks applied) and the zones cut from it.

    The picture is best given at 224 × 224, as a view that sees all of it makes it: others are
    squeezed to that first, in the quickest way. A zone is measured by its first patch, which
    shows all of it. Raises ValueError if it is no RGB picture.
    """
    check_picture(picture)
    if picture.shape[:2] != (SIDE, SIDE):
        quick = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        picture = np.asarray(quick, np.uint8)
    luma = _luma(picture)
    shrunk = _shrunk(luma)
    brightness, contrast = cv2.meanStdDev(luma)
    small = np.asarray(cv2.resize(picture, (SMALL, SMALL), interpolation=cv2.INTER_AREA), np.uint8)
    red, green, blue = cv2.split(small)
    strongest, weakest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    _, roughness = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    return Scene(
        brightness=float(brightness[0, 0]),
        contrast=float(contrast[0, 0]),
        saturation=float(cv2.mean(cv2.subtract(strongest, weakest))[0]),
        sharpness=float(roughness[0, 0]) ** 2,
        luma=shrunk,
        zones={
            cut.zone: shrunk
            if np.may_share_memory(cut.patches, picture)
            else _shrunk(_luma(np.asarray(cut.patches[0], np.uint8)))
            for cut in cuts
        },
    )


def _luma(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _shrunk(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(luma, (SMALL, SMALL), interpolation=cv2.INTER_AREA), np.uint8)
