"""Which pictures an epoch shows and in which order: a pure function of seed and epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
Order = NDArray[np.int64]


def epoch_order(weights: Weights, seed: int, epoch: int) -> Order:
    """Indices of one epoch, shuffled; picture i occurs `weights[i]` times on average.

    Systematic resampling: an epoch has exactly `round(sum(weights))` pictures, a picture occurs
    at least floor(w) and at most ceil(w) times, and with all weights 1 each occurs once.
    """
    rng = np.random.default_rng([seed, epoch])
    shuffled = rng.permutation(weights.size)
    edges = np.cumsum(weights[shuffled])
    count = epoch_length(weights)
    marks = (np.arange(count) + rng.random()) * (edges[-1] / count)
    drawn = shuffled[np.minimum(np.searchsorted(edges, marks, side="right"), weights.size - 1)]
    return np.asarray(rng.permutation(drawn), np.int64)


def epoch_length(weights: Weights) -> int:
    """Pictures in an epoch, at least one."""
    return max(1, round(float(weights.sum())))


def balanced(weights: Weights, labels: NDArray[np.int64]) -> Weights:
    """Weights scaled so that classes 0 and 1 weigh the same in sum, the total unchanged.

    Pictures of other labels (unlabelled ones) keep theirs.
    """
    result = weights.copy()
    sums = [float(weights[labels == label].sum()) for label in (0, 1)]
    if min(sums) <= 0.0:
        return result
    for label, total in enumerate(sums):
        result[labels == label] *= sum(sums) / 2.0 / total
    return result


def share_of(order: Order, rank: int, world: int) -> Order:
    """The part of an epoch one of `world` processes works on.

    As PaddleClas's DistributedBatchSampler: the start is repeated until all get equally many.
    """
    missing = -order.size % world
    padded = np.concatenate([order, np.resize(order, missing)]) if missing else order
    return padded[rank::world]
