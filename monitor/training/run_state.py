"""How far a run has come, what it came to, and whether a run to resume is the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from monitor.errors import UsageError
from monitor.training.config import TrainConfig
from monitor.training.dataset import Mixture
from monitor.training.judge import Verdict

BEST_WEIGHTS = "best_model.pdparams"

MAY_DIFFER = {"output_dir", "print_batch_step", "checkpoint_steps", "threads", "device"}
"""Settings a resumed run may change: they leave the weights alone."""

MAY_DIFFER_IN_DATA = {"workers", "check_pictures"}


@dataclass(slots=True)
class RunState:
    """Where a run is: `epoch` and `step` count what is done, from 0."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    """Losses summed over the epoch under way, by name."""

    best: Verdict | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    """Time spent before this process took the run up."""

    def as_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        """Back from a checkpoint."""
        best = tree["best"]
        return cls(**{**tree, "best": Verdict(**best) if best is not None else None})


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to."""

    output_dir: Path
    weights: Path
    best_epoch: int
    best: Verdict
    epochs: int
    steps: int
    seconds: float
    rank: int = 0
    """Number of this process; the first one reports."""

    def as_row(self) -> dict[str, Any]:
        """For `--format json` and result.json."""
        return {
            "output_dir": str(self.output_dir),
            "weights": str(self.weights),
            "best_epoch": self.best_epoch,
            **self.best.as_row(),
            "epochs": self.epochs,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
        }


def refuse_changes(then: Mapping[str, Any], config: TrainConfig, digest: str) -> None:
    """Raise UsageError unless a checkpoint's `settings` and `data` are those of this run."""
    before, now = then["settings"], settings_of(config)
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if then["data"] != digest:
        changed.append("the listed pictures")
    if changed:
        raise UsageError(
            f"the run to resume was begun differently: {', '.join(changed)}",
            where=str(config.output_dir),
            remedy="resume with the same settings and lists, or begin in another folder",
        )


def data_digest(mixture: Mixture, world: int) -> str:
    """What a run is trained on, as a number: names and labels in order, and the processes."""
    names = [sample.entry.name for sample in mixture.samples]
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape"))
    digest.update(mixture.labels.tobytes())
    digest.update(str(world).encode())
    return digest.hexdigest()


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """The settings that decide about the weights, flat."""
    tree = config.model_dump(mode="json", exclude=MAY_DIFFER | {"data"})
    tree["data"] = config.data.model_dump(mode="json", exclude=MAY_DIFFER_IN_DATA)
    return _flat(tree, "")


def _flat(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
