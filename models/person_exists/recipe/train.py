"""Train a teacher (EfficientNet-Lite) or the student on crops with computed labels.

The learning rate follows the share of `--minutes` that has passed, so the run ends on time on a
busy machine. Killed runs go on from their last checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from crops import MEAN, STD, CropSampler, Pool, camera_look, erased, turned
from depthwise import speed_up
from measure import figures, labelled, scores, torch_predict
from networks import PPLCNet, Teacher
from torch import Tensor, multiprocessing, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset


class Crops(IterableDataset):  # type: ignore[type-arg]
    """Endless RGB crops and targets; crops whose boxes leave the label open are skipped."""

    def __init__(self, pool_folder: Path, size: int, seed: int) -> None:
        self.pool_folder, self.size, self.seed = pool_folder, size, seed

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.float32]]:
        import cv2

        cv2.setNumThreads(1)
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        sampler = CropSampler(Pool(self.pool_folder), self.size, rng)
        while True:
            crop = sampler.draw()
            if not np.isnan(crop.target):
                look = erased(camera_look(turned(crop.pixels, rng), rng), rng)
                yield np.ascontiguousarray(look), np.float32(crop.target)


def normalised(pictures: Tensor) -> Tensor:
    """N H W 3 uint8 to N 3 H W float32, channels last in memory."""
    mean, std = (torch.from_numpy(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (pictures.permute(0, 3, 1, 2).float() / 255 - mean) / std


class Average:
    """Exponential moving average of weights and statistics, ramped up at the start."""

    def __init__(self, net: nn.Module, keep: float) -> None:
        self.net, self.keep, self.steps = copy.deepcopy(net).eval(), keep, 0
        self.net.requires_grad_(False)

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        self.steps += 1
        keep = min(self.keep, (1 + self.steps) / (10 + self.steps))
        for mine, new in zip(
            self.net.state_dict().values(), net.state_dict().values(), strict=True
        ):
            if mine.dtype.is_floating_point:
                mine.lerp_(new, 1 - keep)
            else:
                mine.copy_(new)


def parameter_groups(
    net: nn.Module, lr: float, head: float, decay: float
) -> list[dict[str, object]]:
    """No decay for BatchNorm and biases; the new layers learn `head` times as fast."""
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            key = (name.startswith(("fc", "last_conv", "hint")), parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "lr": lr * (head if new else 1), "peak": lr * (head if new else 1),
         "weight_decay": decay if decays else 0.0}
        for (new, decays), parameters in groups.items()
    ]  # fmt: skip


def set_rate(optimiser: torch.optim.Optimizer, share: float, warm: float = 0.04) -> None:
    factor = share / warm if share < warm else 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * max(factor, 0.005)


def soft_cross_entropy(logits: Tensor, someone: Tensor, smooth: float) -> Tensor:
    target = someone * (1 - 2 * smooth) + smooth
    logs = logits.float().log_softmax(1)
    return -(target * logs[:, 1] + (1 - target) * logs[:, 0]).mean()


def report(net: nn.Module, pool: Pool, views: tuple[str, ...] = ("pulc", "stretch")) -> str:
    entries, labels = labelled(pool, "val")
    lines = [
        f"  val {view}: {figures(labels, scores(torch_predict(net), pool, entries, view))}"
        for view in views
    ]
    return "\n".join(lines)


def schedule_arguments(parser: argparse.ArgumentParser) -> None:
    """What `run` needs, shared by teacher, student and distillation."""
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint file")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--head", type=float, default=3.0, help="factor on lr of new layers")
    parser.add_argument("--decay", type=float, default=0.03)
    parser.add_argument("--smooth", type=float, default=0.03, help="label smoothing")
    parser.add_argument("--keep", type=float, default=0.995, help="of the weights' average")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--every", type=float, default=5, help="minutes between checkpoints")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)


class Run:
    """One training run: its network, average, optimiser and how far it is.

    With `--processes 2` further processes train the same weights in shared memory without
    waiting for each other (Hogwild): on a busy machine that is faster than threads.
    """

    def __init__(self, args: argparse.Namespace, net: nn.Module, *, batched: bool = False) -> None:
        """`batched`: the crops come in batches already."""
        self.args, self.net = args, net.to(memory_format=torch.channels_last)
        self.batch = None if batched else args.batch
        self.average = Average(net, args.keep)
        self.passed, self.seen = multiprocessing.Value("d", 0.0), multiprocessing.Value("q", 0)
        state = torch.load(args.out) if args.out.exists() else None
        if state:
            net.load_state_dict(state["net"])
            self.average.net.load_state_dict(state["average"])
            self.average.steps = 10**6
            self.passed.value, self.seen.value = state["passed"], state["seen"]
        speed_up(net)
        if args.processes > 1:
            net.share_memory()
        self.optimiser = torch.optim.AdamW(parameter_groups(net, args.lr, args.head, args.decay))
        if state:
            self.optimiser.load_state_dict(state["optimiser"])

    @property
    def done(self) -> bool:
        return self.passed.value >= self.args.minutes * 60

    def save(self) -> None:
        state = {
            "net": self.net.state_dict(),
            "average": self.average.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "passed": self.passed.value,
            "seen": self.seen.value,
        }
        torch.save(state, self.args.out)

    def step(self, loss: Tensor, count: int) -> float:
        set_rate(self.optimiser, self.passed.value / (self.args.minutes * 60))
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        with self.seen.get_lock():
            self.seen.value += count
        return float(loss.detach())

    def help(self, crops: Dataset, loss_of: Callable[..., Tensor]) -> None:  # type: ignore[type-arg]
        """What the further processes do until the first one is done, or dead."""
        first = os.getppid()
        for batch in self.loader(crops):
            self.step(loss_of(*batch), len(batch[0]))
            if self.done or os.getppid() != first:
                return

    def loader(self, crops: Dataset) -> DataLoader:  # type: ignore[type-arg]
        return DataLoader(crops, self.batch, num_workers=1, prefetch_factor=4)

    def go(
        self,
        crops: Callable[[int], Dataset],  # type: ignore[type-arg]
        loss_of: Callable[..., Tensor],
    ) -> None:
        """`crops(seed)` gives batches, `loss_of(*batch)` the loss; pictures come first."""
        seed = self.args.seed + self.seen.value
        helpers = [
            multiprocessing.Process(target=self.help, args=(crops(seed + i), loss_of))
            for i in range(1, self.args.processes)
        ]
        for helper in helpers:
            helper.start()
        pool = Pool(self.args.pool)
        next_save, last = self.passed.value + self.args.every * 60, time.monotonic()
        recent: deque[float] = deque(maxlen=100)
        for step, batch in enumerate(self.loader(crops(seed))):
            recent.append(self.step(loss_of(*batch), len(batch[0])))
            self.average.update(self.net)
            now = time.monotonic()
            self.passed.value, last = self.passed.value + now - last, now
            if step % 100 == 0:
                minutes, loss = self.passed.value / 60, np.mean(recent)
                print(f"{minutes:.1f} min  {self.seen.value} crops  loss {loss:.4f}", flush=True)
            if self.passed.value >= next_save or self.done:
                self.save()
                print(report(self.average.net, pool), flush=True)
                next_save, last = self.passed.value + self.args.every * 60, time.monotonic()
            if self.done:
                break
        for helper in helpers:
            helper.join()


def build(args: argparse.Namespace) -> nn.Module:
    if args.network.startswith("lite"):
        teacher = Teacher(int(args.network[4:]))
        teacher.freeze_lower(args.freeze)
        return teacher
    student = PPLCNet()
    if args.start:
        student.load_state_dict(torch.load(args.start)["average"])
    return student


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    schedule_arguments(parser)
    parser.add_argument("--network", default="pplcnet", help="pplcnet, lite0 or lite2")
    parser.add_argument("--start", type=Path, help="checkpoint to start the student from")
    parser.add_argument("--freeze", type=int, default=5, help="lowest teacher blocks left alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    net = build(args)
    run = Run(args, net)

    def loss_of(pictures: Tensor, targets: Tensor) -> Tensor:
        net.train()
        if isinstance(net, Teacher):
            net.freeze_lower(args.freeze)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(normalised(pictures))
        return soft_cross_entropy(logits, targets, args.smooth)

    run.go(lambda seed: Crops(args.pool, args.size, seed), loss_of)


if __name__ == "__main__":
    main()
