"""Networks as training left them: weights read without trusting them, networks run as they are.

A `.pdparams` is a pickle, and a pickle can run any code when it is loaded. The ones Paddle and
PaddleClas write hold nothing but NumPy arrays, so nothing else is let through.
"""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ModelError, UsageError
from monitor.imaging.preprocess import normalise

Weights = dict[str, NDArray[Any]]

_HARMLESS: Final = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "tuple"): tuple,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
_NUMPY_MODULES: Final = {"numpy.core.multiarray", "numpy._core.multiarray"}
_NAMES_KEY: Final = "StructuredToParameterName@@"
"""Where Paddle keeps its internal parameter names beside the arrays."""

_RECONSTRUCT: Final = np.empty(0).__reduce__()[0]
"""NumPy's builder of arrays, whatever its module is called in this release."""


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays and plain containers, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _HARMLESS:
            return _HARMLESS[module, name]
        if module in _NUMPY_MODULES and name == "_reconstruct":
            return _RECONSTRUCT
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}")


def _latin1(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 spell bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it wants the encoding {encoding}")
    return text.encode("latin1")


def read_weights(file: Path) -> Weights:
    """The arrays of a `.pdparams` by parameter name.

    Raises ModelError when the file is missing, damaged, or holds anything but named arrays.
    """
    try:
        with file.open("rb") as stream:
            loaded = _ArraysOnly(stream, encoding="latin1").load()
    except OSError as error:
        raise ModelError(
            f"cannot read the weights: {error.strerror or error}",
            where=str(file),
            remedy="give the .pdparams file that training wrote",
        ) from None
    # A damaged pickle can raise anything.
    except Exception as error:  # noqa: BLE001
        raise ModelError(
            f"is no file of weights: {error}",
            where=str(file),
            remedy="give a file with a state_dict, as paddle.save writes it",
        ) from None
    if isinstance(loaded, dict):
        loaded.pop(_NAMES_KEY, None)
        # Old Paddle saves (parameter name, array) pairs where new Paddle saves arrays.
        weights = {key: value[1] if _is_pair(value) else value for key, value in loaded.items()}
        if weights and all(isinstance(value, np.ndarray) for value in weights.values()):
            return weights
    raise ModelError(
        "holds no named arrays",
        where=str(file),
        remedy="give the weights of a network, not of an optimiser or a checkpoint",
    )


def load_network(arch: str, file: Path, class_num: int = 2) -> Any:
    """The network `arch` (a `paddle.nn.Layer` in eval mode) with the weights of `file`.

    `file` is a `.pdparams` or an exported model's folder. Raises UsageError for an
    unknown name, ModelError unless every tensor is there in its shape.
    """
    import paddle

    from monitor.training.networks import NETWORKS, build_network
    from monitor.training.pretrained import load_pretrained

    if arch not in NETWORKS:
        raise UsageError(
            f"there is no network {arch!r}", remedy=f"choose from {', '.join(sorted(NETWORKS))}"
        )
    if not file.exists():
        raise ModelError(
            "cannot read the weights: there is no such file",
            where=str(file),
            remedy="give the .pdparams file that training wrote, or a model folder",
        )
    # Exported files order parameters by names that count up: starting at 0 makes them repeatable.
    with paddle.utils.unique_name.guard():
        network = build_network(arch, class_num=class_num)
    report = load_pretrained(network, file)
    if report.fresh:
        raise ModelError(
            f"the classifier is not one of {class_num} classes: {', '.join(report.fresh)}",
            where=str(file),
            remedy="train the network for nobody / someone first",
        )
    network.eval()
    return network


def probabilities(network: Any, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Softmax of the network's logits on RGB uint8 patches (n, 224, 224, 3): float32 (n, 2)."""
    import paddle

    with paddle.no_grad():
        logits = network(paddle.to_tensor(normalise(patches)))
        return np.asarray(paddle.nn.functional.softmax(logits, axis=-1).numpy(), np.float32)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2
