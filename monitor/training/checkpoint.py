"""One file that holds everything a killed run needs to go on bit for bit.

Random numbers need no state: they are drawn from (seed, epoch, position) and (seed, step), so
the epoch and step in `progress` are their position.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InputError
from monitor.training.files import write_with

FILE_NAME = "checkpoint.npz"
_META = "@meta"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`parts`: arrays of the network, optimiser, objective and average; `progress`: JSON."""

    parts: Mapping[str, Arrays]
    progress: Mapping[str, Any]


def save_checkpoint(file: Path, checkpoint: Checkpoint) -> None:
    """Write it atomically; the previous checkpoint stays until the new one is complete."""
    arrays = {
        f"{part}/{name}": array
        for part, tensors in checkpoint.parts.items()
        for name, array in tensors.items()
    }
    meta = {"parts": list(checkpoint.parts), "progress": checkpoint.progress}
    arrays[_META] = np.array(json.dumps(meta))
    write_with(file, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]


def load_checkpoint(file: Path) -> Checkpoint:
    """Read it back; InputError if the file is missing or broken."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            meta = json.loads(str(archive[_META]))
            parts: dict[str, dict[str, NDArray[Any]]] = {part: {} for part in meta["parts"]}
            for key in archive.files:
                part, _, name = key.partition("/")
                if part in parts:
                    parts[part][name] = archive[key]
    except FileNotFoundError:
        raise InputError(
            "there is no checkpoint to resume from",
            where=str(file),
            remedy="name the run's output folder, or begin anew without resuming",
        ) from None
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"the checkpoint cannot be read: {error}",
            where=str(file),
            remedy="it is damaged or of another version; begin anew",
        ) from None
    return Checkpoint(parts, meta["progress"])
