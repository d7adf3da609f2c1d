"""ResNet-D, PULC's teachers (PaddleClas ppcls/arch/backbone/legendary_models/resnet.py, "vd").

Three 3×3 convolutions for a stem, and shortcuts that average before they project. Parameter
names, shapes and numerics are PaddleClas's, so its `.pdparams` load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
import paddle.nn.functional as F  # noqa: N812 (Paddle's own name for it)
from paddle import ParamAttr, nn
from paddle.nn.initializer import Uniform

DEPTHS: dict[str, tuple[int, int, int, int]] = {
    "ResNet50_vd": (3, 4, 6, 3),
    "ResNet101_vd": (3, 4, 23, 3),
}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
FEATURES = WIDTHS[-1] * EXPANSION
STAGES = 5


class ConvBN(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Convolution without bias, BatchNorm, perhaps ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        stride: int = 1,
        relu: bool = False,
        lr_mult: float = 1.0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(
            channels_in,
            channels_out,
            kernel,
            stride=stride,
            padding=(kernel - 1) // 2,
            weight_attr=ParamAttr(learning_rate=lr_mult),
            bias_attr=False,
        )
        self.bn = nn.BatchNorm2D(
            channels_out,
            weight_attr=ParamAttr(learning_rate=lr_mult),
            bias_attr=ParamAttr(learning_rate=lr_mult),
        )
        self._relu = relu

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x) if self._relu else x


class Bottleneck(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """1×1, 3×3 (strided), 1×1; the first of a stage projects its shortcut."""

    def __init__(
        self, channels_in: int, width: int, *, stride: int, project: bool, lr_mult: float
    ) -> None:
        super().__init__()
        channels_out = width * EXPANSION
        self.conv0 = ConvBN(channels_in, width, 1, relu=True, lr_mult=lr_mult)
        self.conv1 = ConvBN(width, width, 3, stride=stride, relu=True, lr_mult=lr_mult)
        self.conv2 = ConvBN(width, channels_out, 1, lr_mult=lr_mult)
        self.short = ConvBN(channels_in, channels_out, 1, lr_mult=lr_mult) if project else None
        self._stride = stride

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        shortcut = x
        if self.short is not None:
            if self._stride > 1:
                shortcut = F.avg_pool2d(x, 2, stride=self._stride, ceil_mode=True)
            shortcut = self.short(shortcut)
        return F.relu(shortcut + self.conv2(self.conv1(self.conv0(x))))


class ResNetVd(nn.Layer):  # type: ignore[misc]  # paddle is untyped
    """Pictures N 3 H W float32 to logits N `class_num`.

    `lr_mult_list` holds five factors on the learning rate: the stem, then the four stages.
    """

    def __init__(
        self,
        depths: Sequence[int],
        class_num: int = 2,
        *,
        lr_mult_list: Sequence[float] = (1.0,) * STAGES,
    ) -> None:
        super().__init__()
        if len(lr_mult_list) != STAGES:
            raise ValueError(
                f"lr_mult_list needs {STAGES} numbers (stem and four stages), "
                f"got {len(lr_mult_list)}"
            )
        stem = ((3, 32, 2), (32, 32, 1), (32, 64, 1))
        self.stem = nn.Sequential(
            *(
                ConvBN(channels, width, 3, stride=stride, relu=True, lr_mult=lr_mult_list[0])
                for channels, width, stride in stem
            )
        )
        blocks = []
        channels = WIDTHS[0]
        for stage, (depth, width) in enumerate(zip(depths, WIDTHS, strict=True)):
            for number in range(depth):
                first = number == 0
                blocks.append(
                    Bottleneck(
                        channels,
                        width,
                        stride=2 if first and stage > 0 else 1,
                        project=first,
                        lr_mult=lr_mult_list[stage + 1],
                    )
                )
                channels = width * EXPANSION
        self.blocks = nn.Sequential(*blocks)
        bound = FEATURES**-0.5
        self.fc = nn.Linear(
            FEATURES, class_num, weight_attr=ParamAttr(initializer=Uniform(-bound, bound))
        )

    def features(self, x: paddle.Tensor) -> paddle.Tensor:
        """The pooled features N 2048."""
        x = F.max_pool2d(self.stem(x), 3, stride=2, padding=1)
        return F.adaptive_avg_pool2d(self.blocks(x), 1).flatten(1)

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Logits N `class_num` of pooled features."""
        return self.fc(features)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classify(self.features(x))


def resnet_vd(name: str, class_num: int = 2, **settings: Any) -> ResNetVd:
    """The ResNet-D called `name` (a key of `DEPTHS`)."""
    return ResNetVd(DEPTHS[name], class_num, **settings)
