"""Plots of an evaluation as PNG files: ROC, precision-recall, score histograms, calibration.

Figures are built without pyplot, so nothing global is touched and no display is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import UsageError
from monitor.training.files import atomic
from monitor.training.metrics import ECE_BINS, TprAtFpr, pr_curve, roc_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _RED, _GREY = "#1f5fa8", "#b8392e", "#8a8a8a"


def require_matplotlib() -> None:
    """Raises UsageError where the optional library is missing: before the work, not after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(
            "plots need matplotlib, which is not installed",
            remedy="pip install 'presence-monitor[training]', or leave --output away",
        ) from None


def plot_roc(path: Path, scores: NDArray[Any], labels: NDArray[Any], point: TprAtFpr) -> None:
    """TPR over FPR on a logarithmic axis, where the low rates live; `point` is marked."""
    figure, axes = _page("ROC", "false positive rate (log)", "true positive rate")
    curve = roc_curve(scores, labels)
    negatives = max(1, int((labels == 0).sum()))
    floor = 0.5 / negatives
    axes.plot(np.maximum(curve.x, floor), curve.y, color=_BLUE, drawstyle="steps-post")
    label = f"threshold {point.threshold:.4f}: FPR {point.fpr:.4f}, TPR {point.tpr:.4f}"
    axes.plot([max(point.fpr, floor)], [point.tpr], "o", color=_RED, label=label, clip_on=False)
    axes.axvline(1 / negatives, color=_GREY, linewidth=0.8, linestyle=":", label="one picture")
    axes.set_xscale("log")
    axes.set_xlim(floor, 1.0)
    axes.set_ylim(0.0, 1.01)
    _save(figure, axes, path)


def plot_precision_recall(path: Path, scores: NDArray[Any], labels: NDArray[Any]) -> None:
    """Precision over recall, with the share of positives as the line of a blind guess."""
    figure, axes = _page("Precision and recall", "recall", "precision")
    curve = pr_curve(scores, labels)
    axes.plot(curve.x, curve.y, color=_BLUE, drawstyle="steps-pre")
    share = float(np.mean(labels != 0))
    axes.axhline(share, color=_GREY, linewidth=0.8, linestyle=":", label=f"guess {share:.2f}")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.01)
    _save(figure, axes, path)


def plot_histogram(
    path: Path, scores: NDArray[Any], labels: NDArray[Any], threshold: float
) -> None:
    """How the scores of both classes lie, counts on a logarithmic axis."""
    figure, axes = _page("Scores", "P(someone)", "pictures (log)")
    bins = [step / 50 for step in range(51)]
    axes.hist(scores[labels == 0], bins, color=_BLUE, alpha=0.6, label="nobody")
    axes.hist(scores[labels != 0], bins, color=_RED, alpha=0.6, label="someone")
    axes.axvline(threshold, color="black", linewidth=0.9, label=f"threshold {threshold:.4f}")
    axes.set_yscale("log")
    _save(figure, axes, path)


def plot_calibration(path: Path, scores: NDArray[Any], labels: NDArray[Any]) -> None:
    """Share of positives over the mean score of each bin that has pictures."""
    figure, axes = _page("Calibration", "mean P(someone) of the bin", "share of positives")
    index = np.minimum((scores.astype(np.float64) * ECE_BINS).astype(int), ECE_BINS - 1)
    counts = np.bincount(index, minlength=ECE_BINS)
    filled = counts > 0
    mean = np.bincount(index, weights=scores, minlength=ECE_BINS)[filled] / counts[filled]
    share = np.bincount(index, weights=labels != 0, minlength=ECE_BINS)[filled] / counts[filled]
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":", label="perfect")
    axes.plot(mean, share, "o-", color=_BLUE, label="measured")
    _save(figure, axes, path)


def plot_all(
    folder: Path, scores: NDArray[Any], labels: NDArray[Any], point: TprAtFpr
) -> Mapping[str, Path]:
    """Write every plot that both classes allow into `folder`; returns them by name."""
    paths = {name: folder / f"{name}.png" for name in ("histogram", "calibration", "roc", "pr")}
    plot_histogram(paths["histogram"], scores, labels, point.threshold)
    plot_calibration(paths["calibration"], scores, labels)
    if not labels.any() or labels.all():
        return {name: paths[name] for name in ("histogram", "calibration")}
    plot_roc(paths["roc"], scores, labels, point)
    plot_precision_recall(paths["pr"], scores, labels)
    return paths


def _page(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _save(figure: Figure, axes: Axes, path: Path) -> None:
    axes.legend(loc="best", fontsize="small")
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
