"""A model against labelled pictures: one report, its plots, and the worst mistakes to look at."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.config.camera import ViewKind
from monitor.errors import InputError
from monitor.imaging.jpeg import read_picture
from monitor.messages import Picture
from monitor.training.contact_sheet import GREY, RED, Captioned, contact_sheet, write_contact_sheet
from monitor.training.files import atomic, prepare_output, write_json
from monitor.training.labelled import Labelled
from monitor.training.lists import require_both_classes
from monitor.training.metrics import (
    Interval,
    TprAtFpr,
    auroc,
    average_precision,
    bootstrap_intervals,
    calibration_error,
    rates_at,
    tpr_at_fpr,
)
from monitor.training.plots import plot_all
from monitor.training.scoring import Scored, Scorer, score_files

OPERATING_POINTS: Final = (0.001, 0.01, 0.05)
"""FPRs every report gives thresholds for, besides the one asked for."""

SIZES: Final = (("<= 1 %", 0.01), ("1-3 %", 0.03), ("3-10 %", 0.1), ("> 10 %", math.inf))
"""Classes of person size: largest box / picture, upper ends included. PULC trains on > 10 %."""

WORST: Final = 24
"""Most mistakes of each kind on the contact sheet."""

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of the readable pictures (float32 (n,)), in order, and the report about them."""

    items: list[Labelled]
    scores: NDArray[np.float32]
    report: Report

    @property
    def labels(self) -> NDArray[np.int64]:
        """0 nobody, 1 someone, shape (n,)."""
        return np.array([item.label for item in self.items], np.int64)

    @property
    def point(self) -> TprAtFpr:
        """The operating point at the FPR asked for."""
        return TprAtFpr(self.report["threshold"], self.report["fpr"], self.report["tpr"])


