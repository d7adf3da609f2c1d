"""What calibration found, in pictures: histogram, ROC curve, and events on a timeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monitor.config.presence import PresenceMode
from monitor.presence.metrics import Span
from monitor.presence.reading import thresholds
from monitor.review.calibrate import ZoneCalibration
from monitor.review.fit import Labelled, labelled
from monitor.review.simulate import apply_calibration
from monitor.review.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TIMELINES = 12
"""Traces shown on the timeline plot."""

MOST_UNITS = 300.0
UNITS = ((1.0, "seconds"), (60.0, "minutes"), (3600.0, "hours"), (86400.0, "days"))
"""Of the time axis; the first of which there are fewer than MOST_UNITS."""


def draw(result: ZoneCalibration, folder: Path) -> list[Path]:
    """Write `histogram.png`, `roc.png` (with visits) and `timeline.png`."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"histogram": _histogram, "timeline": _timeline}
    if result.positives:
        pictures["roc"] = _roc
    written = []
    for name, paint in pictures.items():
        figure = Figure(figsize=(11, 5), layout="constrained")
        paint(figure, result)
        written.append(folder / f"{result.zone}-{name}.png")
        figure.savefig(written[-1], dpi=110)
    return written


def _histogram(figure: Figure, result: ZoneCalibration) -> None:
    axis = figure.subplots()
    data = labelled([*result.negatives, *result.positives])
    bins = np.linspace(0.0, 1.0, 51).tolist()
    for label, name, colour in ((0, "nobody", "tab:gray"), (1, "somebody", "tab:green")):
        scores = data.score[data.label == label]
        if scores.size:
            axis.hist(scores, bins=bins, alpha=0.6, color=colour, label=f"{name} ({scores.size})")
    _mark_thresholds(axis, result)
    if result.fit is not None:
        at = np.linspace(0.0, 1.0, 400)
        meaning = axis.twinx()
        curve = apply_calibration(at, result.fit.calibration)
        meaning.plot(at, curve, color="tab:purple", label=f"meaning ({result.fit.kind})")
        meaning.set(ylim=(0, 1.02), ylabel="P(someone | score), both as likely before")
    axis.set(
        yscale="log",
        xlabel="what a score counts for",
        ylabel="scores",
        title=f"{result.zone}: scores, weighed against the empty zone",
    )
    figure.legend(loc="outside right upper", fontsize=8)


def _mark_thresholds(axis: Axes, result: ZoneCalibration) -> None:
    for outcome, style in ((result.before, ":"), (result.after, "--")):
        if outcome is not None and outcome.settings.mode == "plain":
            enter, leave = thresholds(outcome.settings)
            name = "before" if style == ":" else "after"
            axis.axvline(enter, color="tab:red", linestyle=style, label=f"enter, {name}")
            axis.axvline(leave, color="tab:blue", linestyle=style, label=f"exit, {name}")


def _roc(figure: Figure, result: ZoneCalibration) -> None:
    from sklearn.metrics import roc_curve

    data = labelled([*result.negatives, *result.positives])
    axis = figure.subplots()
    if (data.label == 1).any() and (data.label == 0).any():
        wrong, right, _ = roc_curve(data.label, data.score)
        least = 0.5 / int((data.label == 0).sum())
        axis.plot(np.maximum(wrong, least), right)
        _mark_points(axis, result, data, least)
    area = f"{result.fit.auroc:.4f}" if result.fit else "unknown"
    axis.set(
        xscale="log",
        xlabel="false positive rate (of single scores)",
        ylabel="true positive rate",
        ylim=(-0.02, 1.02),
        title=f"{result.zone}: area under the curve {area}",
    )
    axis.grid(alpha=0.3)


def _mark_points(axis: Axes, result: ZoneCalibration, data: Labelled, least: float) -> None:
    """Where the thresholds of mode plain lie on the curve."""
    for name, outcome in (("before", result.before), ("after", result.after)):
        if outcome is None or outcome.settings.mode is not PresenceMode.PLAIN:
            continue
        hit = data.score >= outcome.settings.enter_threshold
        wrong, right = (float(hit[data.label == label].mean()) for label in (0, 1))
        label = f"enter_threshold {outcome.settings.enter_threshold:g}, {name}"
        axis.plot(max(wrong, least), right, "o" if name == "before" else "s", label=label)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="lower right", fontsize=8)


def _timeline(figure: Figure, result: ZoneCalibration) -> None:
    shown: list[Trace] = [*result.negatives, *result.positives][:MOST_TIMELINES]
    figure.set_size_inches(12, 1.0 + 1.7 * len(shown))
    axes = figure.subplots(len(shown), squeeze=False)[:, 0]
    before, after = (
        () if each is None else (*each.trial.false, *each.trial.found)
        for each in (result.before, result.after)
    )
    for index, (axis, trace) in enumerate(zip(axes, shown, strict=True)):
        told = [events[index] if events else () for events in (before, after)]
        _trace(axis, trace, told)
    figure.suptitle(
        f"{result.zone} — light: scores; blue: what they count for; above: truth; below: events "
        "before (orange) and after (red); grey: held by scene guards",
        fontsize=10,
    )


def _trace(axis: Axes, trace: Trace, told: Sequence[Sequence[Span]]) -> None:
    length = float(trace.at[-1] - trace.at[0]) if trace.at.size else 0.0
    unit, name = next((each for each in UNITS if length < MOST_UNITS * each[0]), UNITS[-1])
    if trace.counted is not None:
        axis.plot(trace.at / unit, trace.score, linewidth=0.5, color="tab:cyan", alpha=0.6)
    axis.plot(trace.at / unit, trace.counts, linewidth=0.5, color="tab:blue")
    under = trace.held | trace.blind
    if under.any():
        axis.fill_between(
            trace.at / unit, -0.15, 1.1, where=under.tolist(), color="tab:gray", alpha=0.25, lw=0
        )
    for visit in trace.visits:
        axis.axvspan(visit.start / unit, visit.end / unit, ymin=0.94, color="tab:green")
    for colour, bottom, events in zip(("tab:orange", "tab:red"), (0.0, 0.06), told, strict=True):
        for event in events:
            middle, half = (event.start + event.end) / 2, max((event.end - event.start) / 2, 0.5)
            left, right = (middle - half) / unit, (middle + half) / unit
            axis.axvspan(left, right, ymin=bottom, ymax=bottom + 0.06, color=colour)
    axis.set(ylim=(-0.15, 1.1), ylabel="score", xlabel=name)
    axis.set_title(trace.name, fontsize=8, loc="left")
