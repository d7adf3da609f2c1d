"""The table and the plot of a search."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.training.files import atomic, write_text

COLUMNS = ("step", "value", "tpr", "auroc", "best", "note")

Row = Mapping[str, Any]


def write_search_report(folder: Path, trials: Sequence[Row]) -> None:
    """search.csv and search.png."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(trials)
    write_text(folder / "search.csv", buffer.getvalue())
    _plot(folder / "search.png", trials)


def _plot(file: Path, trials: Sequence[Row]) -> None:
    """One field a step: a bar for each value's TPR, a mark for its AUROC, the best one's dark."""
    from matplotlib.figure import Figure

    steps = list(dict.fromkeys(trial["step"] for trial in trials))
    figure = Figure(figsize=(2.6 * max(2, len(steps)), 3.6), layout="constrained")
    fields = figure.subplots(1, len(steps), sharey=True, squeeze=False)[0]
    for axes, step in zip(fields, steps, strict=True):
        tried = [trial for trial in trials if trial["step"] == step]
        places = range(len(tried))
        colours = ["#1f5fa8" if trial["best"] else "#a9c3e0" for trial in tried]
        axes.bar(places, [trial["tpr"] for trial in tried], color=colours)
        heights = [trial["auroc"] for trial in tried]
        colours = ["black" if one["best"] else "grey" for one in tried]
        axes.scatter(places, heights, 200, colours, marker="_")
        axes.set_xticks(places, [str(trial["value"]) for trial in tried], rotation=60, fontsize=7)
        for label, trial in zip(axes.get_xticklabels(), tried, strict=True):
            label.set_fontweight("bold" if trial["best"] else "normal")
        axes.set_title(step, fontsize=9)
        axes.set_ylim(0.0, 1.02)
    fields[0].set_ylabel("TPR (bars), AUROC (marks)")
    with atomic(file) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
