"""Tiny data sets made on the spot: dark noise is nobody, a bright disc in it is someone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor.training.config import TrainConfig
from monitor.training.lists import write_list


def picture(someone: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """RGB uint8 (60, 80, 3)."""
    noise = rng.integers(0, 80, (60, 80, 3), dtype=np.uint8)
    if someone:
        centre = (int(rng.integers(30, 50)), int(rng.integers(25, 35)))
        cv2.circle(noise, centre, 18, (230, 60, 40), -1)
    return noise


def write_pictures(root: Path, name: str, count: int, seed: int = 0) -> Path:
    """`count` JPEGs of alternating class below `root` and their list, whose path is returned."""
    rng = np.random.default_rng(seed)
    (root / name).mkdir(parents=True)
    lines = []
    for number in range(count):
        label = number % 2
        file = root / name / f"{number:03}.jpg"
        cv2.imwrite(str(file), picture(bool(label), rng)[:, :, ::-1])
        lines.append((f"{name}/{file.name}", label))
    listed = root / f"{name}.txt"
    write_list(listed, lines)
    return listed


def tiny_config(root: Path, output: Path, **changes: Any) -> TrainConfig:
    """Two epochs of the smallest PP-LCNet at 64 px on `train.txt`, judged by `val.txt`."""
    tree: dict[str, Any] = {
        "epochs": 2,
        "output_dir": output,
        "arch": {"name": "PPLCNet_x0_25"},
        "optimizer": {"learning_rate": 0.03, "warmup_epoch": 0},
        "data": {
            "train": [{"list": root / "train.txt", "root": root}],
            "val": {"list": root / "val.txt", "root": root},
            "batch_size": 16,
        },
        "augment": {"rand_crop": {"size": 64, "scale": [0.5, 1.0]}},
        "eval": {"view": "stretch", "size": 64},
    }
    return TrainConfig.model_validate({**tree, **changes})
