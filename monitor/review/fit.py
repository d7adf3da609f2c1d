"""What scores mean at a site: Platt's two numbers, or an isotonic table, from labelled traces.

Mode evidence gives its meaning to what a score counts for beside the empty zone, so the fit is on
that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.config.presence import CalibrationConfig
from monitor.review.simulate import apply_calibration
from monitor.review.trace import SURE, Numbers, Trace, odds_of

BLOCK = 30.0
"""Seconds that stay together when fits are tried on what they have not seen."""

FOLDS = 5

KNOTS = 24
"""The most rows of a table."""

MOST_SURE = 0.001
"""A table says neither 0 nor 1: nobody has seen that much."""

BINS = 15
"""Of the expected calibration error."""

STRAIGHTEST = 50.0
"""The steepest slope; classes without overlap would have none."""

Labels = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Quality:
    """Both classes weigh the same. `log_loss` in nats; `brier` and `ece` in [0, 1], 0 is best."""

    log_loss: float
    brier: float
    ece: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The calibration that was better on scores it had not seen, and all that were tried.

    `quality`: of `as_is`, `platt`, `isotonic` by cross-validation. `auroc`: of what scores counted
    for before.
    """

    calibration: CalibrationConfig
    kind: str
    quality: dict[str, Quality]
    auroc: float


@dataclass(frozen=True, slots=True)
class Labelled:
    """What scores counted for, 0 or 1 for each, and the block it is of; `weight` makes the classes
    even."""

    score: Numbers
    label: Labels
    block: NDArray[np.int64]

    @property
    def weight(self) -> Numbers:
        ones = max(int((self.label == 1).sum()), 1)
        zeros = max(int((self.label == 0).sum()), 1)
        return np.where(self.label == 1, 0.5 / ones, 0.5 / zeros)

    def only(self, chosen: NDArray[np.bool_]) -> Labelled:
        return Labelled(self.score[chosen], self.label[chosen], self.block[chosen])

    @property
    def has_both(self) -> bool:
        return bool((self.label == 1).any() and (self.label == 0).any())


def labelled(traces: Sequence[Trace]) -> Labelled:
    """All scores that are clearly within or outside a visit."""
    scores, labels, blocks = [np.zeros(0)], [np.zeros(0, np.int8)], [np.zeros(0, np.int64)]
    first = 0
    for trace in traces:
        label = trace.occupied()
        clear = label >= 0
        scores.append(trace.counts[clear])
        labels.append(label[clear])
        blocks.append(first + np.floor(trace.at[clear] / BLOCK).astype(np.int64))
        first += int(trace.at[-1] / BLOCK) + 1 if trace.at.size else 0
    return Labelled(np.concatenate(scores), np.concatenate(labels), np.concatenate(blocks))


def fit(data: Labelled) -> Fit:
    """Fit both ways and keep the one with the lower log loss on blocks left out.

    Raises ImportError without scikit-learn, ValueError unless there are scores of both classes.
    """
    if not data.has_both:
        raise ValueError("a calibration takes scores of both classes")
    from sklearn.metrics import roc_auc_score

    ways: dict[str, Callable[[Labelled], CalibrationConfig]] = {
        "as_is": lambda _data: CalibrationConfig(),
        "platt": platt,
        "isotonic": isotonic,
    }
    quality = {name: _cross_validated(data, way) for name, way in ways.items()}
    best = min(("platt", "isotonic"), key=lambda name: quality[name].log_loss)
    auroc = float(roc_auc_score(data.label, data.score))
    return Fit(ways[best](data), best, quality, auroc)


def platt(data: Labelled) -> CalibrationConfig:
    """A logistic regression on the log-odds, slightly held back."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e4)
    odds = odds_of(data.score).reshape(-1, 1)
    model.fit(odds, data.label, sample_weight=data.weight * data.label.size)
    slope = float(np.clip(model.coef_[0, 0], 0.01, STRAIGHTEST))
    offset = float(np.clip(model.intercept_[0], -100.0, 100.0))
    return CalibrationConfig(slope=round(slope, 4), offset=round(offset, 4))


def isotonic(data: Labelled) -> CalibrationConfig:
    """The rising steps that fit best, as a table of at most KNOTS rows."""
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=MOST_SURE, y_max=1.0 - MOST_SURE, out_of_bounds="clip")
    model.fit(data.score, data.label, sample_weight=data.weight)
    score, chance = np.asarray(model.X_thresholds_), np.asarray(model.y_thresholds_)
    if score.size > KNOTS:
        # Evenly along the probabilities, where the table bends.
        along = np.linspace(chance[0], chance[-1], KNOTS)
        kept = np.unique([0, *np.searchsorted(chance, along[1:-1]).tolist(), score.size - 1])
        score, chance = score[kept], chance[kept]
    return CalibrationConfig(table=list(_rows(score, chance)))


def _rows(score: Numbers, chance: Numbers) -> Iterator[tuple[float, float]]:
    """Rows that still rise when rounded."""
    last = -1.0
    for at, value in zip(score.round(5).tolist(), chance.round(4).tolist(), strict=True):
        if at > last:
            yield min(max(at, 0.0), 1.0), value
            last = at


def _cross_validated(data: Labelled, way: Callable[[Labelled], CalibrationConfig]) -> Quality:
    """The quality on blocks that the fit has not seen; on all if there are too few blocks."""
    meant = np.full(data.score.size, np.nan)
    fold = data.block % FOLDS
    for number in range(FOLDS):
        held = fold == number
        rest = data.only(~held)
        if rest.has_both and held.any():
            meant[held] = apply_calibration(data.score[held], way(rest))
    unseen = np.isnan(meant)
    if unseen.any():
        meant[unseen] = apply_calibration(data.score[unseen], way(data))
    return _quality(meant, data)


def _quality(meant: Numbers, data: Labelled) -> Quality:
    weight, label = data.weight, data.label
    held = np.clip(meant, SURE, 1.0 - SURE)
    loss = -(weight * np.where(label == 1, np.log(held), np.log(1.0 - held))).sum()
    brier = (weight * (meant - label) ** 2).sum()
    bins = np.minimum((meant * BINS).astype(np.int64), BINS - 1)
    mass, hope, truth = (
        np.bincount(bins, weights=values, minlength=BINS)
        for values in (weight, weight * meant, weight * label)
    )
    ece = np.abs(hope - truth)[mass > 0].sum()
    return Quality(float(loss), float(brier), float(ece))