def evaluate(
    scorer: Scorer,
    items: Sequence[Labelled],
    *,
    view: ViewKind = ViewKind.PULC,
    max_fpr: float = 1e-3,
    batch_size: int = 32,
    where: str = "the list",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Score `items` and measure. Raises InputError when one class is missing or unreadable."""
    require_both_classes([item.entry for item in items], where)
    paths = [item.path for item in items]
    scored = score_files(scorer, paths, view, batch_size=batch_size, progress=progress)
    readable = ~np.isnan(scored.scores)
    kept = [item for item, seen in zip(items, readable, strict=True) if seen]
    require_both_classes([item.entry for item in kept], f"readable pictures of {where}")
    scores = scored.scores[readable]
    report = measure(scores, kept, max_fpr)
    report["view"] = view.value
    report["ms_per_picture"] = round(1000 * scored.seconds / len(kept), 3)
    report["unreadable"] = _unreadable(items, scored)
    return Evaluation(kept, scores, report)


def measure(scores: NDArray[np.float32], items: Sequence[Labelled], max_fpr: float) -> Report:
    """The report's numbers. Rates at `threshold` use the metric's strict `score > threshold`."""
    labels = np.array([item.label for item in items], np.int64)
    point = tpr_at_fpr(scores, labels, max_fpr)
    intervals = bootstrap_intervals(scores, labels, max_fpr=max_fpr)
    half = rates_at(scores, labels, 0.5)
    return {
        "threshold": point.threshold,
        "fpr": point.fpr,
        "tpr": point.tpr,
        "auroc": auroc(scores, labels),
        "n_pos": int(labels.sum()),
        "n_neg": int((labels == 0).sum()),
        "max_fpr": max_fpr,
        "ap": average_precision(scores, labels),
        "ece": calibration_error(scores, labels),
        "ci95": {
            "tpr": _ends(intervals.tpr),
            "auroc": _ends(intervals.auroc),
            "ap": _ends(intervals.average_precision),
        },
        "at_0.5": {"fpr": half.fpr, "tpr": half.tpr},
        "operating_points": [
            _operating_point(scores, labels, rate) for rate in sorted({*OPERATING_POINTS, max_fpr})
        ],
        "by_source": _by_source(scores, items, labels, point.threshold),
        "by_size": _by_size(scores, items, labels, max_fpr),
    }


def write_evaluation(evaluation: Evaluation, folder: Path) -> dict[str, Path]:
    """Write `report.json`, `scores.csv`, the plots and `mistakes.png`; returns them by name."""
    prepare_output(folder, 5_000_000)
    paths = {name: folder / name for name in ("report.json", "scores.csv", "mistakes.png")}
    write_json(paths["report.json"], evaluation.report)
    _write_scores(paths["scores.csv"], evaluation)
    write_contact_sheet(paths["mistakes.png"], _mistakes(evaluation))
    plots = plot_all(folder, evaluation.scores, evaluation.labels, evaluation.point)
    return paths | {path.name: path for path in plots.values()}


def _operating_point(
    scores: NDArray[np.float32], labels: NDArray[np.int64], max_fpr: float
) -> Report:
    point = tpr_at_fpr(scores, labels, max_fpr)
    interval = bootstrap_intervals(scores, labels, max_fpr=max_fpr).tpr
    return {
        "max_fpr": max_fpr,
        "threshold": point.threshold,
        "fpr": point.fpr,
        "tpr": point.tpr,
        "tpr_ci95": _ends(interval),
    }


def _by_source(
    scores: NDArray[np.float32],
    items: Sequence[Labelled],
    labels: NDArray[np.int64],
    threshold: float,
) -> list[Report]:
    """Each source at the overall threshold; empty when all pictures are of one source."""
    names = np.array([item.source for item in items])
    rows = []
    for name in np.unique(names):
        own = names == name
        found = scores[own] > np.float32(threshold)
        positive = labels[own] == 1
        rows.append(
            {
                "source": str(name),
                "n_pos": int(positive.sum()),
                "n_neg": int((~positive).sum()),
                "auroc": _finite(auroc(scores[own], labels[own])),
                "tpr": _mean(found[positive]),
                "fpr": _mean(found[~positive]),
            }
        )
    return rows if len(rows) > 1 else []


def _by_size(
    scores: NDArray[np.float32],
    items: Sequence[Labelled],
    labels: NDArray[np.int64],
    max_fpr: float,
) -> list[Report]:
    """Positives of each person size against all negatives; empty when no size is known."""
    shares = np.array(
        [math.nan if item.person_share is None else item.person_share for item in items]
    )
    rows = []
    lower = -math.inf
    for name, upper in SIZES:
        own = (labels == 1) & (shares > lower) & (shares <= upper)
        lower = upper
        if not own.any():
            continue
        part = own | (labels == 0)
        row: Report = {
            "size": name,
            "n_pos": int(own.sum()),
            "auroc": auroc(scores[part], labels[part]),
        }
        for rate in sorted({*OPERATING_POINTS, max_fpr}):
            row[f"tpr_at_fpr_{rate:g}"] = tpr_at_fpr(scores[part], labels[part], rate).tpr
        rows.append(row)
    return rows


def _mistakes(evaluation: Evaluation) -> Picture:
    """Negatives with the highest and positives with the lowest scores, worst first."""
    labels, scores = evaluation.labels, evaluation.scores
    order = np.argsort(scores, kind="stable")
    alarms = [index for index in order[::-1] if labels[index] == 0][:WORST]
    misses = [index for index in order if labels[index] == 1][:WORST]
    threshold = evaluation.point.threshold
    fields = []
    for index in [*alarms, *misses]:
        item, score = evaluation.items[index], float(scores[index])
        wrong = (score > threshold) != (item.label == 1)
        kind = "someone" if item.label else "nobody"
        caption = (f"{kind}, scored {score:.4f}", item.name)
        fields.append(Captioned(_picture(item.path), caption, RED if wrong else GREY))
    title = f"Highest of nobody, then lowest of someone; red = wrong at {threshold:.4f}"
    return contact_sheet(fields, columns=8, title=title)


def _picture(path: Path) -> Picture | None:
    try:
        return read_picture(path)
    except InputError:
        return None


def _write_scores(file: Path, evaluation: Evaluation) -> None:
    with atomic(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "score", "source", "max_person_box_fraction"])
        for item, score in zip(evaluation.items, evaluation.scores, strict=True):
            share = "" if item.person_share is None else item.person_share
            writer.writerow([item.name, item.label, f"{score:.7g}", item.source, share])


def _unreadable(items: Sequence[Labelled], scored: Scored) -> list[dict[str, str]]:
    return [
        {"path": items[index].name, "problem": problem}
        for index, problem in scored.unreadable.items()
    ]


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def _mean(found: NDArray[np.bool_]) -> float | None:
    return float(found.mean()) if found.size else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
