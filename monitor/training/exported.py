"""Weights of an exported model, ours or PaddleClas's, back in their network to train on.

`inference.pdiparams` is the tensors one after the other, without names, in the order of
Paddle's automatic names (`batch_norm2d_0.b_0`, `batch_norm2d_0.w_0`, …, `linear_0.w_0`). The
same network built here has the same names, so the order tells which is which; every shape is
compared. The file is parsed here, nothing in it is run.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ModelError

if TYPE_CHECKING:
    from paddle import nn

PARAMS: Final = "inference.pdiparams"

_HEAD: Final = struct.Struct("<IQIi")
"""Version, number of LoD levels, version of the tensor, bytes of its description."""

_FLOAT32: Final = 5
"""FP32 in Paddle's framework.proto, VarType.Type."""

_AUTOMATIC: Final = re.compile(r"(?P<kind>.+)_(?P<number>\d+)(?P<rest>\.\w+)")


def read_exported(folder: Path, network: nn.Layer) -> dict[str, NDArray[np.float32]]:
    """The arrays of a model folder by the names they have in `network`.

    Raises ModelError when the file is missing or damaged, or is not of this network.
    """
    file = folder / PARAMS
    try:
        tensors = list(_tensors(file.read_bytes()))
    except OSError as error:
        raise ModelError(
            f"cannot read the weights: {error.strerror}",
            where=str(file),
            remedy="give a model folder or a .pdparams file",
        ) from None
    except (struct.error, ValueError, IndexError) as error:
        raise ModelError(
            f"is no file of float32 parameters: {error}",
            where=str(file),
            remedy="export or fetch the model again",
        ) from None
    names = _file_order(network)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    differing = [
        f"{name} is {tensor.shape} instead of {shapes[name]}"
        for name, tensor in zip(names, tensors, strict=False)
        if tensor.shape != shapes[name] and name not in ("fc.weight", "fc.bias")
    ]
    if len(tensors) != len(names) or differing:
        raise ModelError(
            f"the model is not this network: it has {len(tensors)} tensors, the network "
            f"{len(names)}" + (f"; {'; '.join(differing[:3])}" if differing else ""),
            where=str(folder),
            remedy="choose the network the model was exported from (architecture in model.json)",
        )
    return dict(zip(names, tensors, strict=True))


def _file_order(network: nn.Layer) -> list[str]:
    """Names of the network's tensors in the order of an export in a fresh process.

    Paddle numbers layers of a kind as they are built; counted from 0, sorted as text.
    """
    parts = {name: _split(tensor.name) for name, tensor in network.state_dict().items()}
    numbers: dict[str, set[int]] = {}
    for kind, number, _ in parts.values():
        numbers.setdefault(kind, set()).add(number)
    rank: Mapping[str, dict[int, int]] = {
        kind: {number: index for index, number in enumerate(sorted(found))}
        for kind, found in numbers.items()
    }
    automatic = {
        name: f"{kind}_{rank[kind][number]}{rest}" for name, (kind, number, rest) in parts.items()
    }
    return sorted(automatic, key=automatic.__getitem__)


def _split(automatic: str) -> tuple[str, int, str]:
    match = _AUTOMATIC.fullmatch(automatic)
    if match is None:
        raise ModelError(f"the network has a tensor with a name of its own: {automatic}")
    return match["kind"], int(match["number"]), match["rest"]


def _tensors(data: bytes) -> Iterator[NDArray[np.float32]]:
    """The tensors of a combined parameter file (Paddle's SerializeToStream)."""
    at = 0
    while at < len(data):
        version, levels, tensor_version, length = _HEAD.unpack_from(data, at)
        if version or levels or tensor_version or not 0 < length < 1024:
            raise ValueError(f"no tensor begins at byte {at}")
        at += _HEAD.size
        shape = _shape(data[at : at + length])
        at += length
        count = math.prod(shape)
        if at + 4 * count > len(data):
            raise ValueError(f"it ends inside a tensor of {shape}")
        yield np.frombuffer(data, "<f4", count, at).reshape(shape).copy()
        at += 4 * count


def _shape(description: bytes) -> tuple[int, ...]:
    """Dimensions from a TensorDesc message: field 1 the type, field 2 the dimensions."""
    shape: list[int] = []
    at = 0
    while at < len(description):
        tag = description[at]
        if tag == 0x12:
            size, at = _varint(description, at + 1)
            end = at + size
            while at < end:
                value, at = _varint(description, at)
                shape.append(value)
            continue
        value, at = _varint(description, at + 1)
        if tag == 0x10:
            shape.append(value)
        elif tag != 0x08 or value != _FLOAT32:
            raise ValueError("it holds another type than float32")
    return tuple(shape)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A protobuf number and the place behind it."""
    value = shift = 0
    while True:
        byte: Any = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
