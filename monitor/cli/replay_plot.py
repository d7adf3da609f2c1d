"""A picture of a replay: scores, thresholds, the events found, and the truth if it is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitor.config import CameraConfig
from monitor.config.presence import PresenceMode
from monitor.errors import UsageError
from monitor.messages import WHOLE_FRAME
from monitor.presence import zone_settings
from monitor.presence.metrics import Span
from monitor.presence.reading import thresholds
from monitor.replay import ReplayResult

_FOUND, _TRUE = "tab:orange", "tab:green"


def plot(
    result: ReplayResult, camera: CameraConfig, truth: Sequence[Span] | None, target: Path
) -> None:
    """Write a PNG to `target`. Raises UsageError without Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "plots need Matplotlib", remedy="pip install 'presence-monitor[training]'"
        ) from error
    zones = zone_settings(camera) or {WHOLE_FRAME: camera.presence}
    figure = Figure(figsize=(12, 1.2 + 2.4 * len(zones)), layout="constrained")
    axes = figure.subplots(len(zones), squeeze=False, sharex=True)[:, 0]
    for axis, (zone, settings) in zip(axes, zones.items(), strict=True):
        points = [(point.at_s, point.value) for point in result.scores if point.zone == zone]
        if points:
            axis.plot(*zip(*points, strict=True), color="tab:blue", linewidth=0.9, label="score")
        enter, leave = thresholds(settings)
        of = " belief" if settings.mode is PresenceMode.EVIDENCE else ""
        axis.axhline(enter, color="tab:red", ls="--", lw=0.8, label=f"enter{of} {enter:g}")
        axis.axhline(leave, color="tab:gray", ls="--", lw=0.8, label=f"exit{of} {leave:g}")
        for event in result.events:
            if event.zone == zone:
                axis.axvspan(event.start_s, event.end_s, ymax=0.06, color=_FOUND)
        for span in truth or ():
            axis.axvspan(span.start, span.end, ymin=0.94, color=_TRUE)
        axis.set(ylim=(-0.05, 1.05), ylabel=f"{zone}\nP(someone)")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    above = "; above, green: truth" if truth is not None else ""
    axes[0].set_title(f"{Path(result.source).name} (below, orange: events told{above})")
    axes[-1].set_xlabel("seconds")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)
