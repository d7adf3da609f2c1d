"""Let the teachers look at many crops once: what the student is distilled from.

EfficientNet-Lite (fine-tuned by `train.py`) knows scenes and animals, PoseNet knows where the
joints of persons are. Written: `crops.bin` (JPEG after JPEG); `middle.f16` and `heat.f16`
(PoseNet's features and joint heat, stride 16), `last.f16` and `pooled.f16` (EfficientNet's
features, stride 32, and pooled); `crops.npz`: where each JPEG starts, the computed target (NaN
where open), both teachers' scores, the shapes. Teachers see the crops as they are, the student
will see them with the camera look.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import torch
from crops import CropSampler, Pool
from networks import Teacher
from posenet import PoseNet
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader, IterableDataset
from train import normalised

SIDE = 224
HINTS = ("middle", "heat", "last", "pooled")


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


def someone(logits: np.ndarray, heats: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Both teachers' P(someone), combined by logistic regression on the computed targets."""
    evidence = np.stack([logits[:, 1] - logits[:, 0], heats], 1)
    known = ~np.isnan(targets)
    line = LogisticRegression().fit(evidence[known], targets[known] > 0.5)
    probabilities: np.ndarray = line.predict_proba(evidence)[:, 1]
    return probabilities.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of train.py")
    parser.add_argument("--network", default="lite0")
    parser.add_argument("--posenet", type=Path, required=True, help="folder of posenet.json, .bin")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--crops", type=int, default=6400)
    parser.add_argument("--unlabelled", type=float, default=0.08)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(int(args.network[4:])).eval()
    teacher.load_state_dict(torch.load(args.teacher)["average"])
    teacher = teacher.to(memory_format=torch.channels_last)
    pose = PoseNet(args.posenet)
    loader = DataLoader(CleanCrops(args.pool, args.seed, args.unlabelled), 32, num_workers=1)
    starts: list[int] = []
    targets, logits, heats, offset = [], [], [], 0
    shapes: dict[str, tuple[int, ...]] = {}
    with ExitStack() as files:
        blob = files.enter_context((args.out / "crops.bin").open("wb"))
        maps = {n: files.enter_context((args.out / f"{n}.f16").open("wb")) for n in HINTS}
        for pictures, wanted in loader:
            batch = normalised(pictures)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                last = teacher.maps(batch)[1]
                pooled = teacher.pooled(last).float()
            with torch.inference_mode():
                logits.append(teacher.fc(pooled).numpy())
                middle, heat = pose(batch)
            heats.append(pose.presence(heat).numpy())
            for name, part in zip(HINTS, (middle, heat, last, pooled), strict=True):
                maps[name].write(part.half().contiguous().numpy().tobytes())
                shapes[name] = tuple(part.shape[1:])
            targets.append(wanted.numpy())
            for picture in pictures.numpy():
                jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
                starts.append(offset)
                offset += blob.write(jpeg)
            if len(starts) % 1600 == 0:
                print(f"{len(starts)} crops", flush=True)
            if len(starts) >= args.crops:
                break
    known = np.concatenate(targets)
    np.savez(
        args.out / "crops.npz",
        starts=np.array([*starts, offset]),
        targets=known,
        someone=someone(np.concatenate(logits), np.concatenate(heats), known),
        **{name: np.array(shape) for name, shape in shapes.items()},
    )


if __name__ == "__main__":
    main()
