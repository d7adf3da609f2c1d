"""Scores of a network on the pool's val and test pictures by view, and the usual figures."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from crops import Entry, Image, Pool, normalised
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

Scores = NDArray[np.float64]
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""N 3 224 224 normalised to N scores of someone."""


def squeezed(rgb: Image, side: int = 224) -> Image:
    return cv2.resize(rgb, (side, side), interpolation=cv2.INTER_LINEAR)


def pulc(rgb: Image) -> Image:
    """Resize the short side to 256, centre crop 224 (PaddleClas)."""
    height, width = rgb.shape[:2]
    scale = 256 / min(height, width)
    new = (round(width * scale), round(height * scale))
    big = cv2.resize(rgb, new, interpolation=cv2.INTER_LINEAR)
    y, x = (new[1] - 224) // 2, (new[0] - 224) // 2
    return big[y : y + 224, x : x + 224]


def letterboxed(rgb: Image) -> Image:
    height, width = rgb.shape[:2]
    scale = 224 / max(height, width)
    new = (round(width * scale), round(height * scale))
    out = np.full((224, 224, 3), 114, np.uint8)
    y, x = (224 - new[1]) // 2, (224 - new[0]) // 2
    out[y : y + new[1], x : x + new[0]] = cv2.resize(rgb, new, interpolation=cv2.INTER_LINEAR)
    return out


def tiles(rgb: Image, columns: int, rows: int, part: float) -> list[Image]:
    """The squeezed whole and `columns` x `rows` overlapping tiles, each `part` of the frame."""
    height, width = rgb.shape[:2]
    th, tw = round(height * part), round(width * part)
    out = [squeezed(rgb)]
    for y in np.linspace(0, height - th, rows).astype(int) if rows > 1 else [(height - th) // 2]:
        columns_x = np.linspace(0, width - tw, columns).astype(int)
        out.extend(squeezed(rgb[y : y + th, x : x + tw]) for x in columns_x)
    return out


def wide_tiles(rgb: Image) -> list[Image]:
    """The whole and two squares (the short side) at the ends of the long side."""
    side = min(rgb.shape[:2])
    return [squeezed(rgb), squeezed(rgb[:side, :side]), squeezed(rgb[-side:, -side:])]


VIEWS: dict[str, Callable[[Image], list[Image]]] = {
    "pulc": lambda rgb: [pulc(rgb)],
    "stretch": lambda rgb: [squeezed(rgb)],
    "letterbox": lambda rgb: [letterboxed(rgb)],
    "tiles2": wide_tiles,
    "tiles4": lambda rgb: tiles(rgb, 2, 2, 0.6),
    "tiles6": lambda rgb: tiles(rgb, 3, 2, 0.55),
    "tiles9": lambda rgb: tiles(rgb, 3, 3, 0.45),
}


def scores(predict: Predict, pool: Pool, entries: list[Entry], view: str) -> Scores:
    out: list[float] = []
    for start in range(0, len(entries), 16):
        cuts = [VIEWS[view](pool.picture(entry)) for entry in entries[start : start + 16]]
        batch = np.stack([normalised(cut) for group in cuts for cut in group])
        flat = predict(batch)
        at = 0
        for group in cuts:
            out.append(float(flat[at : at + len(group)].max()))
            at += len(group)
    return np.array(out)


def tpr_at(labels: NDArray[np.int64], values: Scores, max_fpr: float) -> tuple[float, float]:
    """(TPR, threshold) as PaddleClas's TprAtFpr: strict >, but at the scores, not on a grid."""
    negatives = np.sort(values[labels == 0])[::-1]
    allowed = int(np.floor(max_fpr * len(negatives) + 1e-9))
    threshold = negatives[allowed] if allowed < len(negatives) else -np.inf
    return float((values[labels == 1] > threshold).mean()), float(threshold)


def figures(labels: NDArray[np.int64], values: Scores) -> str:
    parts = [f"auroc {roc_auc_score(labels, values):.4f}"]
    for fpr in (0.001, 0.01, 0.05):
        tpr, threshold = tpr_at(labels, values, fpr)
        parts.append(f"tpr@{fpr} {tpr:.3f} (>{threshold:.3f})")
    return "  ".join(parts)


def labelled(pool: Pool, split: str) -> tuple[list[Entry], NDArray[np.int64]]:
    entries = [entry for entry in pool.split(split) if entry.label is not None]
    return entries, np.array([entry.label for entry in entries])


def torch_predict(net: torch.nn.Module) -> Predict:
    def predict(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = net(torch.from_numpy(batch).to(memory_format=torch.channels_last))
        return logits.float().softmax(1)[:, 1].numpy()

    return predict
