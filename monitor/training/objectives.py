"""What a training run minimises: labels here, a teacher's view in `distill`."""

from __future__ import annotations

from dataclasses import dataclass

import paddle
from paddle import nn

from monitor.training.config import LossConfig
from monitor.training.losses import cross_entropy


@dataclass(frozen=True, slots=True)
class TensorBatch:
    """A batch on the device: pictures (n, 3, s, s), labels (n,), indices into the samples."""

    pictures: paddle.Tensor
    labels: paddle.Tensor
    indices: paddle.Tensor


class Objective(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """A loss that may have parameters of its own; they are trained and saved with the network."""

    def forward(
        self, network: nn.Layer, batch: TensorBatch
    ) -> tuple[paddle.Tensor, dict[str, paddle.Tensor]]:
        """The loss to minimise and its parts by name."""
        raise NotImplementedError


class LabelObjective(Objective):
    """Cross entropy with the labels."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self._smoothing = config.epsilon
        self._weights = (
            paddle.to_tensor(config.class_weights, dtype="float32")
            if config.class_weights is not None
            else None
        )

    def forward(
        self, network: nn.Layer, batch: TensorBatch
    ) -> tuple[paddle.Tensor, dict[str, paddle.Tensor]]:
        loss = cross_entropy(
            network(batch.pictures),
            batch.labels,
            smoothing=self._smoothing,
            class_weights=self._weights,
        )
        return loss, {"ce": loss}
