"""How good scores are: TPR at a bounded FPR as PaddleClas defines it, and its companions.

Everywhere `scores` is P(someone) in [0, 1], shape (n,), float32 or float64, and `labels` is
shape (n,): 0 = nobody, anything else = someone. All functions are pure NumPy and raise
ValueError for shapes that do not match, for empty input and for scores that are not in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

GRID_STEPS = 10_000
"""Thresholds tried are 0.0000, 0.0001, …, 0.9999 (PaddleClas ppcls/metric/metrics.py)."""

ECE_BINS = 15
"""Equal-width bins of the expected calibration error."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class TprAtFpr:
    """An operating point: `score > threshold` finds `tpr` of the positives at `fpr`."""

    threshold: float
    fpr: float
    tpr: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a ROC curve (x = FPR, y = TPR) or a PR curve (x = recall, y = precision)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """What `bootstrap_intervals` found for each metric."""

    tpr: Interval
    auroc: Interval
    average_precision: Interval


def tpr_at_fpr(scores: ArrayLike, labels: ArrayLike, max_fpr: float = 1e-3) -> TprAtFpr:
    """The best TPR on PaddleClas's threshold grid whose FPR is at most `max_fpr`.

    Same numbers as `TprAtFpr` of PaddleClas (ppcls/metric/metrics.py): thresholds i/10000 for
    i = 0 … 9999, strict `score > threshold`, compared in the dtype of the scores, and of all
    thresholds with FPR ≤ `max_fpr` the first with the highest TPR. As TPR falls with the
    threshold that is the smallest admissible one, found here by sorting.

    Where PaddleClas has no answer: without positives TPR is 0.0; without negatives every
    threshold is admissible and FPR is 0.0; when even 0.9999 lets too many negatives pass the
    threshold is 1.0, which nothing exceeds, so both rates are 0.0.
    """
    values, positive = _checked(scores, labels)
    _check_rate(max_fpr)
    steps = _grid_steps(values)
    negatives = np.sort(steps[~positive])[::-1]
    allowed = allowed_false_positives(negatives.size, max_fpr)
    index = int(negatives[allowed]) if allowed < negatives.size else 0
    hits = int(np.count_nonzero(steps[positive] > index))
    alarms = int(np.count_nonzero(negatives > index))
    return TprAtFpr(
        threshold=index / GRID_STEPS,
        fpr=alarms / negatives.size if negatives.size else 0.0,
        tpr=hits / int(positive.sum()) if positive.any() else 0.0,
    )


def rates_at(scores: ArrayLike, labels: ArrayLike, threshold: float) -> TprAtFpr:
    """TPR and FPR at a given threshold under the running rule, `score >= threshold` = someone.

    The rule is ThreshOutput's of PaddleClas (`score < threshold` is nobody); the metric above
    uses a strict `>`. A rate over no pictures is 0.0.
    """
    values, positive = _checked(scores, labels)
    found = values >= values.dtype.type(threshold)
    return TprAtFpr(threshold, _share(found[~positive]), _share(found[positive]))


def allowed_false_positives(negatives: int, max_fpr: float) -> int:
    """The largest count of false alarms whose share of `negatives` is at most `max_fpr`."""
    count = min(negatives, int(max_fpr * negatives) + 1)
    while count and count / negatives > max_fpr:
        count -= 1
    return count


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve; a tie of a positive and a negative counts one half.

    NaN when one of the classes is missing.
    """
    tally = _Tally.of(scores, labels)
    return float(tally.auroc(tally.positives[None], tally.negatives[None])[0])


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean precision over the positives, step-wise, no interpolation (as scikit-learn's).

    NaN when there is no positive.
    """
    tally = _Tally.of(scores, labels)
    return float(tally.average_precision(tally.positives[None], tally.negatives[None])[0])


def calibration_error(scores: ArrayLike, labels: ArrayLike, bins: int = ECE_BINS) -> float:
    """Expected calibration error of P(someone) over equal-width bins of [0, 1].

    Each bin weighs |mean score − share of positives| by its share of the pictures (Naeini et
    al. 2015, for the probability of the positive class). Score 1.0 is in the last bin.
    """
    values, positive = _checked(scores, labels)
    wide = values.astype(np.float64)
    index = np.minimum((wide * bins).astype(np.int64), bins - 1)
    confidence = np.bincount(index, weights=wide, minlength=bins)
    truth = np.bincount(index, weights=positive.astype(np.float64), minlength=bins)
    return float(np.abs(confidence - truth).sum() / values.size)


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """TPR over FPR, one point per distinct score, from (0, 0) at threshold ∞ to (1, 1).

    The point of threshold t counts `score >= t`. NaN where a class is missing.
    """
    tally = _Tally.of(scores, labels)
    hits = np.concatenate([[0], np.cumsum(tally.positives)])
    alarms = np.concatenate([[0], np.cumsum(tally.negatives)])
    thresholds = np.concatenate([[np.inf], tally.values.astype(np.float64)])
    return Curve(_divide(alarms, alarms[-1]), _divide(hits, hits[-1]), thresholds)


def pr_curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """Precision over recall, one point per distinct score, recall rising.

    The point of threshold t counts `score >= t`.
    """
    tally = _Tally.of(scores, labels)
    hits = np.cumsum(tally.positives)
    found = hits + np.cumsum(tally.negatives)
    return Curve(_divide(hits, hits[-1]), _divide(hits, found), tally.values.astype(np.float64))


