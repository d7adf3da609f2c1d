"""An explained occupancy as a picture: scores, level, thresholds, and when what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitor.errors import UsageError
from monitor.messages import PresenceState
from monitor.presence.reading import thresholds
from monitor.review.explain import Explanation
from monitor.review.report import EXTRA


def draw(explained: Sequence[Explanation], titles: Sequence[str], target: Path) -> None:
    """Write a PNG with a panel for each explanation. Raises UsageError without Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plots need Matplotlib", remedy=EXTRA) from error
    figure = Figure(figsize=(12, 0.6 + 3.4 * len(explained)), layout="constrained")
    axes = figure.subplots(len(explained), squeeze=False)[:, 0]
    for axis, each, title in zip(axes, explained, titles, strict=True):
        zero = each.event.start
        at = [moment.at - zero for moment in each.moments]
        axis.plot(at, [moment.score for moment in each.moments], ".", ms=3, label="score")
        axis.plot(at, [moment.level for moment in each.moments], lw=1.2, label=each.level)
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
        for change, colour in ((each.opened, "tab:red"), (each.closed, "tab:blue")):
            if change is not None:
                axis.axvline(change.confirmed.monotonic - zero, color=colour, lw=0.8, ls=":")
        axis.set(ylim=(-0.05, 1.05), ylabel="P(someone)")
        axis.set_title(title, fontsize=9, loc="left")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    axes[-1].set_xlabel("seconds since the start of the event (dotted: when it was confirmed)")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)
