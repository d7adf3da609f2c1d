"""A network in Paddle 2's format, made to take raw pixels: for OpenVINO inside Paddle.

OpenVINO plans its memory, and drops the change of layout at the entrance, only where it knows all
shapes, so each batch size gets a program of its own. The first convolution takes over the
normalisation `(x * scale - mean) / std`: its weights are multiplied by `scale / std`, and what
`-mean / std` adds is one number for each of its outputs. Where the convolution pads zeros it would
be another; so pictures come with that margin themselves, filled with the pixel that normalisation
makes zero. All of it is said in operators on the weights, which OpenVINO computes once: the file
with the parameters stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from monitor.imaging.preprocess import MEAN, SCALE, SIDE, STD
from monitor.inference.runtime import program_messages

_PREFIX: Final = "pixels"
"""Of the names of what is added, with the batch size: Paddle tells the engines of a process apart
by such names."""


@dataclass(frozen=True, slots=True)
class PixelProgram:
    """A program that takes pixels 0..255, float32 (batch, 224 + 2 margin, 224 + 2 margin, 3).

    `data`: a serialized ProgramDesc (Paddle `framework.proto`).
    """

    data: bytes
    margin: int


def pixel_program(program: bytes, batch: int) -> PixelProgram | None:
    """The network of `program` for `batch` pictures as pixels.

    None if it does not begin with one plain convolution, padded alike on all sides. Raises what
    protobuf raises if `program` is no program.
    """
    messages = program_messages()
    described = messages.ProgramDesc.FromString(program)
    if len(described.blocks) != 1:
        return None
    block = described.blocks[0]
    feeds = [operator for operator in block.ops if operator.type == "feed"]
    if len(feeds) != 1:
        return None
    source = feeds[0].outputs[0].arguments[0]
    users = [i for i, operator in enumerate(block.ops) if source in _names(operator.inputs)]
    margin = _padding(block.ops[users[0]]) if len(users) == 1 else None
    if margin is None:
        return None
    side = SIDE + 2 * margin
    _tensor(block, source).dims[:] = [batch, side, side, 3]
    before, after = _Surroundings(messages, block, batch).of(block.ops[users[0]])
    operators = list(block.ops)
    operators[users[0] : users[0] + 1] = [*before, operators[users[0]], *after]
    serialized = [operator.SerializeToString() for operator in operators]
    del block.ops[:]
    for data in serialized:
        block.ops.add().ParseFromString(data)
    return PixelProgram(described.SerializeToString(deterministic=True), margin)


class _Surroundings:
    """Makes what stands around the first convolution of `block`."""

    def __init__(self, messages: Any, block: Any, batch: int) -> None:
        self._messages = messages
        self._block = block
        self._prefix = f"{_PREFIX}{batch}"

    def of(self, convolution: Any) -> tuple[list[Any], list[Any]]:
        """Operators before and after `convolution`, which is changed to stand between them."""
        source = _slot(convolution.inputs, "Input")
        weights = _slot(convolution.inputs, "Filter")
        result = _slot(convolution.outputs, "Output")
        filters = weights.arguments[0]
        channels = _tensor(self._block, filters).dims[0]
        make = self._operator
        before = [
            make("transpose2", {"X": source.arguments[0]}, "planes", axis=[0, 3, 1, 2]),
            self._constant("factor", (SCALE / STD).tolist()),
            self._constant("offset", (-MEAN / STD).tolist()),
            make("elementwise_mul", {"X": filters, "Y": self._name("factor")}, "filters", axis=-1),
            make("elementwise_mul", {"X": filters, "Y": self._name("offset")}, "offsets", axis=-1),
            make(
                "reduce_sum", {"X": self._name("offsets")}, "sums",
                dim=[1, 2, 3], keep_dim=False, reduce_all=False,
            ),
            make("reshape2", {"X": self._name("sums")}, "added", shape=[1, channels, 1, 1]),
        ]  # fmt: skip
        operands = {"X": self._name("bare"), "Y": self._name("added")}
        after = make("elementwise_add", operands, "bare", axis=-1)
        after.outputs[0].arguments[0] = result.arguments[0]
        source.arguments[0] = self._name("planes")
        weights.arguments[0] = self._name("filters")
        result.arguments[0] = self._name("bare")
        paddings = _attributes(convolution)["paddings"].ints
        paddings[:] = [0] * len(paddings)
        return before, [after]

    def _name(self, name: str) -> str:
        return f"{self._prefix}.{name}"

    def _declared(self, name: str) -> str:
        """The whole name of a new float32 tensor whose shape follows from the operators."""
        variable = self._block.vars.add(name=self._name(name))
        variable.type.type = self._messages.VarType.DENSE_TENSOR
        variable.type.dense_tensor.tensor.data_type = self._messages.VarType.FP32
        return self._name(name)

    def _constant(self, name: str, values: list[float]) -> Any:
        """An operator that gives `values`, one for each channel a filter reads."""
        float32 = int(self._messages.VarType.FP32)
        shape = [1, len(values), 1, 1]
        return self._operator(
            "assign_value", {}, name, shape=shape, dtype=float32, fp32_values=values
        )

    def _operator(
        self,
        kind: str,
        inputs: Mapping[str, str],
        output: str,
        **attributes: bool | int | list[int] | list[float],
    ) -> Any:
        """An operator with the new tensor `output`."""
        operator = self._messages.OpDesc(type=kind)
        for parameter, name in inputs.items():
            operator.inputs.add(parameter=parameter, arguments=[name])
        operator.outputs.add(parameter="Out", arguments=[self._declared(output)])
        if kind in {"transpose2", "reshape2"}:
            shape = self._declared(f"{output}.shape")
            operator.outputs.add(parameter="XShape", arguments=[shape])
        kinds = self._messages.AttrType
        for name, value in attributes.items():
            if isinstance(value, bool):
                operator.attrs.add(name=name, type=kinds.BOOLEAN, b=value)
            elif isinstance(value, int):
                operator.attrs.add(name=name, type=kinds.INT, i=value)
            elif all(isinstance(each, int) for each in value):
                operator.attrs.add(name=name, type=kinds.INTS, ints=value)
            else:
                operator.attrs.add(name=name, type=kinds.FLOATS, floats=value)
        return operator


def _padding(convolution: Any) -> int | None:
    """Zeros on each side, if `convolution` is one that can take pixels."""
    if convolution.type != "conv2d":
        return None
    attributes = _attributes(convolution)
    paddings = set(attributes["paddings"].ints)
    plain = (
        len(paddings) == 1
        and attributes["groups"].i == 1
        and attributes["padding_algorithm"].s == "EXPLICIT"
        and attributes["data_format"].s in {"NCHW", "AnyLayout"}
    )
    return int(paddings.pop()) if plain else None


def _attributes(operator: Any) -> dict[str, Any]:
    return {attribute.name: attribute for attribute in operator.attrs}


def _tensor(block: Any, name: str) -> Any:
    return next(each for each in block.vars if each.name == name).type.dense_tensor.tensor


def _slot(slots: Any, parameter: str) -> Any:
    return next(slot for slot in slots if slot.parameter == parameter)


def _names(slots: Any) -> Iterator[str]:
    for slot in slots:
        yield from slot.arguments
