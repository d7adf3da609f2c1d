"""PP-LCNet, the network of PULC (PaddleClas ppcls/arch/backbone/legendary_models/pp_lcnet.py).

Parameter names, shapes and numerics are PaddleClas's, so its `.pdparams` load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import paddle
from paddle import ParamAttr, nn
from paddle.nn.initializer import KaimingNormal
from paddle.regularizer import L2Decay

SCALES: dict[str, float] = {
    "PPLCNet_x0_25": 0.25,
    "PPLCNet_x0_35": 0.35,
    "PPLCNet_x0_5": 0.5,
    "PPLCNet_x0_75": 0.75,
    "PPLCNet_x1_0": 1.0,
    "PPLCNet_x1_5": 1.5,
    "PPLCNet_x2_0": 2.0,
    "PPLCNet_x2_5": 2.5,
}
FEATURES = 1280
STAGES = 6


class Block(NamedTuple):
    """One depthwise separable block, channels at scale 1."""

    kernel: int
    channels_in: int
    channels_out: int
    stride: int
    squeeze: bool


BLOCKS: dict[str, tuple[Block, ...]] = {
    "blocks2": (Block(3, 16, 32, 1, False),),
    "blocks3": (Block(3, 32, 64, 2, False), Block(3, 64, 64, 1, False)),
    "blocks4": (Block(3, 64, 128, 2, False), Block(3, 128, 128, 1, False)),
    "blocks5": (Block(3, 128, 256, 2, False), *(Block(5, 256, 256, 1, False),) * 5),
    "blocks6": (Block(5, 256, 512, 2, True), Block(5, 512, 512, 1, True)),
}


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, at most 10 % below it."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class ConvBNLayer(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Convolution without bias, BatchNorm without weight decay, hard swish."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        lr_mult: float = 1.0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(
            channels_in,
            channels_out,
            kernel,
            stride=stride,
            padding=(kernel - 1) // 2,
            groups=groups,
            weight_attr=ParamAttr(initializer=KaimingNormal(), learning_rate=lr_mult),
            bias_attr=False,
        )
        self.bn = nn.BatchNorm2D(
            channels_out,
            weight_attr=ParamAttr(regularizer=L2Decay(0.0), learning_rate=lr_mult),
            bias_attr=ParamAttr(regularizer=L2Decay(0.0), learning_rate=lr_mult),
        )
        self.act = nn.Hardswish()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.act(self.bn(self.conv(x)))


class SEModule(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Squeeze-and-excitation with a reduction of 4 and a hard sigmoid."""

    def __init__(self, channels: int, lr_mult: float) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.conv1 = _pointwise(channels, channels // 4, lr_mult)
        self.relu = nn.ReLU()
        self.conv2 = _pointwise(channels // 4, channels, lr_mult)
        self.hardsigmoid = nn.Hardsigmoid()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        gate = self.relu(self.conv1(self.avg_pool(x)))
        return x * self.hardsigmoid(self.conv2(gate))


def _pointwise(channels_in: int, channels_out: int, lr_mult: float) -> nn.Conv2D:
    return nn.Conv2D(
        channels_in,
        channels_out,
        1,
        weight_attr=ParamAttr(learning_rate=lr_mult),
        bias_attr=ParamAttr(learning_rate=lr_mult),
    )


class DepthwiseSeparable(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Depthwise convolution, squeeze-and-excitation in the last stage, pointwise convolution."""

    def __init__(self, block: Block, scale: float, lr_mult: float) -> None:
        super().__init__()
        channels_in = make_divisible(block.channels_in * scale)
        self.dw_conv = ConvBNLayer(
            channels_in,
            channels_in,
            kernel=block.kernel,
            stride=block.stride,
            groups=channels_in,
            lr_mult=lr_mult,
        )
        self.se = SEModule(channels_in, lr_mult) if block.squeeze else None
        self.pw_conv = ConvBNLayer(
            channels_in, make_divisible(block.channels_out * scale), kernel=1, lr_mult=lr_mult
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.dw_conv(x)
        if self.se is not None:
            x = self.se(x)
        return self.pw_conv(x)


class PPLCNet(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """PP-LCNet: pictures N 3 H W float32 (PaddleClas normalisation) to logits N `class_num`.

    `lr_mult_list` holds six factors on the learning rate: the stem, then blocks2 to blocks6.
    Dropout is `downscale_in_infer`: features are multiplied by 1 - `dropout_prob` at inference.
    """

    def __init__(
        self,
        scale: float = 1.0,
        class_num: int = 2,
        *,
        dropout_prob: float = 0.2,
        class_expand: int = FEATURES,
        lr_mult_list: Sequence[float] = (1.0,) * STAGES,
    ) -> None:
        super().__init__()
        if len(lr_mult_list) != STAGES:
            raise ValueError(
                f"lr_mult_list needs {STAGES} numbers (stem, blocks2 to blocks6), "
                f"got {len(lr_mult_list)}"
            )
        self.conv1 = ConvBNLayer(
            3, make_divisible(16 * scale), kernel=3, stride=2, lr_mult=lr_mult_list[0]
        )
        for (name, blocks), lr_mult in zip(BLOCKS.items(), lr_mult_list[1:], strict=True):
            layers = (DepthwiseSeparable(block, scale, lr_mult) for block in blocks)
            setattr(self, name, nn.Sequential(*layers))
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        trunk = make_divisible(BLOCKS["blocks6"][-1].channels_out * scale)
        self.last_conv = nn.Conv2D(trunk, class_expand, 1, bias_attr=False)
        self.act = nn.Hardswish()
        self.dropout = nn.Dropout(p=dropout_prob, mode="downscale_in_infer")
        self.flatten = nn.Flatten(start_axis=1, stop_axis=-1)
        self.fc = nn.Linear(class_expand, class_num)

    def features(self, x: paddle.Tensor) -> paddle.Tensor:
        """The pooled features N `class_expand`, before dropout: what feature hints compare."""
        x = self.conv1(x)
        for name in BLOCKS:
            x = getattr(self, name)(x)
        return self.flatten(self.act(self.last_conv(self.avg_pool(x))))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Logits N `class_num` of pooled features."""
        return self.fc(self.dropout(features))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classify(self.features(x))


def pplcnet(name: str, class_num: int = 2, **settings: Any) -> PPLCNet:
    """The PP-LCNet called `name` (a key of `SCALES`), e.g. `PPLCNet_x1_0`."""
    return PPLCNet(SCALES[name], class_num, **settings)
