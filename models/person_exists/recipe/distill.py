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
from known import Known, Shown
from networks import PPLCNet
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from train import Run, normalised, schedule_arguments, soft_cross_entropy

Sample = tuple[Image, np.float32, np.float32, np.int64, bool]


class TaughtCrops(IterableDataset):  # type: ignore[type-arg]
    """Endless (picture, target or NaN, teacher's P(someone) or NaN, row or -1, mirrored)."""

    def __init__(self, args: argparse.Namespace, known: Known, seed: int) -> None:
        self.args, self.known, self.seed = args, known, seed

    def __iter__(self) -> Iterator[Sample]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng(self.seed)
        fresh = CropSampler(Pool(self.args.pool), self.args.size, rng)
        known = self.known
        while True:
            for row in rng.permutation(len(known)):
                while rng.random() < self.args.fresh:
                    yield self.fresh(fresh, rng)
                picture = known.picture(row)
                new = (self.args.size, self.args.size)
                if picture.shape[:2] != new:
                    picture = cv2.resize(picture, new, interpolation=cv2.INTER_AREA)
                mirrored = bool(rng.random() < 0.5)
                picture = picture[:, ::-1] if mirrored else picture
                look = self.look(picture, rng)
                yield look, known.targets[row], known.someone[row], np.int64(row), mirrored

    def fresh(self, sampler: CropSampler, rng: np.random.Generator) -> Sample:
        crop = sampler.draw()
        while np.isnan(crop.target):
            crop = sampler.draw()
        look = self.look(turned(crop.pixels, rng), rng)
        return look, np.float32(crop.target), np.float32("nan"), np.int64(-1), False

    def look(self, picture: Image, rng: np.random.Generator) -> Image:
        return np.ascontiguousarray(erased(camera_look(picture, rng), rng, 0.1))


class Distilled(nn.Module):
    """The student and, for training only, linear maps from its channels to the teachers'."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.student = PPLCNet()
        self.frozen: list[nn.Module] = []
        self.hint_heat = nn.Conv2d(256, channels[0], 1)
        self.hint_mask = nn.Conv2d(256, 1, 1)
        self.hint_coarse = nn.Conv2d(512, 1, 1)
        self.hint_last = nn.Conv2d(512, channels[2], 1)
        self.hint_pooled = nn.Linear(1280, channels[3])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.student(x)
        return out

    def train(self, mode: bool = True) -> Distilled:
        """Frozen layers keep their BatchNorm as it is."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def freeze(self, stages: int) -> None:
        """Leave the lowest stages alone: they see edges, and cost half of a training step."""
        self.frozen = list(self.student.children())[:stages]
        for module in self.frozen:
            module.requires_grad_(False)

    def guesses(self, pictures: Tensor, taught: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of all, guessed teacher maps and features of the taught pictures."""
        with torch.autocast("cpu", torch.bfloat16):
            middle, last = self.student.maps(pictures)
            features = self.student.pooled(last)
            guessed = [
                self.hint_heat(middle[taught]),
                self.hint_mask(middle[taught]),
                self.hint_coarse(last[taught]),
                self.hint_last(last[taught]),
                self.hint_pooled(features[taught]),
            ]
        return self.student.head(features.float()), [guess.float() for guess in guessed]


def hint_loss(guesses: list[Tensor], shown: list[Tensor], weights: list[float]) -> Tensor:
    """Joints and features by smooth L1, where persons are by cross entropy at both strides."""
    heat, mask, last, pooled = shown
    loss = torch.zeros(())
    for guess, full, weight in zip(guesses, [heat, mask, mask, last, pooled], weights, strict=True):
        target = full
        if full.ndim == 4 and full.shape[2:] != guess.shape[2:]:
            target = nn.functional.interpolate(
                full, guess.shape[2:], mode="bilinear", align_corners=False, antialias=True
            )
        if full is mask:
            loss = loss + weight * nn.functional.binary_cross_entropy_with_logits(
                guess, target.clamp(0, 1)
            )
        else:
            loss = loss + weight * nn.functional.smooth_l1_loss(guess, target)
    return loss


def begin(net: Distilled, checkpoint: Path) -> None:
    """Take a student's weights, and those linear maps to teachers that the checkpoint has."""
    weights = torch.load(checkpoint)["average"]
    if not any(name.startswith("student.") for name in weights):
        weights = {f"student.{name}": value for name, value in weights.items()}
    own = net.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    missing = net.load_state_dict(fitting, strict=False).missing_keys
    print(f"from {checkpoint}; new: {', '.join(missing) or 'nothing'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    schedule_arguments(parser)
    parser.add_argument("--taught", type=Path, nargs="+", required=True, help="folders of teach.py")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint to start from")
    parser.add_argument("--freeze", type=int, default=0, help="lowest stages left alone, of 6")
    parser.add_argument("--fresh", type=float, default=0.2, help="part of crops without teacher")
    parser.add_argument(
        "--hints",
        type=float,
        nargs=5,
        default=[0.7, 1.0, 0.7, 0.5, 0.4],
        help="weights of PoseNet's heat, persons at both strides, EfficientNet's map and features",
    )
    parser.add_argument("--hard", type=float, default=0.4, help="part of the computed label")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    known = Known(args.taught)
    shown = Shown(known)
    net = Distilled(shown.channels)
    begin(net, args.start)
    net.freeze(args.freeze)
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

    run.go(lambda seed: TaughtCrops(args, known, seed), loss_of)


if __name__ == "__main__":
    main()
