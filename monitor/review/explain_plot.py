"""An explained occupancy as a picture: scores, level, thresholds, and when what was decided.

Where it is known what scores counted for, a second panel shows that in log-odds: each score, what
was added to it or taken off, and what the zone scores when it is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monitor.errors import UsageError
from monitor.messages import PresenceState
from monitor.presence.reading import thresholds
from monitor.review.explain import Explanation
from monitor.review.report import EXTRA
from monitor.review.trace import Numbers, odds_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(explained: Sequence[Explanation], titles: Sequence[str], target: Path) -> None:
    """Write a PNG with a panel, or two, for each explanation. Raises UsageError without
    Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need Matplotlib", remedy=EXTRA) from error
    rows = [2 if _is_weighed(each) else 1 for each in explained]
    figure = Figure(figsize=(12, 0.6 + 3.2 * sum(rows)), layout="constrained")
    parts = figure.subfigures(len(rows), height_ratios=rows, squeeze=False)[:, 0]
    for part, count, each, title in zip(parts, rows, explained, titles, strict=True):
        axes = part.subplots(count, sharex=True, squeeze=False)[:, 0]
        _levels(axes[0], each)
        axes[0].set_title(title, fontsize=9, loc="left")
        if count > 1:
            _weighing(axes[1], each)
        for axis in axes:
            axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
        axes[-1].set_xlabel("seconds since the event's start (dotted: when it was confirmed)")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)


def _is_weighed(each: Explanation) -> bool:
    return any(moment.counts != moment.score or moment.weighed for moment in each.moments)


def _times(each: Explanation) -> Numbers:
    return np.array([moment.at for moment in each.moments]) - each.event.start


def _levels(axis: Axes, each: Explanation) -> None:
    """What was compared with the thresholds."""
    at, zero = _times(each), each.event.start
    axis.plot(at, [moment.score for moment in each.moments], ".", ms=3, label="score")
    if _is_weighed(each):
        counts = [moment.counts for moment in each.moments]
        axis.plot(at, counts, "x", ms=4, color="tab:green", label="counts for")
    axis.plot(
        at, [moment.level for moment in each.moments], lw=1.2, color="tab:orange", label=each.level
    )
    enter, leave = thresholds(each.settings)
    axis.axhline(enter, color="tab:red", ls="--", lw=0.8, label=f"enter {enter:g}")
    axis.axhline(leave, color="tab:gray", ls="--", lw=0.8, label=f"exit {leave:g}")
    axis.axvspan(0.0, each.event.end - zero, ymax=0.05, color="tab:orange", label="event")
    occupied = [moment.presence is PresenceState.OCCUPIED for moment in each.moments]
    axis.fill_between(
        at, -0.05, 1.05, where=occupied, color="tab:orange", alpha=0.1, label="occupied"
    )
    if any(guarded := [moment.sight > 0 for moment in each.moments]):
        axis.fill_between(
            at, -0.05, 1.05, where=guarded, color="tab:gray", alpha=0.25, label="scene guards"
        )
    _confirmations(axis, each)
    axis.set(ylim=(-0.05, 1.05), ylabel="P(someone)")


def _weighing(axis: Axes, each: Explanation) -> None:
    """Why a score counted for more, or less, than it says."""
    at = _times(each)
    odds = odds_of(np.array([moment.score for moment in each.moments]))
    counts = odds_of(np.array([moment.counts for moment in each.moments]))
    axis.vlines(at, odds, counts, color="tab:green", lw=1.2, alpha=0.6, label="gain, loss")
    axis.plot(at, odds, ".", ms=3, label="score")
    axis.plot(at, counts, "x", ms=4, color="tab:green", label="counts for")
    known = [moment.weighed for moment in each.moments]
    level = np.array([np.nan if k is None or k.level is None else k.level for k in known])
    spread = np.array([np.nan if k is None or k.spread is None else k.spread for k in known])
    if not np.isnan(level).all():
        axis.plot(at, level, color="black", lw=0.9, label="empty zone")
        axis.fill_between(
            at, level - spread, level + spread, color="black", alpha=0.12, label="its spread"
        )
    _confirmations(axis, each)
    axis.set(ylabel="log-odds")


def _confirmations(axis: Axes, each: Explanation) -> None:
    for change, colour in ((each.opened, "tab:red"), (each.closed, "tab:blue")):
        if change is not None:
            at = change.confirmed.monotonic - each.event.start
            axis.axvline(at, color=colour, lw=0.8, ls=":")
