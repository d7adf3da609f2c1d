"""What the teachers said of the crops of `teach.py`: pictures, targets, scores, maps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from crops import Image
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from teach import HINTS, SCORES
from torch import Tensor

SURE_SOURCES = ("coco_person", "coco_small", "vww_coco96", "imagenet_sample", "houses_neg")
"""Sources whose computed targets are good enough to weigh the teachers by."""


class Known:
    """The taught crops of several folders, as one list of rows.

    `someone` is the teachers' joint P(someone): logistic regression of their scores on the
    computed targets of the sure sources. EfficientNet was trained on these pictures and would
    count too much, so half of it is what the other two say without it.
    """

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self.tables = [dict(np.load(folder / "crops.npz")) for folder in folders]
        self.blobs = [np.memmap(folder / "crops.bin", np.uint8, "r") for folder in folders]
        sizes = [len(table["targets"]) for table in self.tables]
        self.folder = np.repeat(np.arange(len(folders)), sizes)
        self.inside = np.concatenate([np.arange(size) for size in sizes])
        self.targets, sources = self._all("targets"), self._all("sources")
        evidence = np.stack([self._all(name) for name in SCORES], 1)
        sure = np.isin(sources, SURE_SOURCES) & ~np.isnan(self.targets)
        wanted = self.targets[sure] > 0.5
        both = [LogisticRegression().fit(evidence[sure][:, n:], wanted) for n in (0, 1)]
        chances = [line.predict_proba(evidence[:, n:])[:, 1] for n, line in enumerate(both)]
        self.someone: NDArray[np.float32] = np.mean(chances, 0).astype(np.float32)
        alone = [roc_auc_score(wanted, column) for column in evidence[sure].T]
        parts = ", ".join(f"{n} {auroc:.4f}" for n, auroc in zip(SCORES, alone, strict=True))
        together = roc_auc_score(wanted, self.someone[sure])
        print(f"teachers on {len(wanted)} of {len(self)} crops: {parts}; together {together:.4f}")

    def __len__(self) -> int:
        return len(self.inside)

    def _all(self, name: str) -> np.ndarray:
        return np.concatenate([table[name] for table in self.tables])

    def jpeg(self, row: int) -> NDArray[np.uint8]:
        folder, at = self.folder[row], self.inside[row]
        starts = self.tables[folder]["starts"]
        return self.blobs[folder][starts[at] : starts[at + 1]]

    def picture(self, row: int) -> Image:
        picture: Image = cv2.imdecode(self.jpeg(row), cv2.IMREAD_COLOR)
        return picture


class Shown:
    """The teachers' maps and features, standardised per channel; the mask as it is."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.maps: list[list[np.ndarray]] = []
        self.statistics: list[tuple[Tensor, Tensor]] = []
        for name in HINTS:
            parts = []
            for folder, table in zip(known.folders, known.tables, strict=True):
                shape = (len(table["targets"]), *(int(n) for n in table[name]))
                parts.append(np.memmap(folder / f"{name}.f16", np.float16, "r", shape=shape))
            first = parts[0]
            sample = torch.from_numpy(first[:: max(len(first) // 512, 1)].astype(np.float32))
            channels = sample.flatten(2) if sample.ndim == 4 else sample.unsqueeze(2)
            mean, deviation = channels.mean((0, 2)), channels.std((0, 2)) + 1e-3
            if name == "mask":
                mean, deviation = torch.zeros_like(mean), torch.ones_like(deviation)
            view = (1, -1) + (1,) * (first.ndim - 2)
            self.maps.append(parts)
            self.statistics.append((mean.view(view), deviation.view(view)))

    @property
    def channels(self) -> list[int]:
        return [parts[0].shape[1] for parts in self.maps]

    def __call__(self, rows: Tensor, mirrored: Tensor) -> list[Tensor]:
        out = []
        places = [(self.known.folder[row], self.known.inside[row]) for row in rows.numpy()]
        for parts, (mean, deviation) in zip(self.maps, self.statistics, strict=True):
            stacked = np.stack([parts[folder][at] for folder, at in places])
            standard = (torch.from_numpy(stacked).float() - mean) / deviation
            if standard.ndim == 4:
                standard = torch.where(mirrored.view(-1, 1, 1, 1), standard.flip(3), standard)
            out.append(standard)
        return out
