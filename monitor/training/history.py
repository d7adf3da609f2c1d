"""The record of a run: JSON, CSV, TensorBoard scalars and a picture of the curves."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.errors import UsageError
from monitor.training.files import atomic, write_json, write_text

Row = Mapping[str, Any]


def require_libraries() -> None:
    """Raises UsageError where an optional library is missing: before the work, not after it."""
    try:
        import matplotlib  # noqa: F401
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"{error.name} is not installed, which records how training goes",
            remedy="pip install 'presence-monitor[training]'",
        ) from None


class History:
    """Rows of epochs and points of iterations; rewritten whole, so a resumed run is seamless."""

    def __init__(self, folder: Path, epochs: Sequence[Row] = (), steps: Sequence[Row] = ()) -> None:
        from tensorboardX import SummaryWriter

        self._folder = folder
        self.epochs = list(epochs)
        self.steps = list(steps)
        purge = int(steps[-1]["step"]) + 1 if steps else 0
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)

    def add_step(self, row: Row) -> None:
        """A point of the loss curve; `step` counts iterations from 0."""
        self.steps.append(dict(row))
        self._scalars("train", row, int(row["step"]))

    def add_epoch(self, row: Row) -> None:
        """An epoch's losses and, if it was evaluated, its verdict; writes all files."""
        self.epochs.append(dict(row))
        self._scalars("epoch", row, int(row["epoch"]))
        self.write()

    def write(self) -> None:
        """history.json, history.csv, curves.png and the TensorBoard events."""
        write_json(self._folder / "history.json", {"epochs": self.epochs, "steps": self.steps})
        write_text(self._folder / "history.csv", _as_csv(self.epochs))
        plot_curves(self._folder / "curves.png", self.epochs, self.steps)
        self._board.flush()

    def close(self) -> None:
        """End the TensorBoard file."""
        self._board.close()

    def _scalars(self, group: str, row: Row, at: int) -> None:
        for name, value in row.items():
            if isinstance(value, float):
                self._board.add_scalar(f"{group}/{name}", value, at)


def plot_curves(file: Path, epochs: Sequence[Row], steps: Sequence[Row]) -> None:
    """Losses with the learning rate, and TPR with AUROC, as one PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    if steps:
        losses.plot([row["step"] for row in steps], [row["loss"] for row in steps], lw=0.6)
    losses.set_xlabel("iteration")
    losses.set_ylabel("training loss")
    rates = losses.twinx()
    rates.plot([row["step"] for row in steps], [row["lr"] for row in steps], color="grey", lw=0.8)
    rates.set_ylabel("learning rate (grey)")
    judged = [row for row in epochs if "tpr" in row]
    # Of curves that lie upon each other the lower ones show through the gaps.
    for name, style in (("tpr", "-"), ("auroc", "-"), ("average_precision", ":")):
        points = [(row["epoch"], row[name]) for row in judged]
        at, values = [x for x, _ in points], [y for _, y in points]
        scores.plot(at, values, marker=".", linestyle=style, label=name)
    scores.set_xlabel("epoch")
    scores.set_ylim(0.0, 1.02)
    scores.legend(loc="lower right")
    with atomic(file) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _as_csv(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
