"""Let the student match its teachers' function: both see every crop, live, mixed ones too.

EfficientNet-Lite and PoseNet answer for each crop that is drawn (OpenVINO, bf16: 10 ms for both),
so no crop comes twice, and crops can be blended with each other (Beyer et al., "Knowledge
distillation: a good teacher is patient and consistent", CVPR 2022). Only the student gets the
camera look. It learns PoseNet's heat, EfficientNet's map and features, the sum of both logits and,
a little, the computed labels.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino
import torch
from crops import CropSampler, Image, Pool, camera_look, colours, erased, turned
from crops import normalised as normalised_crop
from distill import Distilled, begin
from numpy.typing import NDArray
from teach import SIDE, Joints, Scene
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from train import Run, normalised, schedule_arguments

SCENE, JOINTS, SHIFT = 0.7, 0.7, 0.4
"""The wanted logit of someone: weights of EfficientNet's and PoseNet's, and what is added. On val
their sum has AUROC .999 (squeezed) and a TPR of .988 at FPR 1/100; PoseNet alone .996, .953."""
SURE = 6.0
"""Logits beyond are not followed any further."""
SETTLE = 16
"""Batches whose maps give the teachers' mean and deviation by channel."""

Sample = tuple[NDArray[Any], ...]


def exported(net: nn.Module, outputs: int, file: Path) -> None:
    """The network as ONNX, with a free batch size."""
    names, content = [f"out{i}" for i in range(outputs)], io.BytesIO()
    with torch.no_grad():
        torch.onnx.export(
            net.eval(), (torch.zeros(2, 3, SIDE, SIDE),), content, input_names=["x"],
            output_names=names, dynamic_axes={n: {0: "n"} for n in ("x", *names)},
            opset_version=17, dynamo=False,
        )  # fmt: skip
    file.write_bytes(content.getvalue())


