"""MobileNetV3 small (PaddleClas ppcls/arch/backbone/legendary_models/mobilenet_v3.py).

Parameter names, shapes and numerics are PaddleClas's, so its `.pdparams` load as they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import paddle
import paddle.nn.functional as F  # noqa: N812 (Paddle's own name for it)
from paddle import ParamAttr, nn
from paddle.regularizer import L2Decay

from monitor.training.networks.pplcnet import make_divisible

SCALES: dict[str, float] = {"MobileNetV3_small_x0_35": 0.35, "MobileNetV3_small_x1_0": 1.0}
FEATURES = 1280
STEM, SQUEEZE = 16, 576
"""Channels of the first and the last-but-one convolution at scale 1."""


class Unit(NamedTuple):
    """One inverted residual, channels at scale 1."""

    kernel: int
    expanded: int
    channels_out: int
    squeeze: bool
    activation: str
    stride: int


SMALL: tuple[Unit, ...] = (
    Unit(3, 16, 16, True, "relu", 2),
    Unit(3, 72, 24, False, "relu", 2),
    Unit(3, 88, 24, False, "relu", 1),
    Unit(5, 96, 40, True, "hardswish", 2),
    Unit(5, 240, 40, True, "hardswish", 1),
    Unit(5, 240, 40, True, "hardswish", 1),
    Unit(5, 120, 48, True, "hardswish", 1),
    Unit(5, 144, 48, True, "hardswish", 1),
    Unit(5, 288, 96, True, "hardswish", 2),
    Unit(5, 576, 96, True, "hardswish", 1),
    Unit(5, 576, 96, True, "hardswish", 1),
)

_ACTIVATIONS = {"relu": F.relu, "hardswish": F.hardswish}


class ConvBN(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Convolution without bias, BatchNorm without weight decay, perhaps an activation."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(
            channels_in,
            channels_out,
            kernel,
            stride=stride,
            padding=(kernel - 1) // 2,
            groups=groups,
            bias_attr=False,
        )
        self.bn = nn.BatchNorm2D(
            channels_out,
            weight_attr=ParamAttr(regularizer=L2Decay(0.0)),
            bias_attr=ParamAttr(regularizer=L2Decay(0.0)),
        )
        self._activation = activation

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.bn(self.conv(x))
        return x if self._activation is None else _ACTIVATIONS[self._activation](x)


class SqueezeExcitation(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Channel gate with a reduction of 4; its hard sigmoid is max(0, min(1, 0.2 x + 0.5))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels, channels // 4, 1)
        self.conv2 = nn.Conv2D(channels // 4, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        gate = self.conv2(F.relu(self.conv1(F.adaptive_avg_pool2d(x, 1))))
        return x * F.hardsigmoid(gate, slope=0.2, offset=0.5)


class InvertedResidual(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Expand, filter per channel, gate, project; added to the input where shapes allow."""

    def __init__(self, unit: Unit, channels_in: int, scale: float) -> None:
        super().__init__()
        expanded = make_divisible(unit.expanded * scale)
        channels_out = make_divisible(unit.channels_out * scale)
        self.expand_conv = ConvBN(channels_in, expanded, 1, activation=unit.activation)
        self.bottleneck_conv = ConvBN(
            expanded,
            expanded,
            unit.kernel,
            stride=unit.stride,
            groups=expanded,
            activation=unit.activation,
        )
        self.mid_se = SqueezeExcitation(expanded) if unit.squeeze else None
        self.linear_conv = ConvBN(expanded, channels_out, 1)
        self._residual = unit.stride == 1 and channels_in == channels_out

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.bottleneck_conv(self.expand_conv(x))
        if self.mid_se is not None:
            y = self.mid_se(y)
        y = self.linear_conv(y)
        return x + y if self._residual else y


class MobileNetV3Small(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Pictures N 3 H W float32 to logits N `class_num`.

    Dropout is `downscale_in_infer`: features are multiplied by 1 - `dropout_prob` at inference.
    """

    def __init__(
        self, scale: float = 1.0, class_num: int = 2, *, dropout_prob: float = 0.2
    ) -> None:
        super().__init__()
        self.conv = ConvBN(3, make_divisible(STEM * scale), 3, stride=2, activation="hardswish")
        inputs = [STEM, *(unit.channels_out for unit in SMALL[:-1])]
        self.blocks = nn.Sequential(
            *(
                InvertedResidual(unit, make_divisible(channels * scale), scale)
                for unit, channels in zip(SMALL, inputs, strict=True)
            )
        )
        squeezed = make_divisible(SQUEEZE * scale)
        self.last_second_conv = ConvBN(
            make_divisible(SMALL[-1].channels_out * scale), squeezed, 1, activation="hardswish"
        )
        self.last_conv = nn.Conv2D(squeezed, FEATURES, 1, bias_attr=False)
        self.dropout = nn.Dropout(p=dropout_prob, mode="downscale_in_infer")
        self.fc = nn.Linear(FEATURES, class_num)

    def features(self, x: paddle.Tensor) -> paddle.Tensor:
        """The pooled features N 1280, before dropout."""
        x = self.last_second_conv(self.blocks(self.conv(x)))
        pooled = F.adaptive_avg_pool2d(x, 1)
        return F.hardswish(self.last_conv(pooled)).flatten(1)

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Logits N `class_num` of pooled features."""
        return self.fc(self.dropout(features))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classify(self.features(x))


def mobilenetv3_small(name: str, class_num: int = 2, **settings: Any) -> MobileNetV3Small:
    """The MobileNetV3 called `name` (a key of `SCALES`)."""
    return MobileNetV3Small(SCALES[name], class_num, **settings)
