"""Weights a network starts from, and how the best ones are kept.

Files: PaddleClas's `.pdparams` (read by `monitor.training.trained`, which lets nothing but
arrays through) or `.npz` of arrays named alike.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn

from monitor.errors import ModelError
from monitor.training.exported import read_exported
from monitor.training.files import atomic
from monitor.training.trained import read_weights

CLASSIFIERS = ("fc.weight", "fc.bias", "head.weight", "head.bias")
"""Tensors of the last layer: the only ones that may differ in shape from those of a file."""

COMPUTED = ("relative_position_index", "attn_mask", "relative_position_bias")
"""What PaddleClas's Swin files hold beside parameters: computed, not learnt, and left alone."""

_NAMED_AT_MOST = 8


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was taken from a file: the number of tensors, and what was left out."""

    loaded: int
    fresh: tuple[str, ...]
    """Classifier tensors that keep their initial values, since the file's have another shape."""

    unused: tuple[str, ...]


def read_arrays(path: Path) -> Mapping[str, NDArray[Any]]:
    """Named arrays of a `.pdparams` or `.npz`; the suffix `.pdparams` may be left out.

    Raises ModelError if the file is missing, damaged, or holds anything else.
    """
    file = path
    if not file.exists() and file.with_name(f"{file.name}.pdparams").exists():
        file = file.with_name(f"{file.name}.pdparams")
    if file.suffix != ".npz":
        return read_weights(file)
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"cannot read the weights: {error}",
            where=str(file),
            remedy="name a .pdparams or .npz file that is whole",
        ) from None


def load_pretrained(network: nn.Layer, path: Path) -> LoadReport:
    """Copy the tensors of a file, or of an exported model's folder, into `network` by name.

    Only the classifier may differ in shape: it then keeps its initial values, as the report
    says. Raises ModelError naming the tensors that are missing or of another shape.
    """
    weights = read_exported(path, network) if path.is_dir() else read_arrays(path)
    own = {
        name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COMPUTED)
    }
    differing = [
        name for name in own if name in weights and tuple(own[name].shape) != weights[name].shape
    ]
    fresh = [
        name for name in own if name in CLASSIFIERS and (name in differing or name not in weights)
    ]
    complaints = [
        f"{name} has shape {list(weights[name].shape)}, the network needs {own[name].shape}"
        for name in differing
        if name not in fresh
    ] + [f"{name} is missing" for name in own if name not in weights and name not in fresh]
    if complaints:
        raise ModelError(
            f"the weights are not this network's: {_some(complaints)}",
            where=str(path),
            remedy="choose the network (arch.name) the weights were trained for",
        )
    taken = [name for name in own if name not in fresh]
    for name in taken:
        own[name].set_value(np.ascontiguousarray(weights[name], dtype=np.float32))
    unused = tuple(sorted(set(weights) - set(network.state_dict())))
    return LoadReport(len(taken), tuple(fresh), unused)


def save_weights(state: Mapping[str, paddle.Tensor], file: Path) -> None:
    """Write a state_dict as `.pdparams`, atomically; PaddleClas reads it too."""
    with atomic(file) as temporary:
        paddle.save(dict(state), str(temporary))


def _some(items: Iterable[str]) -> str:
    listed = list(items)
    rest = len(listed) - _NAMED_AT_MOST
    return "; ".join(listed[:_NAMED_AT_MOST]) + (f"; and {rest} more" if rest > 0 else "")