class Taught(IterableDataset):  # type: ignore[type-arg]
    """Endless batches: the student's pictures (N size size 3 uint8), computed targets (NaN where
    open), the wanted logits, PoseNet's heat, EfficientNet's last map and pooled features."""

    def __init__(self, args: argparse.Namespace, seed: int) -> None:
        self.args, self.seed = args, seed

    def __iter__(self) -> Iterator[Sample]:
        cv2.setNumThreads(1)
        core, rng = openvino.Core(), np.random.default_rng(self.seed)
        settings = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1}
        scene, joints = (
            core.compile_model(str(self.args.teachers / f"{name}.onnx"), "CPU", settings)
            for name in ("scene", "joints")
        )
        sampler = CropSampler(Pool(self.args.pool), SIDE, rng, self.args.unlabelled)
        while True:
            crops = [sampler.draw() for _ in range(self.args.batch)]
            targets = np.array([crop.target for crop in crops], np.float32)
            pictures = [np.ascontiguousarray(turned(crop.pixels, rng)) for crop in crops]
            targets[self.vary(pictures, rng)] = np.nan
            seen = np.stack([normalised_crop(picture) for picture in pictures])
            by_scene, last, pooled = scene(seen).to_tuple()
            by_joints, heat = joints(seen).to_tuple()
            wanted = SCENE * by_scene + JOINTS * by_joints + SHIFT
            looks = np.stack([self.look(picture, rng) for picture in pictures])
            yield looks, targets, wanted, heat.copy(), last.copy(), pooled.copy()

    def vary(self, pictures: list[Image], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Blend, patch and tint some of the pictures; True where the computed target is lost."""
        args, count = self.args, len(pictures)
        blended, patched, tinted = (
            rng.random(count) < part for part in (args.blended, args.patched, args.tinted)
        )
        for i in np.flatnonzero(blended):
            share, other = rng.random(), pictures[rng.integers(count)]
            pictures[i] = cv2.addWeighted(pictures[i], share, other, 1 - share, 0)
        for i in np.flatnonzero(patched):
            other, (h, w) = (
                pictures[rng.integers(count)],
                (rng.uniform(0.3, 0.75, 2) * SIDE).astype(int),
            )
            y, x = rng.integers(0, SIDE - h), rng.integers(0, SIDE - w)
            pictures[i] = pictures[i].copy()
            pictures[i][y : y + h, x : x + w] = other[y : y + h, x : x + w]
        for i in np.flatnonzero(tinted):
            tint = colours(pictures[i].astype(np.float32), rng)
            pictures[i] = np.clip(tint, 0, 255).astype(np.uint8)
        lost: NDArray[np.bool_] = blended | patched
        return lost

    def look(self, picture: Image, rng: np.random.Generator) -> Image:
        if self.args.size != SIDE:
            new = (self.args.size, self.args.size)
            picture = cv2.resize(picture, new, interpolation=cv2.INTER_AREA)
        return erased(camera_look(picture, rng), rng, 0.1)


class Standard:
    """Standardises the teachers' maps by channel."""

    def __init__(self, batches: Taught) -> None:
        first = [batch[3:] for batch, _ in zip(batches, range(SETTLE), strict=False)]
        self.statistics = []
        for maps in zip(*first, strict=True):
            all_of_them = torch.from_numpy(np.concatenate(maps))
            axes = (0, *range(2, all_of_them.ndim))
            mean, deviation = all_of_them.mean(axes, True), all_of_them.std(axes, keepdim=True)
            self.statistics.append((mean, deviation + 1e-3))

    @property
    def channels(self) -> list[int]:
        return [mean.shape[1] for mean, _ in self.statistics]

    def __call__(self, maps: tuple[Tensor, ...]) -> list[Tensor]:
        return [(m - mean) / std for m, (mean, std) in zip(maps, self.statistics, strict=True)]


def sized(full: Tensor, like: Tensor) -> Tensor:
    if full.shape[2:] == like.shape[2:]:
        return full
    return nn.functional.interpolate(
        full, like.shape[2:], mode="bilinear", align_corners=False, antialias=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    schedule_arguments(parser)
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of train.py")
    parser.add_argument("--posenet", type=Path, required=True, help="folder of posenet.json, .bin")
    parser.add_argument("--teachers", type=Path, required=True, help="folder for both as ONNX")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint to start from")
    parser.add_argument("--freeze", type=int, default=2, help="lowest stages left alone, of 6")
    parser.add_argument(
        "--hints", type=float, nargs=3, default=[1.0, 0.7, 0.7],
        help="weights of PoseNet's heat, EfficientNet's map and features",
    )  # fmt: skip
    for name, part, said in (
        ("blended", 0.3, "with another one, at any ratio"),
        ("patched", 0.0, "with a part of another one"),
        ("tinted", 0.0, "for the teachers, too"),
        ("unlabelled", 0.14, "cut from unlabelled pictures"),
    ):
        parser.add_argument(f"--{name}", type=float, default=part, help=f"part of the crops {said}")
    parser.add_argument("--hard", type=float, default=0.2, help="weight of the computed label")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.teachers.mkdir(parents=True, exist_ok=True)
    exported(Scene(0, args.teacher), 3, args.teachers / "scene.onnx")
    exported(Joints(args.posenet), 2, args.teachers / "joints.onnx")
    standard = Standard(Taught(args, args.seed))
    heat_channels, last_channels, pooled_channels = standard.channels
    net = Distilled([heat_channels, 1, last_channels, pooled_channels])
    begin(net, args.start)
    net.freeze(args.freeze)
    run = Run(args, net, batched=True)

    def loss_of(pictures: Tensor, targets: Tensor, wanted: Tensor, *maps: Tensor) -> Tensor:
        net.train()
        everything = torch.ones(len(pictures), dtype=torch.bool)
        logits, (heat, _, _, last, pooled) = net.guesses(normalised(pictures), everything)
        true_heat, true_last, true_pooled = standard(maps)
        likely = nn.functional.binary_cross_entropy_with_logits
        near, logit, known = nn.functional.smooth_l1_loss, logits[:, 1] - logits[:, 0], targets >= 0
        loss = likely(logit, wanted.sigmoid()) + 0.15 * near(logit, wanted.clamp(-SURE, SURE))
        if known.any():
            smooth = targets[known] * (1 - 2 * args.smooth) + args.smooth
            loss = loss + args.hard * likely(logit[known], smooth)
        for weight, guess, true in zip(
            args.hints, (heat, last), (true_heat, true_last), strict=False
        ):
            loss = loss + weight * near(guess, sized(true, guess))
        return loss + args.hints[2] * near(pooled, true_pooled)

    run.go(lambda seed: Taught(args, seed), loss_of)


if __name__ == "__main__":
    main()
