"""Distil the teachers into PP-LCNet: their maps and features, their scores, the computed labels.

Most crops come with the teacher's answer (`teach.py`); the rest are fresh crops with computed
labels only. The student sees all of them with the camera look the teacher did not have.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from crops import CropSampler, Image, Pool, camera_look, erased, turned
from networks import PPLCNet, load_layout_backbone
from teach import HINTS
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from train import Run, normalised, schedule_arguments, soft_cross_entropy

Sample = tuple[Image, np.float32, np.float32, np.int64, bool]


class TaughtCrops(IterableDataset):  # type: ignore[type-arg]
    """Endless (picture, target or NaN, teacher's P(someone) or NaN, row or -1, mirrored)."""

    def __init__(self, args: argparse.Namespace, seed: int) -> None:
        self.args, self.seed = args, seed

    def __iter__(self) -> Iterator[Sample]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng(self.seed)
        fresh = CropSampler(Pool(self.args.pool), self.args.size, rng)
        known = np.load(self.args.taught / "crops.npz")
        starts, targets, someone = known["starts"], known["targets"], known["someone"]
        blob = np.memmap(self.args.taught / "crops.bin", np.uint8, "r")
        while True:
            for row in rng.permutation(len(targets)):
                while rng.random() < self.args.fresh:
                    yield self.fresh(fresh, rng)
                picture = cv2.imdecode(blob[starts[row] : starts[row + 1]], cv2.IMREAD_COLOR)
                new = (self.args.size, self.args.size)
                if picture.shape[:2] != new:
                    picture = cv2.resize(picture, new, interpolation=cv2.INTER_AREA)
                mirrored = bool(rng.random() < 0.5)
                picture = picture[:, ::-1] if mirrored else picture
                look = self.look(picture, rng)
                yield look, targets[row], someone[row], np.int64(row), mirrored

    def fresh(self, sampler: CropSampler, rng: np.random.Generator) -> Sample:
        crop = sampler.draw()
        while np.isnan(crop.target):
            crop = sampler.draw()
        look = self.look(turned(crop.pixels, rng), rng)
        return look, np.float32(crop.target), np.float32("nan"), np.int64(-1), False

    def look(self, picture: Image, rng: np.random.Generator) -> Image:
        return np.ascontiguousarray(erased(camera_look(picture, rng), rng, 0.1))


class Shown:
    """The teachers' maps and features, standardised per channel."""

    def __init__(self, folder: Path) -> None:
        known = np.load(folder / "crops.npz")
        self.maps, self.statistics = [], []
        for name in HINTS:
            shape = (len(known["targets"]), *(int(n) for n in known[name]))
            maps = np.memmap(folder / f"{name}.f16", np.float16, "r", shape=shape)
            sample = torch.from_numpy(maps[:: max(len(maps) // 256, 1)].astype(np.float32))
            channels = sample.flatten(2) if sample.ndim == 4 else sample.unsqueeze(2)
            view = (1, -1) + (1,) * (len(shape) - 2)
            mean, deviation = channels.mean((0, 2)), channels.std((0, 2)) + 1e-3
            self.maps.append(maps)
            self.statistics.append((mean.view(view), deviation.view(view)))

    @property
    def channels(self) -> list[int]:
        return [maps.shape[1] for maps in self.maps]

    def __call__(self, rows: Tensor, mirrored: Tensor) -> list[Tensor]:
        out = []
        for maps, (mean, deviation) in zip(self.maps, self.statistics, strict=True):
            standard = (torch.from_numpy(maps[rows.numpy()]).float() - mean) / deviation
            if standard.ndim == 4:
                standard = torch.where(mirrored.view(-1, 1, 1, 1), standard.flip(3), standard)
            out.append(standard)
        return out


class Distilled(nn.Module):
    """The student and, for training only, linear maps from its channels to the teachers'."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.student = PPLCNet()
        self.hint_middle = nn.Conv2d(256, channels[0], 1)
        self.hint_heat = nn.Conv2d(256, channels[1], 1)
        self.hint_last = nn.Conv2d(512, channels[2], 1)
        self.hint_pooled = nn.Linear(1280, channels[3])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.student(x)
        return out

    def guesses(self, pictures: Tensor, taught: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of all, guessed teacher maps and features of the taught pictures."""
        with torch.autocast("cpu", torch.bfloat16):
            middle, last = self.student.maps(pictures)
            features = self.student.pooled(last)
            guessed = [
                self.hint_middle(middle[taught]),
                self.hint_heat(middle[taught]),
                self.hint_last(last[taught]),
                self.hint_pooled(features[taught]),
            ]
        return self.student.head(features.float()), [guess.float() for guess in guessed]


def hint_loss(guesses: list[Tensor], shown: list[Tensor], weights: list[float]) -> Tensor:
    loss = torch.zeros(())
    for guess, full, weight in zip(guesses, shown, weights, strict=True):
        target = full
        if full.ndim == 4 and full.shape[2:] != guess.shape[2:]:
            target = nn.functional.interpolate(
                full, guess.shape[2:], mode="bilinear", align_corners=False, antialias=True
            )
        loss = loss + weight * nn.functional.smooth_l1_loss(guess, target)
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    schedule_arguments(parser)
    parser.add_argument("--taught", type=Path, required=True, help="folder of teach.py")
    parser.add_argument("--layout", type=Path, help="layout_cdla.onnx to start from")
    parser.add_argument("--start", type=Path, help="checkpoint to start from, instead")
    parser.add_argument("--fresh", type=float, default=0.2, help="part of crops without teacher")
    parser.add_argument(
        "--hints",
        type=float,
        nargs=4,
        default=[1.5, 1.0, 1.0, 0.7],
        help="weights of PoseNet's features and heat, EfficientNet's map and pooled features",
    )
    parser.add_argument("--hard", type=float, default=0.4, help="part of the computed label")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    shown = Shown(args.taught)
    net = Distilled(shown.channels)
    if args.start:
        weights = torch.load(args.start)["average"]
        distilled = any(name.startswith("student.") for name in weights)
        (net if distilled else net.student).load_state_dict(weights)
    elif args.layout:
        load_layout_backbone(net.student, args.layout)
    run = Run(args, net)

    def loss_of(
        pictures: Tensor, targets: Tensor, someone: Tensor, rows: Tensor, mirrored: Tensor
    ) -> Tensor:
        net.train()
        taught = rows >= 0
        logits, guesses = net.guesses(normalised(pictures), taught)
        wanted = torch.where(someone.isnan(), targets, someone)
        mixed = (1 - args.hard) * wanted + args.hard * targets
        wanted = torch.where(targets.isnan(), wanted, mixed)
        loss = soft_cross_entropy(logits, wanted, args.smooth)
        return loss + hint_loss(guesses, shown(rows[taught], mirrored[taught]), args.hints)

    run.go(lambda seed: TaughtCrops(args, seed), loss_of)


if __name__ == "__main__":
    main()
