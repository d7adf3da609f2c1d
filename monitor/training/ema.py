"""A moving average of a network's weights and statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn


class MovingAverage:
    """Keeps `average ← d · average + (1 − d) · weights` with d = min(decay, (1 + t) / (10 + t))."""

    def __init__(self, network: nn.Layer, decay: float) -> None:
        self._network = network
        self._decay = decay
        self._steps = 0
        self._average = {name: value.clone() for name, value in _floats(network).items()}

    def update(self) -> None:
        """Take the network's present weights in."""
        decay = min(self._decay, (1.0 + self._steps) / (10.0 + self._steps))
        self._steps += 1
        with paddle.no_grad():
            for name, value in _floats(self._network).items():
                average = self._average[name]
                average.set_value(average * decay + value * (1.0 - decay))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averaged weights inside the block and its own again after it."""
        own = {name: value.clone() for name, value in _floats(self._network).items()}
        try:
            _assign(self._network, self._average)
            yield
        finally:
            _assign(self._network, own)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a checkpoint."""
        arrays = {name: value.numpy() for name, value in self._average.items()}
        return {**arrays, "@steps": np.array(self._steps)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `state()`."""
        self._steps = int(state["@steps"])
        for name, value in self._average.items():
            value.set_value(state[name])


def _floats(network: nn.Layer) -> dict[str, paddle.Tensor]:
    return {
        name: value for name, value in network.state_dict().items() if value.dtype == paddle.float32
    }


def _assign(network: nn.Layer, values: Mapping[str, paddle.Tensor]) -> None:
    for name, value in _floats(network).items():
        value.set_value(values[name])