def bootstrap_intervals(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    max_fpr: float = 1e-3,
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Percentile intervals of TPR at `max_fpr`, AUROC and AP from `rounds` seeded resamples.

    Stratified: positives and negatives are drawn with replacement, each in their own number.
    With fewer than 1/`max_fpr` negatives the interval is still that of the sample's own tail:
    it cannot know the false alarms that were never seen. Raises ValueError unless both
    classes are present.
    """
    _check_rate(max_fpr)
    tally = _Tally.of(scores, labels)
    if not tally.positives.any() or not tally.negatives.any():
        raise ValueError("a confidence interval needs pictures of both classes")
    rng = np.random.default_rng(seed)
    samples = np.empty((3, rounds))
    chunk = max(1, 4_000_000 // (int(tally.positives.sum() + tally.negatives.sum())))
    for start in range(0, rounds, chunk):
        part = slice(start, min(rounds, start + chunk))
        size = part.stop - part.start
        positives = _resample(rng, tally.positives, size)
        negatives = _resample(rng, tally.negatives, size)
        samples[0, part] = tally.tpr_at_fpr(positives, negatives, max_fpr)
        samples[1, part] = tally.auroc(positives, negatives)
        samples[2, part] = tally.average_precision(positives, negatives)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail], axis=1)
    tpr, area, precision = (Interval(float(a), float(b)) for a, b in zip(low, high, strict=True))
    return Intervals(tpr, area, precision)


@dataclass(frozen=True, slots=True)
class _Tally:
    """Distinct scores in falling order, with how many of each class have them.

    The methods take counts of shape (rounds, m) over the same m values, so that resamples are
    measured all at once; they return shape (rounds,).
    """

    values: Floats
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike) -> _Tally:
        values, positive = _checked(scores, labels)
        distinct, index = np.unique(values, return_inverse=True)
        count = distinct.size
        return cls(
            distinct[::-1],
            np.bincount(index[positive], minlength=count)[::-1],
            np.bincount(index[~positive], minlength=count)[::-1],
        )

    def auroc(
        self, positives: NDArray[np.int64], negatives: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        total = negatives.sum(axis=1)
        below = total[:, None] - np.cumsum(negatives, axis=1)
        wins = (positives * (below + negatives / 2.0)).sum(axis=1)
        return _divide(wins, positives.sum(axis=1) * total)

    def average_precision(
        self, positives: NDArray[np.int64], negatives: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        hits = np.cumsum(positives, axis=1)
        found = hits + np.cumsum(negatives, axis=1)
        precision = hits / np.maximum(found, 1)
        return _divide((positives * precision).sum(axis=1), hits[:, -1])

    def tpr_at_fpr(
        self, positives: NDArray[np.int64], negatives: NDArray[np.int64], max_fpr: float
    ) -> NDArray[np.float64]:
        steps = _grid_steps(self.values)
        alarms = np.cumsum(negatives, axis=1)
        allowed = allowed_false_positives(int(alarms[0, -1]), max_fpr)
        beyond = alarms > allowed
        first = np.argmax(beyond, axis=1)
        index = np.where(beyond.any(axis=1), steps[first], 0)
        kept = np.searchsorted(-steps, -index, side="left")
        hits = np.concatenate(
            [np.zeros((len(positives), 1), np.int64), np.cumsum(positives, axis=1)], axis=1
        )
        return _divide(np.take_along_axis(hits, kept[:, None], axis=1)[:, 0], hits[:, -1])


def _resample(
    rng: np.random.Generator, counts: NDArray[np.int64], rounds: int
) -> NDArray[np.int64]:
    """`rounds` draws with replacement of a population given as counts; shape (rounds, m)."""
    population = np.repeat(np.arange(counts.size), counts)
    drawn = population[rng.integers(0, population.size, (rounds, population.size))]
    drawn += np.arange(rounds)[:, None] * counts.size
    flat = np.bincount(drawn.ravel(), minlength=rounds * counts.size)
    return flat.reshape(rounds, counts.size)


def _grid_steps(values: Floats) -> NDArray[np.int64]:
    """How many grid thresholds each score exceeds: `score > i/10000` exactly for i < steps.

    The grid is compared in the scores' dtype, as NumPy does for PaddleClas's float32 scores.
    """
    grid = (np.arange(GRID_STEPS) / GRID_STEPS).astype(values.dtype)
    return np.searchsorted(grid, values, side="left")


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values = np.asarray(scores)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    positive = np.asarray(labels) != 0
    if values.ndim != 1 or values.shape != positive.shape:
        raise ValueError(
            f"scores and labels must be two lists of one length, got {values.shape} "
            f"and {positive.shape}"
        )
    if values.size == 0:
        raise ValueError("there are no scores to measure")
    if not bool(np.all((values >= 0.0) & (values <= 1.0))):
        raise ValueError("scores must be probabilities in [0, 1]; found NaN or others")
    return values, positive


def _check_rate(max_fpr: float) -> None:
    if not 0.0 <= max_fpr <= 1.0:
        raise ValueError(f"max_fpr must be within [0, 1], got {max_fpr}")


def _share(found: NDArray[np.bool_]) -> float:
    return float(found.mean()) if found.size else 0.0


def _divide(above: NDArray[Any], below: NDArray[Any] | np.integer[Any]) -> NDArray[np.float64]:
    """Quotients, NaN where the divisor is zero."""
    divisor = np.asarray(below, dtype=np.float64)
    return np.asarray(above, np.float64) / np.where(divisor == 0.0, np.nan, divisor)
