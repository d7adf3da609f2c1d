"""Let a trained teacher look at many crops once: what the student is distilled from.

Writes `crops.bin` (JPEG after JPEG), `maps.f16` (per crop the teacher's last maps at stride 16 and
32, then its pooled features) and `crops.npz`: where each JPEG starts, the computed target (NaN
where open), the teacher's logits, the shapes of the maps. The teacher sees the crops as they are,
the student will see them with the camera look.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from crops import CropSampler, Pool
from networks import Teacher
from torch.utils.data import DataLoader, IterableDataset
from train import normalised

SIDE = 224
HINTS = ("middle", "last", "pooled")
"""What of the teacher is kept for the student, in the order of a row of `maps.f16`."""


class CleanCrops(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, pool: Path, seed: int, unlabelled: float) -> None:
        self.pool, self.seed, self.unlabelled = pool, seed, unlabelled

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.float32]]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng(self.seed)
        sampler = CropSampler(Pool(self.pool), SIDE, rng, self.unlabelled)
        while True:
            crop = sampler.draw()
            yield np.ascontiguousarray(crop.pixels), np.float32(crop.target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of train.py")
    parser.add_argument("--network", default="lite0")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--crops", type=int, default=40000)
    parser.add_argument("--unlabelled", type=float, default=0.08)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(int(args.network[4:])).eval()
    teacher.load_state_dict(torch.load(args.teacher)["average"])
    teacher = teacher.to(memory_format=torch.channels_last)
    loader = DataLoader(CleanCrops(args.pool, args.seed, args.unlabelled), 32, num_workers=1)
    starts: list[int] = []
    targets, logits, offset = [], [], 0
    shapes: list[tuple[int, ...]] = []
    with (args.out / "crops.bin").open("wb") as blob, (args.out / "maps.f16").open("wb") as maps:
        for pictures, wanted in loader:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                middle, last = teacher.maps(normalised(pictures))
                pooled = teacher.pooled(last).float()
            parts = [middle, last, pooled]
            shapes = [tuple(part.shape[1:]) for part in parts]
            rows = np.concatenate([part.half().flatten(1).numpy() for part in parts], 1)
            maps.write(rows.tobytes())
            with torch.inference_mode():
                logits.append(teacher.fc(pooled).numpy())
            targets.append(wanted.numpy())
            for picture in pictures.numpy():
                jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
                starts.append(offset)
                offset += blob.write(jpeg)
            if len(starts) % 1600 == 0:
                print(f"{len(starts)} crops", flush=True)
                save(args.out, [*starts, offset], targets, logits, shapes)
            if len(starts) >= args.crops:
                break
    save(args.out, [*starts, offset], targets, logits, shapes)


def save(
    folder: Path,
    starts: list[int],
    targets: list[np.ndarray],
    logits: list[np.ndarray],
    shapes: list[tuple[int, ...]],
) -> None:
    np.savez(
        folder / "crops.npz",
        starts=np.array(starts),
        targets=np.concatenate(targets),
        logits=np.concatenate(logits),
        **{name: np.array(shape) for name, shape in zip(HINTS, shapes, strict=True)},
    )


if __name__ == "__main__":
    main()
