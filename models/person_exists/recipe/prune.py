"""Start the student from a person network with half as many channels again.

PoseNet finds the joints of persons with MobileNetV1 x0.75: block by block the layers of PP-LCNet
x1.0 with 1.5 times the channels. Channels the next layer can best do without are taken out
(Optimal Brain Surgeon on the layer's least squares), and every pointwise layer is fitted anew to
what the whole network computed. hardswish(4x) / 4 stands in for ReLU, 3x3 kernels go into the
middle of 5x5.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from crops import MEAN, STD, Pool
from measure import figures, labelled, squeezed
from networks import ConvBN, PPLCNet, SqueezeExcite
from posenet import Layer, PoseNet, pose_input
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from train import normalised

SAMPLES = 16000
SHARPNESS = 4.0
"""hardswish(SHARPNESS * x) / SHARPNESS is close to ReLU."""
GATE = 2.0
"""Bias of the squeeze-and-excitation gates: open by hardsigmoid(2) = 0.83."""


def sampled(x: Tensor, places: Tensor) -> Tensor:
    """N C H W to samples x C at the given places."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])[places].double()


def spared(inputs: Tensor, weight: Tensor, keep: int) -> Tensor:
    """Indices of the `keep` inputs (samples x C) that best serve `weight` (out x C)."""
    centred = inputs - inputs.mean(0)
    gram = centred.T @ centred
    inverse = torch.linalg.inv(gram + gram.diagonal().mean() * 1e-3 * torch.eye(len(gram)))
    weight, alive = weight.double().clone(), torch.ones(len(gram), dtype=torch.bool)
    for _ in range(len(gram) - keep):
        cost = (weight**2).sum(0) / inverse.diagonal().clamp_min(1e-12)
        cost[~alive] = torch.inf
        j = int(cost.argmin())
        weight -= torch.outer(weight[:, j] / inverse[j, j], inverse[j])
        inverse -= torch.outer(inverse[:, j], inverse[j]) / inverse[j, j]
        alive[j] = False
        weight[:, ~alive] = 0
    return alive.nonzero().flatten()


def fitted(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (out x in) and bias of the ridge regression of targets on inputs."""
    x, y = inputs - inputs.mean(0), targets - targets.mean(0)
    gram = x.T @ x
    ridge = gram.diagonal().mean() * 1e-3 * torch.eye(len(gram))
    weight = torch.linalg.solve(gram + ridge, x.T @ y).T
    return weight.float(), (targets.mean(0) - weight @ inputs.mean(0)).float()


@torch.no_grad()
def put_weight(conv: nn.Conv2d, weight: Tensor) -> None:
    """Into the first channels, in the middle of a larger kernel; further inputs count nothing."""
    out, inputs, side, _ = weight.shape
    edge = (conv.kernel_size[0] - side) // 2
    conv.weight[:out] = 0
    conv.weight[:out, :inputs, edge : edge + side, edge : edge + side] = weight


@torch.no_grad()
def settle(block: ConvBN, x: Tensor, bias: Tensor) -> Tensor:
    """Set BatchNorm so that in training, too, the channels give SHARPNESS * (y + bias)."""
    y = block.conv(x)
    mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3))
    block.bn.running_mean.copy_(mean)
    block.bn.running_var.copy_(variance)
    count = len(bias)
    block.bn.weight[:count] = SHARPNESS * (variance[:count] + block.bn.eps).sqrt()
    block.bn.bias[:count] = SHARPNESS * (mean[:count] + bias)
    out: Tensor = block.act(block.bn(y))
    return out


@torch.no_grad()
def prune(net: PPLCNet, layers: list[Layer], pictures: Tensor) -> None:
    """Fill the trunk of `net`; `pictures` (N 3 H W, normalised) give the statistics."""
    net.eval()
    mean, std = (torch.from_numpy(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    whole = [pose_input(pictures)]
    before = []
    for layer in layers:
        before.append(layer(whole[-1]))
        whole.append(before[-1].clamp(0, 6))
    rng = torch.Generator().manual_seed(0)
    x, at = pictures, 0
    kept = torch.arange(3)
    for module in net.modules():
        if isinstance(module, SqueezeExcite):
            module.conv2.weight *= 0.1
            module.conv2.bias.fill_(GATE)
            x = module(x)
        elif isinstance(module, ConvBN):
            layer = layers[at]
            out = module.conv.out_channels
            if at % 2 == 0:
                kept_before, kept = kept, torch.arange(len(layer.weight))
                if out < len(kept):
                    here = whole[at + 2]
                    places = torch.randperm(here[:, 0].numel(), generator=rng)[:SAMPLES]
                    kept = spared(sampled(here, places), layers[at + 2].weight[:, :, 0, 0], out)
            if at == 0:
                put_weight(module.conv, 2 * layer.weight[kept] * std)
                bias = layer.bias[kept] + (layer.weight[kept] * (2 * mean - 1)).sum((1, 2, 3))
            elif at % 2:
                put_weight(module.conv, layer.weight[kept] / SHARPNESS)
                bias = layer.bias[kept]
            else:
                target = before[at][:, kept]
                step = target.shape[2] // x.shape[2]
                places = torch.randperm(x[:, 0].numel(), generator=rng)[:SAMPLES]
                inputs = sampled(x[:, : len(kept_before)], places)
                wanted = sampled(target[:, :, ::step, ::step], places)
                weight, bias = fitted(inputs, wanted)
                put_weight(module.conv, weight[:, :, None, None])
                error = (inputs.float() @ weight.T + bias - wanted.float()).var(
                    0
                ) / wanted.float().var(0)
                print(f"layer {at}: {len(kept)} of {len(layer.weight)} channels, "
                      f"unexplained {error.mean():.3f}")  # fmt: skip
            x, at = settle(module, x, bias), at + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--posenet", type=Path, required=True, help="folder of posenet.json, .bin")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to start from")
    args = parser.parse_args()
    torch.manual_seed(0)
    pool = Pool(args.pool)

    def at_side(entries: list, side: int) -> Tensor:  # type: ignore[type-arg]
        stacked = np.stack([squeezed(pool.picture(entry), side) for entry in entries])
        return normalised(torch.from_numpy(stacked))

    net = PPLCNet()
    layers = PoseNet(args.posenet).layers
    train = pool.split("train", "coco_person")
    order = np.random.default_rng(0).permutation(len(train))
    prune(net, layers, at_side([train[i] for i in order[:96]], 192))
    torch.save({"average": net.state_dict()}, args.out)

    entries, labels = labelled(pool, "val")
    probe = [train[i] for i in order if train[i].label is not None][:1500]
    with torch.inference_mode():
        features = {
            name: torch.cat(
                [net.maps(at_side(chosen[i : i + 64], 192))[1].mean((2, 3))
                 for i in range(0, len(chosen), 64)]
            ).numpy()
            for name, chosen in (("probe", probe), ("val", entries))
        }  # fmt: skip
    line = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    line.fit(features["probe"], [entry.label for entry in probe])
    scores = line.predict_proba(features["val"])[:, 1]
    print(f"linear probe on 1500 pictures, val: {figures(labels, scores)}")


if __name__ == "__main__":
    main()
