"""Start the student from a small network that knows persons already.

MLPerf's visual wake words model (Apache-2.0) is MobileNetV1 x0.25: block by block the layers of
PP-LCNet x1.0 at half its channels, with 3x3 kernels, ReLU and no squeeze-and-excitation. It goes
into one half of the channels, in the middle of the 5x5 kernels; the other half starts at random
and at first only listens. hardswish(4x) / 4 stands in for ReLU. So the student starts about as
good as the small network and has twice the channels to become better with.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from crops import MEAN, STD, Pool
from measure import figures, labelled, squeezed
from networks import ConvBN, PPLCNet, SqueezeExcite
from numpy.typing import NDArray
from torch import Tensor, nn
from train import normalised

SHARPNESS = 4.0
"""hardswish(SHARPNESS * x) / SHARPNESS is close to ReLU."""
GATE = 2.0
"""Bias of the squeeze-and-excitation gates: open by hardsigmoid(2) = 0.83."""

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


def small_layers(path: Path) -> list[Layer]:
    """(weight out x in x k x k, bias) of all layers in order, the classifier last."""
    reader = Interpreter(str(path))
    reader.allocate_tensors()
    layers: list[Layer] = []
    for step in reader._get_ops_details():
        name, inputs = step["op_name"], [int(i) for i in step["inputs"]]
        if name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        weight, bias = reader.get_tensor(inputs[1]), reader.get_tensor(inputs[2])
        if name == "CONV_2D":
            weight = weight.transpose(0, 3, 1, 2)
        elif name == "DEPTHWISE_CONV_2D":
            weight = weight.transpose(3, 0, 1, 2)
        layers.append((np.array(weight), np.array(bias)))
    return layers


@torch.no_grad()
def put_weight(conv: nn.Conv2d, weight: Tensor) -> None:
    """Into the first half of the channels; the others don't speak to them."""
    out, inputs, side, _ = weight.shape
    edge = (conv.kernel_size[0] - side) // 2
    conv.weight[:out] = 0
    conv.weight[:out, :inputs, edge : edge + side, edge : edge + side] = weight


@torch.no_grad()
def settle(block: ConvBN, x: Tensor, bias: Tensor) -> Tensor:
    """Set BatchNorm so that in training, too, the first channels give SHARPNESS * (y + bias)."""
    y = block.conv(x)
    mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3))
    block.bn.running_mean.copy_(mean)
    block.bn.running_var.copy_(variance)
    half = len(bias)
    block.bn.weight[:half] = SHARPNESS * (variance[:half] + block.bn.eps).sqrt()
    block.bn.bias[:half] = SHARPNESS * (mean[:half] + bias)
    out: Tensor = block.act(block.bn(y))
    return out


@torch.no_grad()
def widen(net: PPLCNet, layers: list[Layer], pictures: Tensor) -> None:
    """Fill `net`; `pictures` (N 3 H W, normalised) give the statistics."""
    net.eval()
    mean, std = (torch.from_numpy(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    x, at, opened = pictures, 0, 1.0
    for module in net.modules():
        if isinstance(module, SqueezeExcite):
            module.conv2.weight *= 0.1
            module.conv2.bias.fill_(GATE)
            x = module(x)
            opened = GATE / 6 + 0.5
        elif isinstance(module, ConvBN):
            weight, bias = (torch.from_numpy(v) for v in layers[at])
            if at == 0:
                bias = bias + (weight * mean).sum((1, 2, 3))
                weight = weight * std
            else:
                weight = weight / (SHARPNESS * opened)
            put_weight(module.conv, weight)
            x = settle(module, x, bias)
            at, opened = at + 1, 1.0
    weight, bias = (torch.from_numpy(v) for v in layers[at])
    difference = (weight[1] - weight[0]) / SHARPNESS
    net.last_conv.weight[:2] = 0
    net.last_conv.weight[0, : len(difference), 0, 0] = difference
    net.last_conv.weight[1, : len(difference), 0, 0] = -difference
    net.fc.weight *= 0.1
    # hardswish(d) - hardswish(-d) = d; inference multiplies features by 1 - drop.
    half = 0.5 / (1 - net.drop)
    net.fc.weight[:, :2] = torch.tensor([[-half, half], [half, -half]])
    net.fc.bias.copy_(torch.tensor([-1.0, 1.0]) * (bias[1] - bias[0]) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--small", type=Path, required=True, help="mlperf_vww_96_float.tflite")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to start from")
    args = parser.parse_args()
    torch.manual_seed(0)
    pool = Pool(args.pool)

    def at_side(entries: list, side: int) -> Tensor:  # type: ignore[type-arg]
        stacked = np.stack([squeezed(pool.picture(entry), side) for entry in entries])
        return normalised(torch.from_numpy(stacked))

    net = PPLCNet()
    train = [e for e in pool.split("train", "coco_person") if e.source != "vww_coco96"]
    chosen = np.random.default_rng(0).permutation(len(train))[:128]
    widen(net, small_layers(args.small), at_side([train[i] for i in chosen], 112))
    torch.save({"average": net.state_dict()}, args.out)
    entries, labels = labelled(pool, "val")
    for side in (96, 128, 160):
        with torch.inference_mode():
            logits = torch.cat(
                [net(at_side(entries[i : i + 64], side)) for i in range(0, len(entries), 64)]
            )
        print(f"val squeezed to {side}: {figures(labels, logits.softmax(1)[:, 1].numpy())}")


if __name__ == "__main__":
    main()
