"""What calibration found, for people and programs: a tree of numbers, words, and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.errors import UsageError
from monitor.presence.metrics import Comparison
from monitor.presence.reading import thresholds
from monitor.review.calibrate import Outcome, ZoneCalibration, changed_keys
from monitor.review.fit import labelled
from monitor.review.simulate import apply_calibration, simulate
from monitor.review.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXTRA = "pip install 'presence-monitor[calibration]'"

MOST_TIMELINES = 12
"""Traces shown on the timeline plot."""


def require_libraries() -> None:
    """Raise UsageError unless scikit-learn and Matplotlib are installed."""
    try:
        import matplotlib.figure  # noqa: F401
        import sklearn.linear_model  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"calibration needs scikit-learn and Matplotlib ({error.name} is missing)", remedy=EXTRA
        ) from error


def as_tree(result: ZoneCalibration) -> dict[str, Any]:
    """Everything as plain numbers and words; seconds unless a key says otherwise."""
    proof = result.after.proof if result.after else result.before.proof
    return {
        "zone": result.zone,
        "budget": result.budget.text,
        "false_events_allowed": result.budget.events,
        "negatives": {
            "hours": proof.hours,
            "guarded_s": sum(trace.guarded_s for trace in result.negatives),
            "from": [trace.name for trace in result.negatives],
        },
        "positives": {
            "visits": sum(len(trace.visits) for trace in result.positives),
            "made_up": result.made_up,
            "from": [trace.name for trace in result.positives],
        },
        "before": _outcome(result.before),
        "after": _outcome(result.after) if result.after else None,
        "expected_false_events": result.expected,
        "keeps_budget": result.keeps_budget,
        "proven": bool(result.after and result.after.proof.proven),
        "hours_to_prove": proof.hours_to_prove,
        "calibration": None
        if result.fit is None
        else {
            "kind": result.fit.kind,
            "auroc": result.fit.auroc,
            "cross_validated": {name: asdict(q) for name, q in result.fit.quality.items()},
        },
        "presence": result.patch,
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "presence": changed_keys(outcome.settings),
        "false_events": outcome.proof.false_events,
        "false_rate": outcome.proof.rate,
        "false_rate_bound_95": outcome.proof.bound,
        **_visits(outcome.visits),
    }


def _visits(visits: Comparison) -> dict[str, Any]:
    return {
        "visits": visits.visits,
        "recall": visits.recall,
        "flaps_per_event": visits.flaps_per_event,
        "told_p50_s": visits.confirm_p50,
        "told_p95_s": visits.confirm_p95,
        "accuracy": visits.accuracy,
    }


def sentences(result: ZoneCalibration) -> Iterator[str]:
    """What it means, a line each."""
    unit = result.budget.unit
    if result.after is None:
        yield f"no setting that was tried keeps {result.budget.text} and finds anybody"
        return
    proof = result.after.proof
    yield (
        f"{proof.false_events} false events in {proof.hours:.3g} h: "
        f"fewer than {proof.bound:.3g} a {unit} with 95 %"
    )
    if proof.proven:
        yield f"that proves the budget of {result.budget.text}"
    else:
        yield (
            f"that does not prove {result.budget.text}: it takes "
            f"{proof.hours_to_prove:.0f} h without one"
        )
        if result.expected is not None:
            missed = "" if result.keeps_budget else ": no setting that finds as many visits does it"
            yield f"how fast its scores thin out promises {result.expected:.2g} a {unit}{missed}"
    guarded = sum(trace.guarded_s for trace in result.negatives)
    if guarded:
        yield f"scene guards held changes back in {guarded:.0f} s of it, here as in the monitor"
    if result.made_up:
        yield "no visits were given: ten seconds of one score each, 0.6 to 0.99, stood in for them"


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
        meaning.legend(loc="upper center")
    axis.set(yscale="log", xlabel="score", ylabel="scores", title=f"{result.zone}: scores")
    axis.legend(loc="upper left")


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
        axis.plot(np.maximum(wrong, 0.5 / max((data.label == 0).sum(), 1)), right)
    area = f"{result.fit.auroc:.4f}" if result.fit else "unknown"
    axis.set(
        xscale="log",
        xlabel="false positive rate (of single scores)",
        ylabel="true positive rate",
        title=f"{result.zone}: area under the curve {area}",
    )
    axis.grid(alpha=0.3)


def _timeline(figure: Figure, result: ZoneCalibration) -> None:
    shown: list[Trace] = [*result.negatives, *result.positives][:MOST_TIMELINES]
    figure.set_size_inches(12, 1.0 + 1.7 * len(shown))
    axes = figure.subplots(len(shown), squeeze=False)[:, 0]
    for axis, trace in zip(axes, shown, strict=True):
        _trace(axis, trace, result)
    axes[0].set_title(
        f"{result.zone} — above: truth; below: events before (orange) and after (red); "
        "grey: held by scene guards",
        fontsize=10,
    )
    axes[-1].set_xlabel("minutes")


def _trace(axis: Axes, trace: Trace, result: ZoneCalibration) -> None:
    minute = 60.0
    axis.plot(trace.at / minute, trace.score, linewidth=0.5, color="tab:blue")
    under = trace.held | trace.blind
    if under.any():
        axis.fill_between(
            trace.at / minute, -0.15, 1.1, where=under.tolist(), color="tab:gray", alpha=0.25, lw=0
        )
    for visit in trace.visits:
        axis.axvspan(visit.start / minute, visit.end / minute, ymin=0.94, color="tab:green")
    rows: Mapping[str, tuple[float, Outcome | None]] = {
        "tab:orange": (0.0, result.before),
        "tab:red": (0.06, result.after),
    }
    for colour, (bottom, outcome) in rows.items():
        for event in simulate(trace, outcome.settings) if outcome else ():
            middle, half = (event.start + event.end) / 2, max((event.end - event.start) / 2, 0.5)
            left, right = (middle - half) / minute, (middle + half) / minute
            axis.axvspan(left, right, ymin=bottom, ymax=bottom + 0.06, color=colour)
    axis.set(ylim=(-0.15, 1.1), ylabel="score")
    axis.set_title(trace.name, fontsize=8, loc="left")
