"""Decode every picture once and find its persons: the pool that crops are cut from.

Writes `pixels.u8` (all RGB pictures one after the other) and `index.json` (one entry a picture).
Boxes come from the labels where they are true (`coco_person`), else from a YOLOX-nano detector.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

LONGEST_SIDE = 512
DETECTOR_SIDE = 416
KEEP_SCORE = 0.05


@dataclass
class Picture:
    """One picture of the pool. `label` is 1, 0 or None (unknown, small persons only)."""

    name: str
    split: str
    source: str
    label: int | None
    fraction: float | None = None
    offset: int = 0
    height: int = 0
    width: int = 0
    true_boxes: list[list[float]] = field(default_factory=list)
    """x0 y0 x1 y1 in fractions."""
    found_boxes: list[list[float]] = field(default_factory=list)
    """x0 y0 x1 y1 score, from the detector."""


class PersonDetector:
    """YOLOX-nano (416, BGR 0-255, padded at the bottom and right with 114)."""

    def __init__(self, path: Path, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        grids, strides = [], []
        for stride in (8, 16, 32):
            side = DETECTOR_SIDE // stride
            ys, xs = np.mgrid[:side, :side]
            grids.append(np.stack([xs, ys], -1).reshape(-1, 2))
            strides.append(np.full((side * side, 1), stride))
        self.grid = np.concatenate(grids).astype(np.float32)
        self.stride = np.concatenate(strides).astype(np.float32)

    def __call__(self, rgb: NDArray[np.uint8]) -> list[list[float]]:
        """Person boxes as fractions of the picture, with scores, after non-maximum suppression."""
        height, width = rgb.shape[:2]
        scale = DETECTOR_SIDE / max(height, width)
        new = (round(width * scale), round(height * scale))
        canvas = np.full((DETECTOR_SIDE, DETECTOR_SIDE, 3), 114, np.uint8)
        canvas[: new[1], : new[0]] = cv2.resize(rgb, new, interpolation=cv2.INTER_LINEAR)[
            :, :, ::-1
        ]
        tensor = canvas.transpose(2, 0, 1)[None].astype(np.float32)
        out = self.session.run(None, {self.input: tensor})[0][0]
        scores = out[:, 4] * out[:, 5]
        keep = scores > KEEP_SCORE
        if not keep.any():
            return []
        centre = (out[keep, :2] + self.grid[keep]) * self.stride[keep]
        size = np.exp(out[keep, 2:4]) * self.stride[keep]
        corner = centre - size / 2
        chosen = cv2.dnn.NMSBoxes(
            np.concatenate([corner, size], 1).tolist(), scores[keep].tolist(), KEEP_SCORE, 0.5
        )
        boxes = []
        for i in np.array(chosen).reshape(-1):
            (x, y), (w, h) = corner[i], size[i]
            box = np.clip([x / new[0], y / new[1], (x + w) / new[0], (y + h) / new[1]], 0, 1)
            boxes.append([*(round(float(v), 4) for v in box), round(float(scores[keep][i]), 4)])
        return boxes


def listed(data: Path) -> list[tuple[Path, Picture]]:
    """All pictures of the data folder with what the label files say about them."""
    out: list[tuple[Path, Picture]] = []
    for split in ("train", "coco_person", "val", "test_cctv"):
        with (data / split / "labels.csv").open() as rows:
            for row in csv.DictReader(rows):
                label = int(row["label"]) if row["label"] in "01" else None
                name = Path(row["path"]).name
                source = name.split("__")[0] if "__" in name else split
                fraction = row.get("max_person_box_fraction") or None
                picture = Picture(name, split, source, label, float(fraction) if fraction else None)
                for text in (row.get("person_boxes_cxcywh") or "").split(";"):
                    if text.strip():
                        x, y, w, h = (float(v) for v in text.split())
                        picture.true_boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
                out.append((data / split / row["path"], picture))
    unlabelled = sorted((data / "unlabelled").iterdir())
    out.extend((p, Picture(p.name, "unlabelled", p.name.split("__")[0], None)) for p in unlabelled)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, val/, ...")
    parser.add_argument("--detector", type=Path, required=True, help="yolox_nano.onnx")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pool")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    detector = PersonDetector(args.detector, args.threads)
    pictures: list[Picture] = []
    offset = 0
    with (args.out / "pixels.u8").open("wb") as pixels:
        for path, picture in listed(args.data):
            bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if bgr is None:
                print(f"left out, unreadable: {path}")
                continue
            scale = LONGEST_SIDE / max(bgr.shape[:2])
            if scale < 1:
                bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            rgb = np.ascontiguousarray(bgr[:, :, ::-1])
            picture.offset, (picture.height, picture.width) = offset, rgb.shape[:2]
            picture.found_boxes = detector(rgb)
            pixels.write(rgb.tobytes())
            offset += rgb.nbytes
            pictures.append(picture)
    (args.out / "index.json").write_text(json.dumps([asdict(p) for p in pictures]))
    print(f"{len(pictures)} pictures, {offset / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
